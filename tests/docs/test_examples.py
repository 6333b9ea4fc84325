"""Every Python block in README.md and the guides runs."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    *(f"docs/guides/{path.name}" for path in (ROOT / "docs/guides").glob("*")),
]
# It needs a trained net: tests/trainers/speech/test_serving.py runs it.
RUN_ELSEWHERE = 'tf.saved_model.load("runs/'


def blocks(page):
    """(line, code) of each Python block of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 1, match[1]


def small_names():
    """What the pages take for granted, small: arrays, a teacher, a student."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 64)).astype("float32")
    y = rng.integers(0, 10, 300).astype("int32")

    def net(width):
        return keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(width, "relu"),
                keras.layers.Dense(10),
            ]
        )

    return {
        "x_train": x[:200],
        "y_train": y[:200],
        "x_test": x[200:],
        "y_test": y[200:],
        "teacher": net(32),
        "student": net(8),
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_block_runs(page, tmp_path, monkeypatch, mirrored_strategy):
    if page == "docs/guides/labelling_on_beam.md":
        pytest.importorskip("apache_beam")
    monkeypatch.chdir(tmp_path)
    # A second one of a process would send under the keys of the first one.
    monkeypatch.setattr(
        tf.distribute, "MirroredStrategy", lambda: mirrored_strategy
    )
    names = small_names()
    names["teacher"].save("teacher.keras")
    found = list(blocks(page))
    assert found
    for line, code in found:
        if RUN_ELSEWHERE not in code:
            # That a block runs, two epochs show as well as twenty.
            code = re.sub(r"\bepochs=\d\d+", "epochs=2", code)
            # The page's own line numbers in a traceback.
            exec(compile("\n" * line + code, page, "exec"), names)


def test_one_block_alone_is_run_elsewhere():
    skipped = [
        page
        for page in PAGES
        for _, code in blocks(page)
        if RUN_ELSEWHERE in code
    ]
    assert skipped == ["docs/guides/speech.md"]

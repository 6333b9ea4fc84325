"""trainers.characters as its users run it."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import processes
from trainers.characters import __main__ as main
from trainers.characters import views
from trainers.characters.settings import Settings
from trainers.core.settings import describe
from trainers.data import glyphs, omniglot

ROOT = pathlib.Path(__file__).resolve().parents[3]
TINY = ("--dataset=glyphs", "--tiny", "--seeds=1")

run = functools.partial(processes.run, "trainers.characters")


@pytest.mark.slow
def test_a_tiny_run(tmp_path):
    run_dir = tmp_path / "tiny run"
    command = [sys.executable, "-m", "trainers.characters", *TINY]
    result = subprocess.run(
        [*command, f"--run_dir={run_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert sorted(os.listdir(run_dir)) == [
        "characters.png",
        "export",
        "flags.txt",
        "metrics.json",
        "report.html",
        "report.md",
        "seed0",
    ]
    text = (run_dir / "metrics.json").read_text()
    found = json.loads(text)["experiments"]["table"]
    assert (found["train_cases"], found["cases"]) == (12 * 13, 12 * 5)
    # The export is the distilled student.
    data = glyphs.load(
        classes=12, train=12 * 13, held_out=24, test=60, progress=False
    )
    served = tf.saved_model.load(str(run_dir / "export"))
    x = tf.constant(views.plain(data.test_images, data.white))
    names = served.signatures["serving_default"](views=x)["class_name"].numpy()
    expected = np.array(data.class_names)[data.test_labels]
    right = np.mean(
        [a.decode() == b for a, b in zip(names, expected, strict=True)]
    )
    [accuracy] = next(
        arm["accuracy"]["each"]
        for arm in found["arms"]
        if (arm["name"], arm["time"]) == ("distilled", "long")
    )
    assert right == pytest.approx(accuracy)
    # Run again, it trains nothing and says the same.
    again = run(*TINY, f"--run_dir={run_dir}")
    assert again.returncode == 0 and "epoch" not in again.stderr
    assert (run_dir / "metrics.json").read_text() == text


def values(**given):
    """What absl's flag values are, of a tiny run."""
    return types.SimpleNamespace(
        **{
            "dataset": "glyphs",
            "experiment": ["table"],
            "tiny": True,
            "seeds": 1,
            "data_dir": None,
            "manual_dir": None,
            "checkpoint_every": 5,
            **dict.fromkeys(describe(Settings)),
            **given,
        }
    )


@pytest.mark.parametrize(
    "given, message",
    (
        ({"data_dir": "/data"}, "--data_dir must be left out.*=/data"),
        ({"manual_dir": "/data"}, "--manual_dir must be left out.*=/data"),
        ({"batch_size": 157}, "--batch_size must be at most .* 156.*=157"),
        (
            {"experiment": ["table", "few"], "batch_size": 37},
            "--batch_size must be at most .* 36 .*=few.*=37",
        ),
        (
            {"experiment": ["all"], "batch_size": 37},
            "--batch_size must be at most .* 36 .*=few.*=37",
        ),
    ),
)
def test_bad_values(tmp_path, given, message):
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        main._open_run(values(run_dir=str(run_dir), **given))
    assert not run_dir.exists()


def test_omniglot_is_taken_twice_as_large_as_views(tmp_path, monkeypatch):
    def load(data_dir, *, characters, size):
        assert (data_dir, characters) == ("there", 12)
        return glyphs_of(size)

    def glyphs_of(size):
        image = np.zeros((24, size, size), np.uint8)
        return types.SimpleNamespace(train_images=image, train_labels=image)

    monkeypatch.setattr(omniglot, "load_split", load)
    opened = main._open_run(
        values(dataset="omniglot", data_dir="there", run_dir=str(tmp_path))
    )
    assert opened.data.train_images.shape == (24, 56, 56)

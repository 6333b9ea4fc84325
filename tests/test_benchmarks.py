"""benchmarks: what they make of what they measured, and the tables of it."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import libraries, peer_comparison, tables, train_step
from tests import reference

ROOT = pathlib.Path(__file__).resolve().parent.parent


def test_the_pages_are_made_of_the_committed_figures():
    pages = [(ROOT / name).read_text() for name in tables.PAGES]
    for page in pages:
        assert tables.render(page, ROOT / "results") == page
    for name in tables.TABLES:
        assert f"<!-- table: {name} -->\n" in "".join(pages)


def test_a_stale_table_is_replaced_and_the_text_kept(tmp_path):
    rows = [{"what": "loss", "right": "1", "measured": {"ours": "1.5"}}]
    (tmp_path / "peer_comparison.json").write_text(json.dumps({"rows": rows}))
    text = "before\n<!-- table: peers -->\n| old |\n<!-- end -->\nafter\n"
    new = tables.render(text, tmp_path)
    assert new.startswith("before\n") and new.endswith("<!-- end -->\nafter\n")
    assert "| loss | 1 | 1.5 |" in new and "old" not in new


def test_an_unknown_table_is_named():
    text = "<!-- table: nothing -->\n<!-- end -->"
    with pytest.raises(ValueError, match=r"one of \['digits'.*'nothing'"):
        tables.render(text, ROOT / "results")


@pytest.mark.slow
def test_a_stale_page_is_found_out():
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_the_right_answers_are_those_of_the_reference():
    z, v = peer_comparison._logits(3.0)
    t = peer_comparison.TEMPERATURE
    soft = t**2 * reference.soft_loss(z, v, t).mean()
    assert peer_comparison._true_soft_term(z, v) == pytest.approx(soft)
    slope = t**2 * reference.soft_gradient(z, v, t) / len(z)
    np.testing.assert_allclose(peer_comparison._true_gradient(z, v), slope)


def test_the_losses_of_all_libraries_are_comparable():
    """Where keras.distillation is right, it and kdtf agree."""
    z, v = peer_comparison._logits(1.0)
    values = [
        float(library.soft_term(z, v, 3.0))
        for library in (libraries.KDTF, libraries.KERAS_BEST)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_best_settings_and_ratios_round_by_round():
    fast, slow = {"jit_compile": True}, {"jit_compile": False}
    results = {
        "kdtf, online teacher": [(fast, [1.0, 2.0, 3.0]), (slow, [9.0] * 3)],
        "keras.distillation, online teacher": [(slow, [2.0, 4.0, 4.0])],
        "kdtf, given teacher logits": [(slow, [3.0, 3.0, 3.0])],
        "plain Keras fit, student alone": [(fast, [2.0, 3.0, 6.0])],
    }
    summary = train_step.summarise(results)
    online = summary["ratios"]["online_teacher"]
    assert online["median"] == 0.5  # of 1/2, 2/4, 3/4
    assert summary["ratios"]["given_teacher_logits"]["median"] == 1.0
    runs = summary["contenders"]["kdtf, online teacher"]
    assert [run["best"] for run in runs] == [True, False]
    assert runs[0]["milliseconds"] == 2.0


@pytest.mark.slow
def test_train_step_runs(monkeypatch):
    monkeypatch.setattr(train_step, "SETTINGS", train_step.SETTINGS[:1])
    results = train_step.measure(rounds=1, steps=20)
    assert set(results) == set(train_step.CONTENDERS)
    assert all(times[0] > 0 for [(_, times)] in results.values())

"""trainers.specialists.overlap."""

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.specialists import groups, overlap


def test_sizes():
    settings = runs.settings(specialists=28, size=60)
    assert overlap.sizes(settings) == [(28, 60), (28, 100), (14, 120), (56, 60)]


def test_measure(tmp_path, monkeypatch):
    """On held-out cases; the first top is also what `table` has."""
    runs.without_training(monkeypatch)
    monkeypatch.setattr(overlap, "sizes", lambda settings: [(3, 4), (2, 5)])
    run = runs.make_run(tmp_path)
    found = overlap.measure(run)
    assert (found["evaluated_on"], found["test_cases"]) == ("held-out", 60)
    images, labels = run.held_out
    for of_group, (count, size) in zip(
        found["groups"], ((3, 4), (2, 5)), strict=True
    ):
        group, covered = groups.of_confused(run, 0, count, size)
        called = runs.logits_of(group.generalist, images).argmax(-1)
        assert (of_group["specialists"], of_group["size"]) == (count, size)
        assert of_group["covered_confusion"] == pytest.approx(covered)
        own = np.array([np.isin(range(12), m.classes) for m in group.members])
        assert of_group["covered_classes"] == own.any(0).sum()
        assert of_group["active"] == pytest.approx(own[:, called].sum(0).mean())
        right = np.mean(called == labels)
        assert found["generalist"]["accuracy"]["mean"] == right
        assert len(of_group["tops"]) == 3
        for top in of_group["tops"]:
            gain = top["accuracy"]["mean"] / right - 1
            assert top["relative_gain"]["mean"] == pytest.approx(gain)


def made_up(gains):
    """A group of each row of `gains`, its relative gains for each top."""
    return {
        "groups": [
            {
                "specialists": 10 * (i + 1),
                "size": 5,
                "covered_confusion": 0.5,
                "covered_classes": 40.0,
                "active": 1.25,
                "tops": [
                    {
                        "relative_gain": {
                            "each": [gain],
                            "mean": gain,
                            "ci95": [None, None],
                        }
                    }
                    for gain in row
                ],
            }
            for i, row in enumerate(gains)
        ]
    }


def test_report():
    found = made_up([(0.1, 0.12, 0.11), (0.1, 0.1, 0.15), *[(0.0, 0, 0)] * 2])
    rows = overlap.table(found).rows
    assert rows[0] == (
        *("10", "5", "0.50", "40", "1.25"),
        *("+10.0%", "+12.0%", "+11.0%"),
    )
    assert (
        "+15.0%, with 20 specialists of 5 classes called by the 3 most"
        in (overlap.findings(found)[1])
    )
    [plot] = overlap.details(found, None)
    assert plot.png
    found = made_up([(0.2, 0.12, 0.11)])
    assert "by the 1 most probable class." in overlap.findings(found)[1]

"""trainers.specialists.figures."""

import types

import numpy as np
import pytest
from scipy import stats

from tests import specialist_runs as runs
from trainers.specialists import figures, groups, scores


def test_arrays_of_a_system():
    found = scores.Scores(
        labels=np.array([0, 1, 2, 2]),
        choices=np.array([0, 1, 1, 2]),
        among=np.array([1, 1, 1, 2]),
        log_p=np.log([0.5, 0.5, 0.25, 0.5]),
        confidence=np.ones(4),
    )
    arrays = figures.arrays_of("net", found, np.array([False, True, True]))
    np.testing.assert_array_equal(arrays["net/choices"], [0, 1, 1, 2])
    np.testing.assert_array_equal(arrays["net/right"], [1, 1, 0, 1])
    # Conditional: cases 1 to 3, of which 1 and 3 are right.
    # Negative log-likelihood: (3 log 2 + log 4) / 4.
    # Calibration: all in one bin, mean confidence 1, accuracy 3/4.
    np.testing.assert_allclose(
        arrays["net/scalars"], [0.75, 2 / 3, 1.25 * np.log(2), 0.25]
    )


def seed_of(**right):
    found = {}
    for name, cases in right.items():
        name = name.replace("_", " ")
        cases = np.array(cases, bool)
        found[f"{name}/right"] = cases
        found[f"{name}/scalars"] = np.array([cases.mean(), np.nan, 1.0, 0.0])
    return found


SEEDS = [
    seed_of(generalist=[1, 0, 0, 0, 1], other=[1, 1, 1, 0, 1]),
    seed_of(generalist=[1, 0, 1, 0, 1], other=[1, 1, 1, 0, 0]),
]


def test_figures_over_the_seeds():
    found = figures.systems(SEEDS)
    assert list(found) == ["generalist", "other"]
    accuracy = found["generalist"]["accuracy"]
    assert accuracy["each"] == [0.4, 0.6]
    assert accuracy["mean"] == pytest.approx(0.5)
    # t of one degree of freedom, times the standard error 0.1.
    half = stats.t.ppf(0.975, 1) * 0.1
    np.testing.assert_allclose(accuracy["ci95"], [0.5 - half, 0.5 + half])
    assert "conditional" not in found["other"]  # not measured


def test_relative_gain():
    found = figures.relative_gain(SEEDS, "other")
    np.testing.assert_allclose(found["each"], [1.0, 0.0])


def test_paired_tests():
    found = figures.paired(SEEDS, "generalist", "other")
    np.testing.assert_allclose(found["points"]["each"], [0.4, 0.0])
    # Errors of the one less those of the other, of both seeds, are 0, 2, 1, 0
    # and -1: of the sums of 2, 1 and 1, each of either sign, all but the two
    # of 0 are as far from it.
    assert found["p_value"] == 6 / 8
    # Two cases better, none worse: 2 / 2^2; one each.
    np.testing.assert_allclose(found["mcnemar"], [0.5, 1.0])


def test_one_seed_has_a_paired_test_too():
    found = figures.paired(SEEDS[:1], "generalist", "other")
    assert [found["p_value"]] == found["mcnemar"]
    assert found["points"]["ci95"] == [None, None]


def test_gain_by_the_number_of_covering_specialists():
    first = {
        "generalist/right": np.array([1, 1, 0, 0, 1], bool),
        "specialists, top 1/right": np.array([1, 0, 1, 1, 1], bool),
        "covering of cases": np.array([0, 1, 1, 1, 3]),
    }
    second = {
        "generalist/right": np.array([0, 1], bool),
        "specialists, top 1/right": np.array([1, 1], bool),
        "covering of cases": np.array([0, 2]),
    }
    third = {
        "generalist/right": np.array([False]),
        "specialists, top 1/right": np.array([True]),
        "covering of cases": np.array([5]),
    }
    assert figures.covering([first, second, third]) == [
        # Cases 0 and 0: right 1, then 2.
        {"specialists": 0, "cases": 2, "change": 1, "relative": 1.0},
        # Cases 1, 2 and 3: right 1, then 2.
        {"specialists": 1, "cases": 3, "change": 1, "relative": 1.0},
        {"specialists": 2, "cases": 1, "change": 0, "relative": 0.0},
        {"specialists": 3, "cases": 1, "change": 0, "relative": 0.0},
        {"specialists": 5, "cases": 1, "change": 1, "relative": None},
    ]


def test_sets():
    seeds = [
        {
            "covered confusion": np.array(share),
            "covering": np.array(covering),
            "active": np.array(active),
        }
        for share, covering, active in (
            (0.5, [0, 1, 2], [1.0, 2.0]),
            (0.7, [1, 1, 1], [2.0, 3.0]),
        )
    ]
    found = figures.sets(seeds)
    assert found["covered_confusion"]["mean"] == pytest.approx(0.6)
    assert found["covered_classes"] == [2, 3]
    assert found["active"] == [1.5, 2.5]


def test_own_mass_of_every_correction(tmp_path, monkeypatch):
    """Against the sums of probabilities in float64."""
    runs.without_training(monkeypatch)
    run = runs.make_run(tmp_path)
    group = groups.of_random(run, 0)
    images, labels = run.test
    called = runs.logits_of(group.generalist, images).argmax(-1)
    found = figures.own_masses(run, group)
    for correction, shifts in group.shifts.items():
        all_cases, calling = [], []
        for member, shift in zip(group.members, shifts, strict=True):
            logits = runs.logits_of(member.net, images)
            logits[:, -1] += shift
            mass = runs.softmax(logits)[:, :-1].sum(-1)
            own = np.isin(labels, member.classes)
            all_cases += zip(mass, own, strict=True)
            rows = np.isin(called, member.classes)
            calling += zip(mass[rows], own[rows], strict=True)
        expected = [*np.mean(all_cases, 0), *np.mean(calling, 0)]
        np.testing.assert_allclose(
            found[f"correction {correction}/own mass"], expected, atol=1e-5
        )


def test_corrections():
    def seed(mass, accuracy):
        scalars = np.array([accuracy, np.nan, 1.0, 0.0])
        return {
            key: value
            for name in groups.CORRECTIONS
            for key, value in (
                (f"correction {name}/scalars", scalars),
                (f"correction {name}, held out/scalars", scalars / 2),
                (f"correction {name}/own mass", np.full(4, mass)),
            )
        }

    found = figures.corrections([seed(0.2, 0.8), seed(0.4, 0.6)])
    assert list(found) == list(groups.CORRECTIONS)
    exact = found["exact"]
    assert exact["accuracy"]["each"] == [0.8, 0.6]
    assert exact["held_out_accuracy"]["each"] == [0.4, 0.3]
    np.testing.assert_allclose(exact["own_mass"], 0.3)


@pytest.mark.parametrize("on, cases", (("test", 72), ("held-out", 60)))
def test_about_tells_on_what_was_evaluated(on, cases):
    run = types.SimpleNamespace(
        settings=runs.settings(),
        classes=12,
        seeds=3,
        test=(None, np.zeros(72)),
        held_out=(None, np.zeros(60)),
    )
    found = figures.about(run, on)
    assert (found["evaluated_on"], found["test_cases"]) == (on, cases)
    assert (found["classes"], found["seeds"]) == (12, 3)

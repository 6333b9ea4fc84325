"""trainers.statistics against scipy and derivations by hand."""

import numpy as np
import pytest
from scipy import stats

from trainers import statistics


def test_interval_is_the_t_interval():
    values = [67, 70, 75, 61, 80]
    mean, (low, high) = statistics.mean_and_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean == pytest.approx(np.mean(values))
    assert (low, high) == pytest.approx(tuple(expected))


def test_one_seed_has_no_interval():
    assert statistics.mean_and_interval([67]) == (67.0, [None, None])


def test_mcnemar():
    first = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    second = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    # 5 against 1: P(at most 1 or at least 5 of 6 fair coins) = 14 / 64.
    assert statistics.mcnemar(first, second) == {
        "only_first_wrong": 5,
        "only_second_wrong": 1,
        "p_value": pytest.approx(14 / 64),
    }
    assert statistics.mcnemar(first, first)["p_value"] == 1.0


def wrong(*counts, cases=1000):
    """`[seeds, cases]` with that many errors a seed."""
    return np.arange(cases) < np.array(counts)[:, None]


def test_gain_transferred():
    share, (low, high) = statistics.gain_transferred(
        wrong(60, 80), wrong(150, 150), wrong(90, 90)
    )
    # Student 300, distilled 180, teacher 140 errors: 120 of 160.
    assert share == pytest.approx(0.75)
    assert low < 0.75 < high and high - low < 0.4


def test_gain_without_an_advantage_is_undefined():
    same = wrong(50)
    share, interval = statistics.gain_transferred(same, same, wrong(40))
    assert share is None and interval == [None, None]

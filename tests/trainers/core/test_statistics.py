"""trainers.core.statistics against scipy and derivations by hand."""

import numpy as np
import pytest
from scipy import stats

from trainers.core import statistics


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


def test_cochran_q_of_two_nets_is_mcnemars_chi_squared():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 400)) < np.array([[0.2], [0.3]])
    only = (first & ~second).sum(), (~first & second).sum()
    found = statistics.cochran_q([first, second])
    q = (only[0] - only[1]) ** 2 / sum(only)
    assert found["q"] == pytest.approx(q)
    assert found["p_value"] == pytest.approx(stats.chi2.sf(q, 1))


def test_cochran_q_by_hand():
    # Four cases, three nets: wrong 1, 2 and 4 times.
    wrong = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], bool)
    # (k - 1) (k sum G^2 - (sum G)^2) / (k sum L - sum L^2), L = 3, 2, 1, 1.
    q = 2 * (3 * (1 + 4 + 16) - 7**2) / (3 * 7 - (9 + 4 + 1 + 1))
    assert statistics.cochran_q(wrong)["q"] == pytest.approx(q)
    alike = statistics.cochran_q([wrong[0]] * 3)
    assert alike == {"q": 0.0, "p_value": 1.0}


def test_cochran_q_is_calibrated():
    """Of nets that are equally good, one in twenty tests is below 0.05."""
    rng = np.random.default_rng(1)
    hard = rng.random((300, 1, 200)) < 0.3  # cases that all find hard
    wrong = rng.random((300, 4, 200)) < np.where(hard, 0.5, 0.05)
    below = [statistics.cochran_q(w)["p_value"] < 0.05 for w in wrong]
    assert 0.02 < np.mean(below) < 0.09


def test_paired_errors_counts_a_case_once():
    rng = np.random.default_rng(2)
    first = rng.random((3, 500)) < 0.05
    second = rng.random((2, 500)) < 0.15
    found = statistics.paired_errors([first], [second])
    gaps = first.mean(0) - second.mean(0)
    assert found["difference"] == pytest.approx(
        first.sum() / 3 - second.sum() / 2
    )
    expected = stats.ttest_rel(first.mean(0), second.mean(0)).pvalue
    assert found["p_value"] == pytest.approx(expected)
    assert found["difference"] == pytest.approx(gaps.sum())
    # The same nets again are no new evidence.
    again = statistics.paired_errors([first, first], [second, second])
    assert again["p_value"] == pytest.approx(found["p_value"])
    same = statistics.paired_errors([first], [first])
    assert same == {"difference": 0.0, "p_value": 1.0}


@pytest.mark.parametrize("dtype", (bool, np.uint8, np.int32))
def test_paired_errors_in_any_dtype(dtype):
    fewer, more = (wrong(n).astype(dtype) for n in (3, 40))
    found = statistics.paired_errors([fewer], [more])
    assert found["difference"] == -37
    assert found["p_value"] == pytest.approx(2 * 0.5**37)


def test_paired_errors_of_one_net_each_are_mcnemars():
    first, second = wrong(0, cases=60), wrong(0, cases=60)
    first[0, :18] = second[0, 18:25] = True
    found = statistics.paired_errors([first], [second])
    expected = statistics.mcnemar(first[0], second[0])
    assert found == {"difference": 11.0, "p_value": expected["p_value"]}


@pytest.mark.parametrize("cases", [1, 2, 30])
def test_gaps_that_are_all_alike(cases, recwarn):
    every, none = wrong(cases, cases, cases=cases), wrong(0, 0, cases=cases)
    found = statistics.paired_errors([none], [every])
    # All heads, or all tails, of as many fair coins as there are cases.
    assert found["p_value"] == pytest.approx(2 * 0.5**cases)
    assert not recwarn


def test_few_cases_are_tested_by_their_signs():
    first, second = wrong(0, 0, 0), wrong(0, 0, 0)
    first[:3, 0] = first[:2, 1] = second[:1, 2] = True
    found = statistics.paired_errors([first], [second])
    # Of the sums of 3, 2 and 1, each of either sign, +-6 and +-4 are as far
    # from 0 as 3 + 2 - 1: four of eight.
    assert found["difference"] == pytest.approx(4 / 3)
    assert found["p_value"] == pytest.approx(4 / 8)
    # The same nets twice are no new evidence.
    again = statistics.paired_errors([first], [second, second])
    assert again == pytest.approx(found)


def test_few_cases_are_calibrated():
    """Of groups that are equally good, at most one in twenty is below 0.05."""
    rng = np.random.default_rng(6)
    groups = rng.random((1000, 2, 3, 500)) < 0.002
    found = [statistics.paired_errors([a], [b])["p_value"] for a, b in groups]
    assert np.mean(np.array(found) < 0.05) < 0.05


def test_share_of_a_gain_of_any_number_of_nets():
    # Errors of a net: (4 + 4 + 6 + 2) / 2 = 8, 2 + 2 = 4, 3 + 2 = 5.
    share, (low, high) = statistics.share_of_gain(
        np.array([[4, 4], [6, 3]]), np.array([[2, 2]]), np.array([[3, 2]])
    )
    assert share == (8.5 - 5) / (8.5 - 4)
    # The first case alone with the first net alone has (4 - 3) / (4 - 2), in a
    # sixteenth of the samples; the second case (4 - 2) / (4 - 2).
    np.testing.assert_allclose([low, high], [1 / 2, 1])


def test_share_of_no_gain():
    same = np.ones((2, 3))
    for teacher in (same, same + 1):
        found = statistics.share_of_gain(same, teacher[:1], 0 * same)
        assert found == (None, [None, None])


def test_a_gain_that_a_sample_may_lack_has_no_interval():
    # A quarter of the samples has the first case alone, where the teacher
    # makes more errors.
    found = statistics.share_of_gain(
        np.array([[1, 9]]), np.array([[2, 3]]), np.array([[1, 4]])
    )
    assert found == ((10 - 5) / (10 - 5), [None, None])


def test_figures_over_seeds():
    found = statistics.over_seeds(np.array([1, 3]))
    mean, interval = statistics.mean_and_interval([1, 3])
    assert found == {"each": [1.0, 3.0], "mean": mean, "ci95": interval}


def test_wilson():
    # Solves |p - 8 / 10| = 1.96 sqrt(p (1 - p) / 10) for p.
    z, n = stats.norm.ppf(0.975), 10
    centre = (0.8 + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(0.16 / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert statistics.wilson(8, 10) == pytest.approx(
        [centre - half, centre + half]
    )

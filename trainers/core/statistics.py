"""Intervals and tests for errors on shared test cases."""

import numpy as np
from scipy import stats

_FEW = 20  # cases that differ, of which a t-test would be too sure


def mean_and_interval(values):
    """Mean and 95 % t-interval over seeds.

    Args:
      values: sequence of floats, one a seed.

    Returns:
      `(mean, [low, high])`; the bounds are None for a single seed, which says
      nothing about the spread over seeds.
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, [None, None]
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return mean, [mean - float(half), mean + float(half)]


def over_seeds(values):
    """Dict of "each", "mean" and "ci95" of one float a seed."""
    mean, interval = mean_and_interval(values)
    return {"each": [float(v) for v in values], "mean": mean, "ci95": interval}


def wilson(count, cases):
    """Wilson's 95 % interval of a share, over cases.

    What one net tells of its rate, where there are no seeds to compare.

    Args:
      count: int, of the cases that count.
      cases: int, at least 1.

    Returns:
      `[low, high]`.
    """
    found = stats.binomtest(count, cases).proportion_ci(method="wilson")
    return [float(found.low), float(found.high)]


def mcnemar(first_wrong, second_wrong):
    """McNemar's exact test of two nets on the same cases.

    Only cases on which one net is wrong and the other right count; were the
    nets equally good, each would be as likely to be the wrong one.

    Args:
      first_wrong: `[cases]` bool array.
      second_wrong: `[cases]` bool array.

    Returns:
      Dict: "only_first_wrong" and "only_second_wrong" (ints), and the
      two-sided "p_value".
    """
    only_first = int((first_wrong & ~second_wrong).sum())
    only_second = int((~first_wrong & second_wrong).sum())
    discordant = only_first + only_second
    p_value = 1.0
    if discordant:
        p_value = float(stats.binomtest(only_first, discordant).pvalue)
    return {
        "only_first_wrong": only_first,
        "only_second_wrong": only_second,
        "p_value": p_value,
    }


def cochran_q(wrong):
    """Cochran's Q test: are several nets wrong equally often?

    McNemar's test for more than two nets on the same cases.

    Args:
      wrong: sequence of `[cases]` bool arrays, one a net.

    Returns:
      Dict: "q" and its "p_value" (chi-squared, nets - 1 degrees of freedom).
    """
    wrong = np.stack(wrong).astype(np.float64)
    nets = len(wrong)
    by_net, by_case = wrong.sum(1), wrong.sum(0)
    spread = nets * np.sum(by_net**2) - by_net.sum() ** 2
    scale = nets * by_case.sum() - np.sum(by_case**2)
    # Nets that are wrong on the very same cases differ in nothing.
    q = (nets - 1) * spread / scale if scale else 0.0
    return {"q": float(q), "p_value": float(stats.chi2.sf(q, nets - 1))}


def paired_errors(first, second):
    """Whether two groups of nets make equally many errors on the same cases.

    Args:
      first: sequence of `[seeds, cases]` bool arrays, which cases the nets of a
        group get wrong.
      second: the same of the other group.

    Returns:
      Dict: "difference", the mean errors of a net of the first group less those
      of the second; and the two-sided "p_value" of a test over cases of the
      paired differences, so that a case counts once, however many nets saw it:
      of one net each McNemar's exact test, else a t-test or, of few cases that
      differ, the test of all flips of their signs (exact for groups of one
      size).
    """
    first, second = np.concatenate(first), np.concatenate(second)
    # In whole numbers, in which alike is equal.
    counts = [group.sum(0, dtype=np.int64) for group in (first, second)]
    gaps = len(second) * counts[0] - len(first) * counts[1]
    difference = gaps.sum() / (len(first) * len(second))
    return {"difference": float(difference), "p_value": _of_gaps(gaps)}


def _of_gaps(gaps):
    """Two-sided p-value of `[cases]` ints whose mean is 0 by hypothesis."""
    moved = gaps[gaps != 0]
    if not moved.size:
        return 1.0
    if np.ptp(np.abs(moved)) == 0:  # of one net each they all are +1 or -1
        above = int((moved > 0).sum())
        return float(stats.binomtest(above, moved.size).pvalue)
    if moved.size > _FEW:
        return float(stats.ttest_1samp(gaps, 0).pvalue)
    return _of_signs(moved)


def _of_signs(gaps):
    """The share of all choices of signs whose sum is as far from 0."""
    shares = np.ones(1)  # by the sum of those that are positive
    for size in np.abs(gaps):
        none = np.zeros(size)
        shares = (np.append(shares, none) + np.append(none, shares)) / 2
    total = np.abs(gaps).sum()
    sums = 2 * np.arange(total + 1) - total
    return float(shares[np.abs(sums) >= abs(gaps.sum())].sum())


def gain_transferred(teacher_wrong, student_wrong, distilled_wrong):
    """Share of the teacher's advantage that the distilled student keeps.

    (student - distilled) / (student - teacher), in errors summed over seeds,
    with a 95 % percentile bootstrap over seeds and test cases together.

    Args:
      teacher_wrong: `[seeds, cases]` bool array.
      student_wrong: the same for the student trained on labels.
      distilled_wrong: the same for the distilled student.

    Returns:
      `(share, [low, high])`; None for what is undefined: the share where the
      teacher makes no fewer errors than the student, the bounds where that is
      so in a fortieth of the samples.
    """
    by_arm = np.stack([teacher_wrong, student_wrong, distilled_wrong])
    share = _share(by_arm.sum((1, 2)))
    rng = np.random.default_rng(0)
    seeds, cases = by_arm.shape[1:]
    samples = []
    for _ in range(2000):
        rows = rng.integers(seeds, size=seeds)
        columns = np.bincount(rng.integers(cases, size=cases), minlength=cases)
        samples.append(_share((by_arm[:, rows] @ columns).sum(1)))
    return share, _interval(samples)


def share_of_gain(baseline, teacher, distilled):
    """Share of the teacher's gain over the baseline that a student keeps.

    (baseline - distilled) / (baseline - teacher), in mean errors, with a 95 %
    percentile bootstrap over the cases and over the nets of each kind; of three
    nets it knows little of how such nets differ.

    Args:
      baseline: `[nets, cases]` array of errors, any number of each case.
      teacher: the same, perhaps of another number of nets.
      distilled: the same.

    Returns:
      `(share, [low, high])`; None for what is undefined, as in
      `gain_transferred`.
    """
    arms = [np.asarray(a, float) for a in (teacher, baseline, distilled)]
    cases = arms[0].shape[1]
    share = _share([a.sum(1).mean() for a in arms])
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(2000):
        columns = np.bincount(rng.integers(cases, size=cases), None, cases)
        rows = [rng.integers(len(a), size=len(a)) for a in arms]
        samples.append(
            _share(
                [
                    (a @ columns)[r].mean()
                    for a, r in zip(arms, rows, strict=True)
                ]
            )
        )
    return share, _interval(samples)


def _share(errors):
    teacher, student, distilled = (float(e) for e in errors)
    if teacher >= student:
        return None
    return (student - distilled) / (student - teacher)


def _interval(samples):
    """95 % percentile interval of samples, some of them None."""
    found = [s for s in samples if s is not None]
    if len(found) <= 0.975 * len(samples):
        return [None, None]
    return [float(bound) for bound in np.percentile(found, [2.5, 97.5])]

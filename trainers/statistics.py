"""Intervals and tests for errors on shared test cases."""

import numpy as np
from scipy import stats


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


def gain_transferred(teacher_wrong, student_wrong, distilled_wrong):
    """Share of the teacher's advantage that the distilled student keeps.

    (student - distilled) / (student - teacher), in errors summed over seeds,
    with a 95 % percentile bootstrap over seeds and test cases together.

    Args:
      teacher_wrong: `[seeds, cases]` bool array.
      student_wrong: the same for the student trained on labels.
      distilled_wrong: the same for the distilled student.

    Returns:
      `(share, [low, high])`; None for what is undefined since student and
      teacher make equally many errors.
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
    samples = [s for s in samples if s is not None]
    if share is None or not samples:
        return None, [None, None]
    low, high = np.percentile(samples, [2.5, 97.5])
    return share, [float(low), float(high)]


def _share(errors):
    teacher, student, distilled = (float(e) for e in errors)
    if student == teacher:
        return None
    return (student - distilled) / (student - teacher)

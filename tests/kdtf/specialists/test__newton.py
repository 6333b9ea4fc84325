"""The monotone Newton iteration, on problems of its own."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf.specialists import _newton


def masses(base, member, lump, dustbins):
    """`Masses` of one case.

    Args:
      base: `[groups]` mass of each group.
      member: `[A, groups]` bool.
      lump: float.
      dustbins: `[A]`.
    """
    count = len(member)
    inside = np.repeat(member[:, None], count, axis=1)  # [m, n, g]
    first = member & ~(np.cumsum(member, 0) - member).astype(bool)
    inside = inside & member  # an absent group is padding
    return _newton.Masses(
        base=tf.constant((member * base)[None]),
        first=tf.constant(first[None].astype(float)),
        inside=tf.constant(inside[None]),
        outside=tf.constant((~inside).transpose(1, 2, 0)[None].astype(float)),
        lump=tf.constant([lump], tf.float64),
        dustbins=tf.constant([dustbins]),
    )


def random_problem(rng, count, spread):
    """Masses over many orders of magnitude."""
    member = rng.random((count, 12)) < 0.4
    member[np.arange(count), rng.integers(0, 12, count)] = True
    member = member[:, member.any(0)]
    base, lump, *dustbins = np.split(
        np.exp(-spread * rng.random(member.shape[1] + 1 + count)),
        member.shape[1] + np.arange(count + 1),
    )
    return base, member, float(lump[0]), np.concatenate(dustbins)


@pytest.mark.slow
def test_equations_hold_to_the_last_digits_in_few_steps():
    """t_m Q_m = d_m, with masses from 1 down to e^-150."""
    rng, most = np.random.default_rng(0), 0
    for count in [1, 2, 3, 5, 8]:
        for spread in [1, 10, 50, 150]:
            base, member, lump, dustbins = random_problem(rng, count, spread)
            found, steps = _newton.solve(masses(base, member, lump, dustbins))
            most = max(most, int(steps))
            # Each row of `found` has the denominators of its members.
            denominator = np.ones(len(base))
            for m in range(count):
                denominator[member[m]] = found[0, m].numpy()[member[m]]
            q = base / denominator
            outside = lump + ~member @ q
            u = dustbins / outside
            np.testing.assert_allclose(1 + u @ member, denominator, rtol=1e-9)
    assert most < 20


def test_m_matrix_is_solved():
    rng = np.random.default_rng(1)
    off = rng.random((5, 6, 6)) * (1 - np.eye(6))
    row_sums, right = rng.random((2, 5, 6))
    matrix = np.eye(6) * (row_sums + off.sum(-1))[..., None] - off
    x = _newton._solve_m_matrix(
        *map(tf.constant, (off + 7 * np.eye(6), row_sums, right))
    )
    expected = np.linalg.solve(matrix, right[..., None])[..., 0]
    np.testing.assert_allclose(x, expected, rtol=1e-12)


def test_nearly_singular_m_matrix_loses_no_digit():
    """x = 1 exactly where the right side is the row sums."""
    off = np.random.default_rng(2).random((1, 5, 5))
    row_sums = np.full((1, 5), 1e-60)
    x = _newton._solve_m_matrix(*map(tf.constant, (off, row_sums, row_sums)))
    np.testing.assert_allclose(x, np.ones((1, 5)), rtol=1e-13)

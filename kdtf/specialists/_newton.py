"""The combined distribution's unknowns, by a monotone Newton iteration.

For one case with A active specialists let W = 1 + A and

    base_i = p_g,i + sum_{m: i in S_m} p_m,i,   d_m = p_m,dustbin.

The distribution q that minimises KL(p_g, q) + sum_m KL(p_m, q), with q's mass
outside of S_m summed to Q_m, has (Lagrange)

    q_i = base_i / (W - sum_{m: i not in S_m} t_m),   t_m = d_m / Q_m.

Let t_0 = W - sum_m t_m. The denominator is then t_0 + sum_{m: i in S_m} t_m,
and t_0 itself for every class outside of all the sets, which are one lump of
mass b > 0: the denominators are sums of positive numbers, in which no digit is
lost. In units of t_0, with u_m = t_m / t_0, what remains is

    u_m = d_m / F_m(u),   F_m(u) = b + sum_{i not in S_m} base_i / (1 + s_i),
    s_i = sum_{n: i in S_n} u_n,                              m = 1 .. A.

1 / F_m is a harmonic mean of affine functions: it is increasing and concave,
and grows less than in proportion to u. So u - d / F(u) is convex, and its
Jacobian is an M-matrix wherever u >= d / F(u). There Newton's method needs no
line search: from u = d / b, which is such a point, it falls monotonically to
the only solution, in the end quadratically. Three to ten steps suffice, where
the fixed point of q may need thousands.

With x the ratio of the new u to the old one, rho_m = d_m / (u_m F_m), the step
solves

    (I - diag(rho) P) x = rho * sigma,
    P_mn = (u_n / F_m) sum_{i in S_n, not in S_m} base_i / (1 + s_i)^2,
    sigma_m = 1 - sum_n P_mn
            = (b + sum_{i not in S_m} base_i / (1 + s_i)^2) / F_m.

Row sums and off-diagonal elements are known without a subtraction, and so the
elimination runs without one, too (Grassmann, Taksar and Heyman 1985).
"""

from typing import NamedTuple

import tensorflow as tf

from kdtf._types import Tensor

MOST_STEPS = 60
# Of u, relative. The step after one as small as this changes no digit.
_TOLERANCE = 1e-7


class Masses(NamedTuple):
    """What the unknowns depend on; float64, A specialists of S classes.

    Attributes:
      base: `[batch, A, S]`, base_i of each class of each active set; 0 for
        padding.
      first: `[batch, A, S]`, 1 where a class appears first in its case, 0 where
        again or for padding.
      outside: `[batch, A, A, S]`, element [m, n, s] 1 where class s of set n is
        not in set m, else 0; 1 for padding.
      lump: `[batch]`, mass b > 0 outside of all active sets.
      dustbins: `[batch, A]`, d_m > 0; 0 for padding.
    """

    base: Tensor
    first: Tensor
    outside: Tensor
    lump: Tensor
    dustbins: Tensor


def solve(masses: Masses) -> tuple[Tensor, Tensor]:
    """Finds u = t / t_0.

    Args:
      masses: `Masses`.

    Returns:
      `[batch, A]` float64 u, 0 for padding, and the int32 number of steps.
    """

    def unfinished(step, u, done):
        del u
        return (step < MOST_STEPS) & ~tf.reduce_all(done)

    def body(step, u, done):
        ratio = tf.where(done[:, None], 1.0, _newton_ratio(masses, u))
        near = tf.reduce_all(tf.abs(ratio - 1.0) < _TOLERANCE, axis=-1)
        return step + 1, u * ratio, done | near

    u = masses.dustbins / masses.lump[:, None]
    done = tf.reduce_all(u == 0.0, axis=-1)
    steps, u, _ = tf.while_loop(unfinished, body, (0, u, done))
    return u, steps


def denominators(masses: Masses, u: Tensor) -> Tensor:
    """1 + s_i of each class of each set, `[batch, A, S]`."""
    return 1.0 + tf.einsum("bmns,bm->bns", 1.0 - masses.outside, u)


def _newton_ratio(masses: Masses, u: Tensor) -> Tensor:
    """x `[batch, A]`, the ratio of the next u to this one; 1 for padding."""
    base, first, outside, lump, dustbins = masses
    denominator = denominators(masses, u)
    q = base / denominator
    slope = q / denominator
    f = lump[:, None] + tf.einsum("bmns,bns->bm", outside, first * q)
    f_slope = lump[:, None] + tf.einsum("bmns,bns->bm", outside, first * slope)
    present = dustbins > 0.0
    rho = dustbins / (f * tf.where(present, u, 1.0))
    shares = tf.einsum("bmns,bns->bmn", outside, slope) * u[:, None]
    right = rho * f_slope / f
    # rho <= 1 but for rounding.
    row_sums = tf.maximum(1.0 - rho, 0.0) + right
    x = _solve_m_matrix((rho / f)[..., None] * shares, row_sums, right)
    return tf.where(present, x, 1.0)


def _solve_m_matrix(minus: Tensor, row_sums: Tensor, right: Tensor) -> Tensor:
    """Solves for x a system of an M-matrix that its row sums determine.

    Args:
      minus: `[batch, A, A]`, minus the elements off the diagonal, >= 0; what
        stands on the diagonal is not read.
      row_sums: `[batch, A]` of the matrix, >= 0.
      right: `[batch, A]`, >= 0.

    Returns:
      `[batch, A]`, every element to full relative precision.
    """
    count = row_sums.shape[-1]
    pivots, rows = [], []
    for k in reversed(range(count)):
        row = minus[:, k, :k]
        pivot = row_sums[:, k] + tf.reduce_sum(row, axis=-1)
        pivots.append(pivot)
        rows.append((row, right[:, k]))
        factor = minus[:, :k, k] / pivot[:, None]
        row_sums = row_sums[:, :k] + factor * row_sums[:, k, None]
        right = right[:, :k] + factor * right[:, k, None]
        minus = minus[:, :k, :k] + factor[..., None] * row[:, None]
    x = tf.zeros_like(right)
    for pivot, (row, value) in zip(
        reversed(pivots), reversed(rows), strict=True
    ):
        new = (value + tf.reduce_sum(row * x, axis=-1)) / pivot
        x = tf.concat([x, new[:, None]], axis=-1)
    return x

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
    """What the unknowns depend on, in float64.

    Classes that are in the same sets have the same denominator, so that their
    masses are added: of each active set come the masses of its G groups.

    Attributes:
      base: `[batch, A, G]`, sum of base_i over a group of a set; 0 for padding.
      first: `[batch, A, G]`, 1 where a group appears first in its case, else 0.
      inside: `[batch, A, A, G]` bool, element [m, n, g]: whether group g of set
        n is in set m; False for padding.
      outside: `[batch, A, G, A]`, element [n, g, m] 0 where group g of set n is
        in set m, else 1. The same as `inside`, in the order in which sums over
        g are quick.
      lump: `[batch]`, mass b > 0 outside of all active sets.
      dustbins: `[batch, A]`, d_m > 0; 0 for padding.
    """

    base: Tensor
    first: Tensor
    inside: Tensor
    outside: Tensor
    lump: Tensor
    dustbins: Tensor


def solve(masses: Masses) -> tuple[Tensor, Tensor]:
    """Finds the denominators, in units of that of the lump.

    Args:
      masses: `Masses`.

    Returns:
      `[batch, A, G]` float64 1 + s_i, and the int32 number of steps.
    """

    def unfinished(step: Tensor, u: Tensor, done: Tensor) -> Tensor:
        del u
        return (step < MOST_STEPS) & ~tf.reduce_all(done)

    def body(step: Tensor, u: Tensor, done: Tensor) -> tuple[Tensor, ...]:
        ratio = tf.where(~done[:, None], _newton_ratio(masses, u), 1.0)
        near = tf.reduce_all(tf.abs(ratio - 1.0) < _TOLERANCE, axis=-1)
        return step + 1, u * ratio, done | near

    u = masses.dustbins / masses.lump[:, None]
    done = tf.reduce_all(u == 0.0, axis=-1)
    steps, u, _ = tf.while_loop(unfinished, body, (0, u, done))
    return _denominators(masses, u), steps


def _denominators(masses: Masses, u: Tensor) -> Tensor:
    terms = tf.where(masses.inside, u[:, :, None, None], 0.0)
    return 1.0 + tf.reduce_sum(terms, axis=1)


def _newton_ratio(masses: Masses, u: Tensor) -> Tensor:
    """x `[batch, A]`, the ratio of the next u to this one; 1 for padding."""
    denominator = _denominators(masses, u)
    q = masses.base / denominator
    slope = q / denominator
    weights = tf.stack([slope, masses.first * slope, masses.first * q], axis=2)
    sums = weights @ masses.outside  # [batch, n, 3, m]
    f_slope, f = tf.unstack(tf.reduce_sum(sums[:, :, 1:], axis=1), axis=1)
    f_slope, f = masses.lump[:, None] + f_slope, masses.lump[:, None] + f
    present = masses.dustbins > 0.0
    rho = masses.dustbins / (f * tf.where(present, u, 1.0))
    shares = tf.transpose(sums[:, :, 0], (0, 2, 1)) * u[:, None]
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
    count = tf.shape(right)[-1]
    below = tf.linalg.band_part(tf.ones((count, count), minus.dtype), -1, 0)
    below -= tf.eye(count, dtype=minus.dtype)

    def eliminate(
        i: Tensor, minus: Tensor, row_sums: Tensor, right: Tensor
    ) -> tuple[Tensor, ...]:
        k = count - 1 - i
        row = minus[:, k] * below[k]
        pivot = row_sums[:, k] + tf.reduce_sum(row, axis=-1)
        factor = minus[:, :, k] * below[k] / pivot[:, None]
        return (
            i + 1,
            minus + factor[..., None] * row[:, None],
            row_sums + factor * row_sums[:, k, None],
            right + factor * right[:, k, None],
        )

    _, minus, row_sums, right = tf.while_loop(
        lambda i, *_: i < count - 1, eliminate, (0, minus, row_sums, right)
    )
    minus *= below
    pivots = row_sums + tf.reduce_sum(minus, axis=-1)

    def substitute(k: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        value = right[:, k] + tf.reduce_sum(minus[:, k] * x, axis=-1)
        here = tf.one_hot(k, count, dtype=x.dtype)
        x += here * (value / pivots[:, k])[:, None]
        # A loop in a graph refuses a shape of which less is known than before,
        # as it is of one element that was multiplied by `here`.
        return k + 1, tf.ensure_shape(x, right.shape)

    _, x = tf.while_loop(
        lambda k, _: k < count, substitute, (0, tf.zeros_like(right))
    )
    return x

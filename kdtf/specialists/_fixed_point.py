"""The combined distribution where the active sets cover every class.

No class is then outside of all the sets, which `_newton` needs. With the names
of `_newton`, q is the fixed point of

    q_i <- (base_i + q_i sum_{m: i not in S_m} d_m / Q_m) / W,

the EM algorithm, which never lowers sum base_i log q_i + sum d_m log Q_m. It is
accelerated in log q by squared extrapolation (Varadhan and Roland 2008), and an
extrapolation that does not pay is not taken.
"""

import tensorflow as tf

from kdtf._types import Tensor
from kdtf.specialists._newton import Masses

MOST_STEPS = 300
# Of log q, between one EM step and the next.
_TOLERANCE = 1e-10
# Of the likelihood, which is of the order of 1.
_ROUNDING = 1e-13
# Log of the least q, of the largest, from which an extrapolation goes on.
_LEAST = -500.0


def solve(masses: Masses, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Finds log q of the groups of the sets, given that there are no others.

    Args:
      masses: `Masses`; its `lump` is not used.
      wanted: `[batch]` bool, the cases to solve.

    Returns:
      `[batch, A, G]` float64, of no meaning at padding and where not `wanted`,
      and the int32 number of steps.
    """

    def unfinished(step: Tensor, log_q: Tensor, done: Tensor) -> Tensor:
        del log_q
        return (step < MOST_STEPS) & ~tf.reduce_all(done)

    def body(step: Tensor, log_q: Tensor, done: Tensor) -> tuple[Tensor, ...]:
        new, change = _extrapolated(masses, log_q)
        kept = tf.where(done[:, None, None], log_q, new)
        return step + 1, kept, done | (change < _TOLERANCE)

    start = tf.math.log(tf.where(masses.base > 0.0, masses.base, 1.0))
    steps, log_q, _ = tf.while_loop(unfinished, body, (0, start, ~wanted))
    return log_q, steps


def _extrapolated(masses: Masses, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """The next log q, and how much an EM step changes this one, `[batch]`."""
    once = _em_step(masses, log_q)
    twice = _em_step(masses, once)
    is_member = masses.base > 0.0
    slope = tf.where(is_member, once - log_q, 0.0)
    curvature = tf.where(is_member, twice - once, 0.0) - slope
    length = _norm(masses, slope) / tf.maximum(_norm(masses, curvature), 1e-30)
    length = tf.maximum(length, 1.0)
    far = log_q + 2.0 * length * slope + tf.square(length) * curvature
    # The EM step takes q of any scale, and makes its sum 1.
    far -= tf.reduce_max(far, axis=(1, 2), keepdims=True)
    far = _em_step(masses, tf.maximum(far, _LEAST))
    gain = _likelihood(masses, far) - _likelihood(masses, twice)
    change = tf.reduce_max(tf.abs(slope), axis=(1, 2))
    return tf.where(gain[:, None, None] >= -_ROUNDING, far, twice), change


def _em_step(masses: Masses, log_q: Tensor) -> Tensor:
    q = tf.exp(log_q)
    shares = masses.dustbins / _outside_mass(masses, q)
    added = tf.linalg.matvec(masses.outside, shares[:, None])
    count = tf.math.count_nonzero(masses.dustbins, axis=-1, dtype=q.dtype)
    return tf.math.log((masses.base + q * added) / (1.0 + count)[:, None, None])


def _outside_mass(masses: Masses, q: Tensor) -> Tensor:
    """Q_m, `[batch, A]`; for padding the mass of all classes."""
    return tf.einsum("bngm,bng->bm", masses.outside, masses.first * q)


def _likelihood(masses: Masses, log_q: Tensor) -> Tensor:
    """sum base_i log q_i + sum d_m log Q_m, `[batch]`, of a q of sum 1."""
    own = masses.first * masses.base * log_q
    mass = _outside_mass(masses, tf.exp(log_q))
    other = masses.dustbins * tf.math.log(mass)
    return tf.reduce_sum(own, axis=(1, 2)) + tf.reduce_sum(other, axis=-1)


def _norm(masses: Masses, values: Tensor) -> Tensor:
    """`[batch, 1, 1]` of `[batch, A, G]`, each group once."""
    squares = masses.first * tf.square(values)
    return tf.sqrt(tf.reduce_sum(squares, axis=(1, 2), keepdims=True))

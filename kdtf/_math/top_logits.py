"""TopLogits: the k largest logits of a row, and the mass of all the others.

A teacher of many classes puts most of the mass on a few. Kept of a row are the
k largest logits u_i, their classes, and the logarithm t of the mass that
softmax(u / T) puts on the other C - k classes. Read back, that mass is spread
evenly: with L = log sum_top exp(u_i / T), the row stands for the logits

    u_i at the k classes,  r = T (t - log(1 - e^t) + L - log(C - k)) elsewhere.

The losses take it in place of teacher logits and never build that dense row.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from kdtf._math import arguments, loss_kernels, softmax, terms
from kdtf._types import Scalar, Tensor, TensorLike


class TopLogits(NamedTuple):
    """The k largest logits of rows of C classes, k < C.

    Holds for the temperature at which `tail` was taken, and for no other.

    Attributes:
      logits: `[..., k]` floating.
      classes: `[..., k]` integer, all different within a row; the first is the
        class of the largest logit.
      tail: `[...]` floating, log of the mass of all other classes at T.

    Example:
      >>> teacher_logits = [[4.0, 2.0, 0.0, -1.0]]
      >>> top = kdtf.TopLogits.of(teacher_logits, 2, temperature=2.0)
      >>> top.classes.numpy()
      array([[0, 1]], dtype=int32)
      >>> loss = kdtf.losses.soft_loss(
      ...     [[4.0, 2.0, 0.0, 0.0]], top, temperature=2.0
      ... )
      >>> loss.numpy().round(4)
      array([0.003], dtype=float32)
    """

    logits: Any
    classes: Any
    tail: Any

    @classmethod
    def of(cls, logits: TensorLike, k: int, temperature: Scalar) -> "TopLogits":
        """The k largest of `[..., classes]` logits, in descending order.

        Args:
          logits: `[..., classes]`, any floating dtype.
          k: int, 1 <= k < classes.
          temperature: scalar T > 0.

        Returns:
          `TopLogits` with float32 (or float64) logits and tail.

        Raises:
          ValueError: if k is not below the number of classes, or a Python
            temperature is not positive and finite.
        """
        logits = softmax.at_least_float32(logits)
        arguments.check_class_count(logits.shape[-1], "logits")
        arguments.check_top_count(k, logits.shape[-1])
        arguments.check_temperature(temperature)
        top, classes = tf.math.top_k(logits, k)
        log_p = softmax.tempered_log_softmax(logits, temperature)
        others = terms.put(
            log_p, classes, tf.fill(tf.shape(top), log_p.dtype.min)
        )
        return cls(top, classes, tf.reduce_logsumexp(others, axis=-1))

    def dense(self, classes: int, temperature: Scalar) -> Tensor:
        """The logits `[..., classes]` that it stands for, mass spread evenly.

        Args:
          classes: int, the number C of classes.
          temperature: scalar T at which `tail` was taken.

        Returns:
          `[..., classes]` float32 (or float64).
        """
        top = softmax.at_least_float32(self.logits)
        peak = tf.reduce_max(top, axis=-1, keepdims=True)
        temperature = tf.cast(temperature, top.dtype)
        rest = peak + temperature * _rest(
            (top - peak) / temperature, self.tail, classes
        )
        shape = tf.concat([tf.shape(top)[:-1], [classes]], 0)
        return terms.put(tf.broadcast_to(rest, shape), self.classes, top)


# --- the loss ----------------------------------------------------------------
#
# The sums of `loss_kernels` are over a row whose target is one number, c, but
# at k classes. To tell these from the others would take a mask of the size of
# the logits. Instead all classes are summed as if c were their target; what the
# k add to that is left out or taken off again. It is left out where the k
# largest logits of the student are those of the k classes: what is below the
# smallest of these is another class. It is taken off where others are among
# them. That loses digits only where the k add much more than all others; but a
# student with another class above some of the k is far from its teacher, and
# has no small loss whose digits could be lost.


def divergence(student_logits, top, temperature):
    """KL(teacher || student) at T of the rows that `TopLogits` stand for.

    Args:
      student_logits: `[..., classes]`.
      top: `TopLogits` of tensors.
      temperature: scalar tensor.

    Returns:
      `terms.Term`, the same numbers as those of `loss_kernels.divergence`.
    """
    width = tf.cast(tf.shape(student_logits)[-1], top.classes.dtype)
    in_range = (top.classes >= 0) & (top.classes < width)
    classes = tf.where(in_range, top.classes, tf.zeros_like(top.classes))
    top = top._replace(classes=classes)
    row = _row(student_logits, top, temperature)
    loss, log_sums = _sums(student_logits, row, temperature)
    # NaN, an error that shows, where a class is none of the student's.
    one, nan = (tf.constant(c, loss.dtype) for c in (1, math.nan))
    loss *= tf.where(tf.reduce_all(in_range, axis=-1), one, nan)

    def slope(upstream, classes=None):
        v, z = row.v_top, row.z_top
        if classes is None:
            v, z = row.rest, _scaled(student_logits, row.peak, temperature)
        each = _log_probabilities(v, z, *log_sums)
        residual = loss_kernels.exp_difference(*each) / temperature
        return upstream[..., None] * residual

    def second(student_logits, upstream, direction):
        z, _ = loss_kernels.at_working_precision(student_logits, top.logits)
        v = top.dense(z.shape[-1], temperature)
        return loss_kernels.second_derivative(
            upstream,
            direction,
            target=tf.nn.softmax(v / temperature),
            probabilities=tf.nn.softmax(z / temperature),
            temperature=temperature,
        )

    return terms.Term(loss, slope, second, classes)


class _Row(NamedTuple):
    """What the loss knows of rows before it sums.

    Attributes:
      peak: `[..., 1]`, of the student's logits z.
      z_top: `[..., k]`, (z - peak) / T at the k classes.
      v_top: `[..., k]`, the teacher's (u - peak) / T there.
      rest: `[..., 1]`, c: the teacher's (u - peak) / T elsewhere.
      others: scalar, how many classes are elsewhere.
      lowest: `[..., 1]`, the smallest z at the k classes.
      mixed: `[..., 1]` bool, whether other classes reach it.
    """

    peak: Any
    z_top: Any
    v_top: Any
    rest: Any
    others: Any
    lowest: Any
    mixed: Any


def _row(student_logits, top, temperature):
    """The `_Row`s."""
    z, u = loss_kernels.at_working_precision(student_logits, top.logits)
    there = terms.take(student_logits, top.classes)
    there = softmax.at_least_float32(there)
    # Of one more than k, so that XLA:GPU does not join it with the sums over k:
    # these wait for the peak, and what counts could not join the peak's pass.
    more = tf.concat([there, there[..., :1]], axis=-1)
    lowest = tf.reduce_min(more, axis=-1, keepdims=True)
    reach = tf.cast(z >= lowest, z.dtype)
    k = u.shape[-1]
    peak = loss_kernels.peak(z)
    v_top = _scaled(u, loss_kernels.peak(u), temperature)
    return _Row(
        peak=peak,
        z_top=_scaled(there, peak, temperature),
        v_top=v_top,
        rest=_rest(v_top, top.tail, z.shape[-1]),
        others=tf.cast(z.shape[-1] - k, z.dtype),
        lowest=lowest,
        mixed=tf.reduce_sum(reach, axis=-1, keepdims=True) > k,
    )


def _scaled(logits, peak, temperature):
    """(z - peak) / T, `[..., classes]`; see `loss_kernels` for the product."""
    logits = softmax.at_least_float32(logits)
    return (logits - peak) * (1.0 / temperature)


def _sums(student_logits, row, temperature):
    """KL, `[...]`, and log S and L, `[..., 1]`, as in `loss_kernels`."""
    z = _scaled(student_logits, row.peak, temperature)
    logits = softmax.at_least_float32(student_logits)
    counts = row.mixed | ~(logits >= row.lowest)

    def total(values):
        return tf.reduce_sum(values, axis=-1, keepdims=True)

    z_sum = total(tf.exp(z))
    if student_logits.dtype.size == 2:
        z = loss_kernels.as_others(z, row.peak)

    def sum_of(kind):
        everywhere = kind(z, row.rest)
        everywhere = tf.where(counts, everywhere, tf.zeros_like(z))
        there = total(kind(row.z_top, row.rest))
        there = tf.where(row.mixed, there, tf.zeros_like(there))
        return total(everywhere) - there + total(kind(row.z_top, row.v_top))

    v_sum = total(tf.exp(row.v_top)) + row.others * tf.exp(row.rest)
    loss, log_ratio = loss_kernels.divergence_of_sums(
        v_sum,
        z_sum,
        sum_of(_gap_terms) / v_sum,
        sum_of(_remainder_terms) / v_sum,
    )
    return loss[..., 0], (tf.math.log(v_sum), log_ratio)


def _gap_terms(z, v):
    """S p g; see `loss_kernels`."""
    return tf.exp(v) * loss_kernels.gap_of(v, z)


def _remainder_terms(z, v):
    """S p r(g); see `loss_kernels`."""
    return loss_kernels.remainder_terms(z, v, loss_kernels.gap_of(v, z))


def _log_probabilities(v, z, log_sum, log_ratio):
    """log p, log q and log p - log q of classes with these logits over T."""
    gap = loss_kernels.gap_of(v, z)
    return v - log_sum, z - log_sum - log_ratio, gap + log_ratio


def _rest(v_top, tail, classes):
    """r / T, `[..., 1]`, from the top logits over T; see the module.

    In float64, for a few numbers per row: at high temperatures r / T is the
    small difference of large numbers.
    """
    others = classes - v_top.shape[-1]
    tail = tf.cast(tail, tf.float64)[..., None]
    log_sum = tf.reduce_logsumexp(
        tf.cast(v_top, tf.float64), axis=-1, keepdims=True
    )
    odds = tail - tf.math.log(-tf.math.expm1(tail))
    return tf.cast(
        odds + log_sum - tf.math.log(tf.cast(others, tf.float64)), v_top.dtype
    )

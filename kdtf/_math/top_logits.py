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

from kdtf._math import arguments, loss_kernels, softmax
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
        others = _put(log_p, classes, tf.fill(tf.shape(top), log_p.dtype.min))
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
        return _put(tf.broadcast_to(rest, shape), self.classes, top)


@tf.custom_gradient
def divergence(student_logits, top_logits, top_classes, tail, temperature):
    """KL(teacher || student) at T, `[...]`, of the rows that these stand for.

    The same numbers, and the same care for digits, as in
    `loss_kernels.divergence`. The target is one number per row except at k
    classes, so every sum runs over all classes with that number and is then
    corrected at the k.
    """
    width = tf.cast(tf.shape(student_logits)[-1], top_classes.dtype)
    in_range = (top_classes >= 0) & (top_classes < width)
    top_classes = tf.where(in_range, top_classes, tf.zeros_like(top_classes))
    top = TopLogits(top_logits, top_classes, tail)
    rows = _rows(student_logits, top, temperature)
    z, z_top, v_top, k = _scaled(student_logits, top, temperature, rows)
    rest = rows[1]
    # Classes whose z equals the target add nothing, so nothing cancels later.
    z_rest = _put(z, top.classes, tf.broadcast_to(rest, tf.shape(z_top)))
    loss = tf.reduce_sum(_terms(rest, z_rest, rows), axis=-1)
    loss -= k * _terms(rest, rest, rows)[..., 0]
    loss += tf.reduce_sum(_terms(v_top, z_top, rows), axis=-1)
    # NaN, an error that shows, where a class is none of the student's.
    one, nan = (tf.constant(c, loss.dtype) for c in (1, math.nan))
    loss *= tf.where(tf.reduce_all(in_range, axis=-1), one, nan)

    def gradient(upstream):
        unit = _gradient(student_logits, top, temperature, rows)
        return unit(upstream), None, None, None, None

    return loss, gradient


def _rows(student_logits, top, temperature):
    """What the backward pass keeps: five numbers per row, `[..., 1]` each.

    The peak of z; the target's logit off the top, over T; its log-sum; how much
    larger the student's log-sum is; the peak of u.
    """
    z, u = loss_kernels.at_working_precision(student_logits, top.logits)
    z_peak = tf.reduce_max(z, axis=-1, keepdims=True)
    u_peak = tf.reduce_max(u, axis=-1, keepdims=True)
    v_top = (u - u_peak) / temperature
    rest = _rest(v_top, top.tail, z.shape[-1])
    others = tf.cast(z.shape[-1] - u.shape[-1], z.dtype)
    v_sum = tf.reduce_sum(tf.exp(v_top), axis=-1, keepdims=True)
    v_sum += others * tf.exp(rest)
    z = (z - z_peak) / temperature
    z_top = _take(z, top.classes)
    z_rest = _put(z, top.classes, tf.broadcast_to(rest, tf.shape(z_top)))
    excess = sum(
        tf.reduce_sum(
            loss_kernels.exp_difference(v, z, v - z), axis=-1, keepdims=True
        )
        for v, z in ((rest, z_rest), (v_top, z_top))
    )
    return (
        z_peak,
        rest,
        tf.math.log(v_sum),
        tf.math.log1p(excess / v_sum),
        u_peak,
    )


def _scaled(student_logits, top, temperature, rows):
    """z `[..., classes]`, z and v `[..., k]`, minus peaks and over T; and k."""
    z, u = loss_kernels.at_working_precision(student_logits, top.logits)
    z = (z - rows[0]) / temperature
    v_top = (u - rows[4]) / temperature
    return z, _take(z, top.classes), v_top, tf.cast(u.shape[-1], z.dtype)


def _log_probabilities(v, z, rows):
    """log p, log q and log p - log q of classes with these logits over T."""
    _, _, v_log_sum, log_sum_difference, _ = rows
    log_q = z - v_log_sum - log_sum_difference
    return v - v_log_sum, log_q, (v - z) + log_sum_difference


def _terms(v, z, rows):
    return _divergence_terms(*_log_probabilities(v, z, rows))


def _divergence_terms(log_p, log_q, log_ratio):
    """p (d - 1 + exp(-d)) with d = log_ratio: the terms of the divergence."""
    p = tf.exp(log_p)
    return tf.where(
        tf.abs(log_ratio) < loss_kernels.CLOSE,
        p * loss_kernels.exp_remainder(log_ratio),
        p * (log_ratio - 1.0) + tf.exp(log_q),
    )


def _gradient(student_logits, top, temperature, rows):
    """upstream `[...]` -> dL/dz = upstream (q - p) / T, right to any order."""

    @tf.custom_gradient
    def logit_gradient(student_logits, upstream):
        z, z_top, v_top, _ = _scaled(student_logits, top, temperature, rows)

        def residual(v, z):
            difference = loss_kernels.exp_difference(
                *_log_probabilities(v, z, rows)
            )
            return upstream[..., None] * difference / temperature

        result = _put(residual(rows[1], z), top.classes, residual(v_top, z_top))

        def second(direction):
            z, _ = loss_kernels.at_working_precision(student_logits, top.logits)
            v = top.dense(z.shape[-1], temperature)
            return loss_kernels.second_derivative(
                student_logits,
                upstream,
                direction,
                target=tf.nn.softmax(v / temperature),
                probabilities=tf.nn.softmax(z / temperature),
                temperature=temperature,
            )

        return tf.cast(result, student_logits.dtype), second

    return lambda upstream: logit_gradient(student_logits, upstream)


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


def _take(values, classes):
    """`[..., k]` of `[..., classes]` values."""
    return tf.gather(
        values, classes, batch_dims=classes.shape.rank - 1, axis=-1
    )


def _put(values, classes, replacement):
    """`[..., classes]` values with `[..., k]` others at these classes."""
    width, k = tf.shape(values)[-1], tf.shape(classes)[-1]
    flat = tf.reshape(values, (-1, width))
    rows = tf.repeat(tf.range(tf.shape(flat)[0]), k)
    columns = tf.reshape(tf.cast(classes, tf.int32), (-1,))
    placed = tf.tensor_scatter_nd_update(
        flat,
        tf.stack([rows, columns], axis=-1),
        tf.reshape(replacement, (-1,)),
    )
    return tf.reshape(placed, tf.shape(values))

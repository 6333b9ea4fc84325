"""Soft and hard loss of labels that do not exclude each other.

Each logit z stands for a distribution of its own, q = sigmoid(z / T) for the
label and 1 - q against it: a softmax over the two logits (z, 0). All is
elementwise: value and gradient take a pass each, and nothing is kept.

Arguments are checked in `kdtf.losses`.
"""

import math

import tensorflow as tf

from kdtf._math import entries, loss_kernels, softmax

# --- the soft term -----------------------------------------------------------
#
# With a = v / T of the teacher, b = z / T of the student and g = a - b,
#
#   KL = p g + log(1 + e^b) - log(1 + e^a) = p g + log1p(u),  u = p (e^-g - 1).
#
# If g is small, both terms are p g up to a remainder, and KL is the difference
# of remainders: with r(g) = e^-g - 1 + g, KL = p r(g) - (u - log(1 + u)). That
# loses digits if p is near 1, so the signs of a and b are turned where a > 0:
# it exchanges p and 1 - p, which leaves KL as it is. The gradient (q - p) / T
# is p (1 - q) (e^-g - 1) = q (1 - p) (1 - e^g), a product without differences.


@tf.custom_gradient
def divergence(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T, `[..., labels]`, of every label."""
    a, b, gap = _scaled(student_logits, teacher_logits, temperature)
    turned = a > 0
    a, b, gap = (tf.where(turned, -t, t) for t in (a, b, gap))
    p = tf.sigmoid(a)
    remainder = loss_kernels.exp_remainder(gap)
    near = p * remainder - loss_kernels.log_remainder(p * (remainder - gap))
    far = p * gap + tf.math.softplus(b) - tf.math.softplus(a)
    loss = tf.where(tf.abs(gap) < loss_kernels.CLOSE, near, far)

    def gradient(upstream):
        unit = _soft_gradient(student_logits, teacher_logits, temperature)
        return unit(upstream), None, None

    return loss, gradient


def _scaled(student_logits, teacher_logits, temperature):
    """a, b and a - b, `[..., labels]`; finite also for infinite logits."""
    z, v = loss_kernels.at_working_precision(student_logits, teacher_logits)
    most = z.dtype.max / 4
    a = tf.clip_by_value(v / temperature, -most, most)
    b = tf.clip_by_value(z / temperature, -most, most)
    # The difference first: the division would round both.
    gap = (v - z) / temperature
    return a, b, tf.where(tf.math.is_finite(gap), gap, a - b)


def _soft_gradient(student_logits, teacher_logits, temperature):
    """upstream -> dL/dz = upstream (q - p) / T, right to any order."""

    @tf.custom_gradient
    def logit_gradient(student_logits, upstream):
        a, b, gap = _scaled(student_logits, teacher_logits, temperature)
        residual = tf.where(
            gap > 0,
            tf.sigmoid(a) * tf.sigmoid(-b) * _expm1(-tf.abs(gap)),
            -tf.sigmoid(b) * tf.sigmoid(-a) * _expm1(-tf.abs(gap)),
        )
        residual /= temperature
        result = tf.cast(upstream * residual, student_logits.dtype)

        def second(direction):
            _, v = loss_kernels.at_working_precision(
                student_logits, teacher_logits
            )
            return _second_derivative(
                student_logits,
                upstream,
                direction,
                target=tf.sigmoid(v / temperature),
                temperature=temperature,
            )

        return result, second

    return lambda upstream: logit_gradient(student_logits, upstream)


def _expm1(x):
    """e^x - 1 for x <= 0; see `loss_kernels.exp_remainder`."""
    near = loss_kernels.exp_remainder(-x) + x
    return tf.where(-x < loss_kernels.CLOSE, near, tf.exp(x) - 1.0)


# --- the hard term -----------------------------------------------------------


@tf.custom_gradient
def cross_entropy(student_logits, labels):
    """-y log q - (1 - y) log(1 - q), `[..., labels]`; 0 where y is negative."""
    z = softmax.at_least_float32(student_logits)
    y = tf.cast(labels, z.dtype)
    # What is no label shows as NaN.
    y = tf.where(y > 1, tf.constant(math.nan, y.dtype), y)
    known = entries.has_truth(y)
    # A label that is excluded by an infinite logit, and is not there, adds 0.
    loss = tf.math.multiply_no_nan(tf.math.softplus(-z), y)
    loss += tf.math.multiply_no_nan(tf.math.softplus(z), 1.0 - y)
    loss = tf.where(known, loss, tf.zeros_like(loss))

    def gradient(upstream):
        return _hard_gradient(student_logits, y, known)(upstream), None

    return loss, gradient


def _hard_gradient(student_logits, y, known):
    """upstream -> dL/dz = upstream (q - y), right to any order."""

    @tf.custom_gradient
    def logit_gradient(student_logits, upstream):
        z = softmax.at_least_float32(student_logits)
        # q - y would lose the digits of a small 1 - q.
        residual = (1.0 - y) * tf.sigmoid(z) - y * tf.sigmoid(-z)
        residual = tf.where(known, residual, tf.zeros_like(residual))
        result = tf.cast(upstream * residual, student_logits.dtype)

        def second(direction):
            return _second_derivative(
                student_logits,
                upstream,
                tf.where(known, direction, tf.zeros_like(direction)),
                target=y,
            )

        return result, second

    return lambda upstream: logit_gradient(student_logits, upstream)


def _second_derivative(
    student_logits, upstream, direction, *, target, temperature=1.0
):
    """Gradient of direction x upstream (q - target) / T by z and upstream.

    Written in plain differentiable operations, so that orders above the second
    are right as well.
    """
    z = softmax.at_least_float32(student_logits) / temperature
    direction = tf.cast(direction, z.dtype)
    slope = tf.sigmoid(z) * tf.sigmoid(-z) / temperature / temperature
    by_logits = direction * upstream * slope
    by_upstream = direction * (tf.sigmoid(z) - target) / temperature
    return tf.cast(by_logits, student_logits.dtype), by_upstream

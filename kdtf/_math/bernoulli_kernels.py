"""Soft and hard loss of labels that do not exclude each other.

Each logit z stands for a distribution of its own, q = sigmoid(z / T) for the
label and 1 - q against it: a softmax over the two logits (z, 0). All is
elementwise: value and gradient take a pass each, and nothing is kept.

Arguments are checked in `kdtf.losses`.
"""

import math

import tensorflow as tf

from kdtf._math import entries, loss_kernels, softmax, terms

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


def divergence(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T, the mean over the labels."""
    a, b, gap = _scaled(student_logits, teacher_logits, temperature)
    turned = a > 0
    a, b, gap = (tf.where(turned, -t, t) for t in (a, b, gap))
    p = tf.sigmoid(a)
    remainder = loss_kernels.exp_remainder(gap)
    near = p * remainder - loss_kernels.log_remainder(p * (remainder - gap))
    far = p * gap + tf.math.softplus(b) - tf.math.softplus(a)
    loss = tf.where(tf.abs(gap) < loss_kernels.CLOSE, near, far)

    def slope():
        a, b, gap = _scaled(student_logits, teacher_logits, temperature)
        residual = tf.where(
            gap > 0,
            tf.sigmoid(a) * tf.sigmoid(-b) * _expm1(-tf.abs(gap)),
            -tf.sigmoid(b) * tf.sigmoid(-a) * _expm1(-tf.abs(gap)),
        )
        return residual / temperature

    def second(student_logits):
        z, v = loss_kernels.at_working_precision(student_logits, teacher_logits)
        z, target = z / temperature, tf.sigmoid(v / temperature)
        curvature = tf.sigmoid(z) * tf.sigmoid(-z) / temperature / temperature
        return curvature, (tf.sigmoid(z) - target) / temperature

    return _mean_term(loss, slope, second)


def _scaled(student_logits, teacher_logits, temperature):
    """a, b and a - b, `[..., labels]`; finite also for infinite logits."""
    z, v = loss_kernels.at_working_precision(student_logits, teacher_logits)
    most = z.dtype.max / 4
    a = tf.clip_by_value(v / temperature, -most, most)
    b = tf.clip_by_value(z / temperature, -most, most)
    # The difference first: the division would round both.
    gap = (v - z) / temperature
    return a, b, tf.where(tf.math.is_finite(gap), gap, a - b)


def _expm1(x):
    """e^x - 1 for x <= 0; see `loss_kernels.exp_remainder`."""
    near = loss_kernels.exp_remainder(-x) + x
    return tf.where(-x < loss_kernels.CLOSE, near, tf.exp(x) - 1.0)


# --- the hard term -----------------------------------------------------------


def cross_entropy(student_logits, labels):
    """-y log q - (1 - y) log(1 - q), the mean over labels; 0 where y < 0."""
    z = softmax.at_least_float32(student_logits)
    y = tf.cast(labels, z.dtype)
    # What is no label shows as NaN.
    y = tf.where(y > 1, tf.constant(math.nan, y.dtype), y)
    known = entries.has_truth(y)
    # A label that is excluded by an infinite logit, and is not there, adds 0.
    loss = tf.math.multiply_no_nan(tf.math.softplus(-z), y)
    loss += tf.math.multiply_no_nan(tf.math.softplus(z), 1.0 - y)

    def where_known(values):
        return tf.where(known, values, tf.zeros_like(values))

    def slope():
        z = softmax.at_least_float32(student_logits)
        # q - y would lose the digits of a small 1 - q.
        return where_known((1.0 - y) * tf.sigmoid(z) - y * tf.sigmoid(-z))

    def second(student_logits):
        z = softmax.at_least_float32(student_logits)
        curvature = tf.sigmoid(z) * tf.sigmoid(-z)
        return where_known(curvature), where_known(tf.sigmoid(z) - y)

    return _mean_term(where_known(loss), slope, second)


# --- both terms --------------------------------------------------------------


def _mean_term(each, slope_of, derivatives_of):
    """The `terms.Term` of the mean over the labels.

    Args:
      each: `[..., labels]`, the loss of every label.
      slope_of: function to its derivative by its logit, `[..., labels]`.
      derivatives_of: function of the logits to its second derivative and, in
        plain differentiable operations, the first, `[..., labels]` each.
    """
    labels = tf.cast(tf.shape(each)[-1], each.dtype)

    def slope(upstream):
        return upstream[..., None] / labels * slope_of()

    def second(student_logits, upstream, direction):
        curvature, first = derivatives_of(student_logits)
        by_upstream = tf.reduce_mean(direction * first, axis=-1)
        return direction * upstream[..., None] / labels * curvature, by_upstream

    return terms.Term(tf.reduce_mean(each, axis=-1), slope, second)

"""Soft and hard loss with analytic gradients, in as few bytes as they need.

The backward pass keeps a few numbers a row and computes the rest again from
the logits, which it has anyway: on a GPU every pass fuses into one kernel that
reads both logits and writes nothing of full size but the gradient. Row maximum
and row log-sum are kept apart: their sum would lose digits on large logits.

Arguments are checked in `kdtf.losses`.
"""

import math

import tensorflow as tf

from kdtf import numerics

# --- the soft term -----------------------------------------------------------
#
# With row maxima removed, z' = (z - max z) / T and v' = (v - max v) / T, and
# log-sums lz = log sum exp z', lv = log sum exp v':
#
#   log p = v' - lv,  log q = z' - lz,  d = log p - log q = v' - z' + (lz - lv).
#
# At high temperatures p and q agree in most of their digits, and so do lz and
# lv; what counts is their difference. So nothing here is the difference of two
# rounded numbers of size 1: lz - lv is computed as one number, log(1 +
# sum(exp z' - exp v') / sum exp v'), q - p as p (exp(-d) - 1), and the
# divergence as sum_i p_i (d_i - 1 + exp(-d_i)), no term of which is negative.

_CLOSE = 0.25  # log-ratios below which digits would be lost


@tf.custom_gradient
def divergence(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T, `[...]`; see `kdtf.losses.soft_loss`."""
    rows = _soft_rows(student_logits, teacher_logits, temperature)
    log_p, log_q, log_ratio = _soft_log_probabilities(
        student_logits, teacher_logits, temperature, rows
    )
    loss = tf.reduce_sum(divergence_terms(log_p, log_q, log_ratio), axis=-1)

    def gradient(upstream):
        unit = _soft_gradient(student_logits, teacher_logits, temperature, rows)
        return unit(upstream), None, None

    return loss, gradient


def _soft_rows(student_logits, teacher_logits, temperature):
    """What the backward pass keeps: four numbers a row, `[..., 1]` each."""
    z, v = at_working_precision(student_logits, teacher_logits)
    z_peak = tf.reduce_max(z, axis=-1, keepdims=True)
    v_peak = tf.reduce_max(v, axis=-1, keepdims=True)
    z = (z - z_peak) / temperature
    v = (v - v_peak) / temperature
    v_sum = tf.reduce_sum(tf.exp(v), axis=-1, keepdims=True)
    excess = tf.reduce_sum(exp_difference(v, z, v - z), axis=-1, keepdims=True)
    return z_peak, v_peak, tf.math.log(v_sum), tf.math.log1p(excess / v_sum)


def _soft_log_probabilities(student_logits, teacher_logits, temperature, rows):
    """log p, log q and d = log p - log q, `[..., classes]`, from the rows."""
    z_peak, v_peak, v_log_sum, log_sum_difference = rows
    z, v = at_working_precision(student_logits, teacher_logits)
    z = (z - z_peak) / temperature
    v = (v - v_peak) / temperature
    log_p = v - v_log_sum
    log_q = z - v_log_sum - log_sum_difference
    return log_p, log_q, (v - z) + log_sum_difference


def _soft_gradient(student_logits, teacher_logits, temperature, rows):
    """upstream `[...]` -> dL/dz = upstream (q - p) / T, right to any order."""

    @tf.custom_gradient
    def logit_gradient(student_logits, upstream):
        log_p, log_q, log_ratio = _soft_log_probabilities(
            student_logits, teacher_logits, temperature, rows
        )
        residual = exp_difference(log_p, log_q, log_ratio) / temperature
        result = tf.cast(upstream[..., None] * residual, student_logits.dtype)

        def second(direction):
            z, v = at_working_precision(student_logits, teacher_logits)
            return second_derivative(
                student_logits,
                upstream,
                direction,
                target=tf.nn.softmax(v / temperature),
                probabilities=tf.nn.softmax(z / temperature),
                temperature=temperature,
            )

        return result, second

    return lambda upstream: logit_gradient(student_logits, upstream)


def exp_difference(log_p, log_q, log_ratio):
    """exp(log_q) - exp(log_p), given log_ratio = log_p - log_q.

    Where the two are close, p (exp(-d) - 1) keeps the digits that the
    difference loses.
    """
    p = tf.exp(log_p)
    return tf.where(
        tf.abs(log_ratio) < _CLOSE,
        p * (_remainder(log_ratio) - log_ratio),
        tf.exp(log_q) - p,
    )


def divergence_terms(log_p, log_q, log_ratio):
    """p (d - 1 + exp(-d)) with d = log_ratio: the terms of the divergence."""
    p = tf.exp(log_p)
    return tf.where(
        tf.abs(log_ratio) < _CLOSE,
        p * _remainder(log_ratio),
        p * (log_ratio - 1.0) + tf.exp(log_q),
    )


def _remainder(d):
    """exp(-d) - 1 + d = d^2/2 - d^3/6 + ... for |d| < _CLOSE.

    The series, since the sum as written has lost half its digits there. Faster
    than `expm1`, too, which compilers do not vectorise.
    """
    d = tf.clip_by_value(d, -_CLOSE, _CLOSE)
    series = tf.zeros_like(d)
    for n in range(8, 1, -1):  # Horner's scheme, down to the term d^2 / 2!
        series = series * d + (-1) ** n / math.factorial(n)
    return tf.square(d) * series


# --- the hard term -----------------------------------------------------------


@tf.custom_gradient
def sparse_cross_entropy(student_logits, labels):
    """Cross-entropy `[...]` with classes `[...]`; -1 contributes nothing."""
    rows = _hard_rows(student_logits)
    peak, log_sum = rows
    classes = tf.shape(student_logits, labels.dtype)[-1]
    safe_labels = tf.clip_by_value(labels, 0, classes - 1)
    # 1 where labelled, 0 where not, NaN where the label is out of range: an
    # error that shows, where a clipped label would train on a wrong class.
    zero, one, nan = (tf.constant(c, peak.dtype) for c in (0, 1, math.nan))
    mass = tf.where(labels == safe_labels, one, nan)
    mass = tf.where(labels == -1, zero, mass)
    picked = tf.gather(
        student_logits, safe_labels, batch_dims=labels.shape.rank, axis=-1
    )
    picked = numerics.at_least_float32(picked) - peak[..., 0]
    loss = tf.math.multiply_no_nan(log_sum[..., 0] - picked, mass)

    def gradient(upstream):
        target = tf.one_hot(
            safe_labels, tf.shape(student_logits)[-1], dtype=mass.dtype
        )
        target *= mass[..., None]
        unit = _hard_gradient(student_logits, target, mass, rows)
        return unit(upstream), None

    return loss, gradient


@tf.custom_gradient
def dense_cross_entropy(student_logits, labels):
    """Cross-entropy `[...]` with distributions `[..., classes]`."""
    rows = _hard_rows(student_logits)
    peak, log_sum = rows
    target = tf.cast(labels, peak.dtype)
    labelled = tf.reduce_sum(target, axis=-1, keepdims=True) > 0
    target = tf.where(labelled, target, tf.zeros_like(target))
    mass = tf.reduce_sum(target, axis=-1)
    z = numerics.at_least_float32(student_logits) - peak
    loss = tf.reduce_sum(target * (log_sum - z), axis=-1)

    def gradient(upstream):
        unit = _hard_gradient(student_logits, target, mass, rows)
        return unit(upstream), None

    return loss, gradient


def _hard_rows(student_logits):
    """Row maximum and row log-sum, `[..., 1]` each."""
    z = numerics.at_least_float32(student_logits)
    peak = tf.reduce_max(z, axis=-1, keepdims=True)
    return peak, tf.math.log(
        tf.reduce_sum(tf.exp(z - peak), axis=-1, keepdims=True)
    )


def _hard_gradient(student_logits, target, mass, rows):
    """upstream `[...]` -> dL/dz = upstream (mass q - target), to any order."""
    peak, log_sum = rows

    @tf.custom_gradient
    def logit_gradient(student_logits, upstream):
        z = numerics.at_least_float32(student_logits)
        residual = mass[..., None] * tf.exp(z - peak - log_sum) - target
        result = tf.cast(upstream[..., None] * residual, student_logits.dtype)

        def second(direction):
            z = numerics.at_least_float32(student_logits)
            return second_derivative(
                student_logits,
                upstream,
                direction,
                target=target,
                probabilities=tf.nn.softmax(z),
                mass=mass[..., None],
            )

        return result, second

    return lambda upstream: logit_gradient(student_logits, upstream)


def second_derivative(
    student_logits,
    upstream,
    direction,
    *,
    target,
    probabilities,
    temperature=1.0,
    mass=1.0,
):
    """Gradient of <direction, upstream (mass q - target) / T> by z, upstream.

    Written in plain differentiable operations, so that orders above the second
    are right as well. With q = softmax(z / T), dq/dz u = q (u - <q, u>) / T.
    """
    direction = tf.cast(direction, probabilities.dtype)
    mean = tf.reduce_sum(probabilities * direction, axis=-1, keepdims=True)
    by_logits = mass * probabilities * (direction - mean)
    by_logits *= upstream[..., None] / temperature / temperature
    residual = (mass * probabilities - target) / temperature
    by_upstream = tf.reduce_sum(direction * residual, axis=-1)
    return tf.cast(by_logits, student_logits.dtype), by_upstream


def at_working_precision(student_logits, teacher_logits):
    """Both in float32, or in float64 where the student's are."""
    student_logits = numerics.at_least_float32(student_logits)
    return student_logits, tf.cast(teacher_logits, student_logits.dtype)

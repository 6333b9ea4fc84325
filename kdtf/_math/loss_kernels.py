"""Soft and hard loss with analytic gradients, in as few bytes as possible.

The value takes two passes over the logits, one for the row maxima and one for
all sums; the backward pass takes a third, since it keeps a few numbers a row
and computes the rest again. On a GPU, with float32, every pass is a kernel or
two that write nothing of full size but the gradient. Row maximum and row
log-sum are kept apart: their sum would lose digits on large logits.

Arguments are checked in `kdtf.losses`.
"""

import math
import numbers

import tensorflow as tf

from kdtf._math import entries, softmax

# --- the soft term -----------------------------------------------------------
#
# With row maxima removed, z' = (z - max z) / T and v' = (v - max v) / T, gaps
# g = v' - z', sums S = sum exp v', Z = sum exp z', and L = log Z - log S:
#
#   log p = v' - log S,  log q = log p - d,  d = g + L,  KL = sum p d.
#
# At high temperatures p and q agree in most of their digits, and so do S and
# Z; what counts is their difference. So nothing here is the difference of two
# rounded numbers of size 1. With r(g) = exp(-g) - 1 + g, M = sum p g and
# R = sum p r(g), which has no negative term,
#
#   u = (Z - S) / S = R - M,  L = log(1 + u),  KL = M + L = R - (u - log(1 + u))
#
# if u and R are small; otherwise KL = M + L and L = log(Z / S). q - p is
# p (exp(-d) - 1).

CLOSE = 0.25  # u, R and log-ratios below it would lose digits otherwise


@tf.custom_gradient
def divergence(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T, `[...]`; see `kdtf.losses.soft_loss`."""
    peaks = _peaks(student_logits, teacher_logits)
    loss, log_sums = _soft_sums(
        student_logits, teacher_logits, temperature, peaks
    )

    def gradient(upstream):
        rows = (*peaks, *log_sums)
        unit = _soft_gradient(student_logits, teacher_logits, temperature, rows)
        return unit(upstream), None, None

    return loss[..., 0], gradient


def _peaks(*logits):
    """The row maxima of each, `[..., 1]`."""
    return tuple(_peak(softmax.at_least_float32(each)) for each in logits)


def _peak(values):
    """Row maximum `[..., 1]`, or 0 where that is not finite.

    Without the condition XLA:GPU recognises a softmax in it and the subtraction
    that follows, and gives every sum a pass over the logits of its own.
    """
    peak = tf.reduce_max(values, axis=-1, keepdims=True)
    return tf.where(tf.math.is_finite(peak), peak, tf.zeros_like(peak))


def _soft_sums(student_logits, teacher_logits, temperature, peaks):
    """KL, `[..., 1]`, and log S and L, which the backward pass keeps."""
    z, v, gap = _scaled(student_logits, teacher_logits, temperature, peaks)
    p, close = tf.exp(v), tf.abs(gap) < CLOSE  # p times S

    def total(values):
        return tf.reduce_sum(values, axis=-1, keepdims=True)

    v_sum, z_sum = total(p), total(tf.exp(z))
    mean_gap = total(p * gap) / v_sum
    remainder = total(
        p * tf.where(close, exp_remainder(gap), gap - 1.0)
        + tf.where(close, tf.zeros_like(z), tf.exp(z))
    )
    remainder /= v_sum
    u = remainder - mean_gap
    small = tf.maximum(remainder, tf.abs(u)) < CLOSE
    log_ratio = tf.math.log(z_sum / v_sum)
    loss = tf.where(small, remainder - log_remainder(u), mean_gap + log_ratio)
    log_ratio = tf.where(small, tf.math.log1p(u), log_ratio)
    return loss, (tf.math.log(v_sum), log_ratio)


def _scaled(student_logits, teacher_logits, temperature, peaks):
    """z', v' and g = v' - z', `[..., classes]`."""
    z, v = at_working_precision(student_logits, teacher_logits)
    # XLA:GPU repeats a product in every sum, but would store a quotient.
    coldness = 1.0 / temperature
    z = (z - peaks[0]) * coldness
    v = (v - tf.cast(peaks[1], z.dtype)) * coldness
    # Finite, so that a class that the teacher excludes by -inf adds 0 x gap.
    low = z.dtype.min
    return z, v, tf.maximum(v, low / 4) - tf.maximum(z, low / 2)


def _soft_log_probabilities(student_logits, teacher_logits, temperature, rows):
    """log p, log q and d = log p - log q, `[..., classes]`, from the rows."""
    *peaks, v_log_sum, log_ratio = rows
    z, v, gap = _scaled(student_logits, teacher_logits, temperature, peaks)
    return v - v_log_sum, z - v_log_sum - log_ratio, gap + log_ratio


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

    If the two are close, p (exp(-d) - 1) keeps the digits that the difference
    loses.
    """
    p = tf.exp(log_p)
    return tf.where(
        tf.abs(log_ratio) < CLOSE,
        p * (exp_remainder(log_ratio) - log_ratio),
        tf.exp(log_q) - p,
    )


def exp_remainder(d):
    """exp(-d) - 1 + d = d^2/2 - d^3/6 + ... for |d| < CLOSE.

    The series, since the sum as written loses half its digits there. It is also
    faster than `expm1`, which compilers do not vectorise.
    """
    d = tf.clip_by_value(d, -CLOSE, CLOSE)
    series = tf.zeros_like(d)
    for n in range(8, 1, -1):  # Horner's scheme, down to the term d^2 / 2!
        series = series * d + (-1) ** n / math.factorial(n)
    return tf.square(d) * series


def log_remainder(u):
    """u - log(1 + u) = u^2/2 - u^3/3 + ... for |u| < CLOSE."""
    u = tf.clip_by_value(u, -CLOSE, CLOSE)
    series = tf.zeros_like(u)
    for n in range(24, 1, -1):
        series = series * u + (-1) ** n / n
    return tf.square(u) * series


# --- the hard term -----------------------------------------------------------


@tf.custom_gradient
def sparse_cross_entropy(student_logits, labels):
    """Cross-entropy `[...]` with classes `[...]`; negative ones add nothing."""
    rows = _hard_rows(student_logits)
    peak, log_sum = rows
    # The number itself, if it is known: `tf.shape` is no constant to XLA if the
    # loss is a function of its own that is called in a loop.
    classes = student_logits.shape[-1] or tf.shape(student_logits)[-1]
    # 1 if labelled, 0 if not, NaN if the label is out of range: an error that
    # shows, whereas a clipped label would train on a wrong class.
    zero, one, nan = (tf.constant(c, peak.dtype) for c in (0, 1, math.nan))
    in_range = labels < tf.cast(classes, labels.dtype)
    mass = tf.where(in_range, one, nan)
    mass = tf.where(entries.has_class(labels), mass, zero)
    # A sum, not `tf.gather`: it joins the pass that makes the other sums.
    is_label = tf.one_hot(labels, classes, True, False, dtype=tf.bool)
    z = softmax.at_least_float32(student_logits) - peak
    picked = tf.reduce_sum(tf.where(is_label, z, tf.zeros_like(z)), axis=-1)
    loss = tf.math.multiply_no_nan(log_sum[..., 0] - picked, mass)

    def gradient(upstream):
        target = tf.one_hot(labels, classes, dtype=mass.dtype)
        unit = _hard_gradient(student_logits, target, mass, rows)
        return unit(upstream), None

    return loss, gradient


@tf.custom_gradient
def dense_cross_entropy(student_logits, labels):
    """Cross-entropy `[...]` with distributions `[..., classes]`."""
    rows = _hard_rows(student_logits)
    peak, log_sum = rows
    target = tf.cast(labels, peak.dtype)
    labelled = entries.has_distribution(target)[..., None]
    target = tf.where(labelled, target, tf.zeros_like(target))
    mass = tf.reduce_sum(target, axis=-1)
    z = softmax.at_least_float32(student_logits) - peak
    # A class that is excluded by -inf and has target 0 adds nothing.
    terms = tf.math.multiply_no_nan(log_sum - z, target)
    loss = tf.reduce_sum(terms, axis=-1)

    def gradient(upstream):
        unit = _hard_gradient(student_logits, target, mass, rows)
        return unit(upstream), None

    return loss, gradient


def _hard_rows(student_logits):
    """Row maximum and row log-sum, `[..., 1]` each."""
    z = softmax.at_least_float32(student_logits)
    peak = _peak(z)
    total = tf.reduce_sum(tf.exp(z - peak), axis=-1, keepdims=True)
    return peak, tf.math.log(total)


def _hard_gradient(student_logits, target, mass, rows):
    """upstream `[...]` -> dL/dz = upstream (mass q - target), to any order."""
    peak, log_sum = rows

    @tf.custom_gradient
    def logit_gradient(student_logits, upstream):
        z = softmax.at_least_float32(student_logits)
        residual = mass[..., None] * tf.exp(z - peak - log_sum) - target
        result = tf.cast(upstream[..., None] * residual, student_logits.dtype)

        def second(direction):
            z = softmax.at_least_float32(student_logits)
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
    student_logits = softmax.at_least_float32(student_logits)
    return student_logits, tf.cast(teacher_logits, student_logits.dtype)


# --- both terms --------------------------------------------------------------


def weighted_mean(soft, hard, temperature, soft_weight, hard_weight):
    """L `[...]` from its two terms; see `kdtf.losses.distillation_loss`."""
    temperature = scalar(temperature, soft)
    soft_weight = scalar(soft_weight, soft)
    hard_weight = scalar(hard_weight, soft)
    total = soft_weight * tf.square(temperature) * soft + hard_weight * hard
    return total / (soft_weight + hard_weight)


def scalar(value, like):
    """A float, tensor or variable as a tensor of the working precision."""
    dtype = tf.float64 if like.dtype == tf.float64 else tf.float32
    if isinstance(value, numbers.Real):  # not by way of float32
        return tf.constant(value, dtype)
    return tf.stop_gradient(tf.cast(tf.convert_to_tensor(value), dtype))

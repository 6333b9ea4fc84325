"""Soft and hard loss with analytic slopes, in as few bytes as possible.

The value takes two passes over the logits, one for the row maxima and one for
all sums; the backward pass takes a third, since it keeps a few numbers a row
and computes the rest again. On a GPU every pass is a kernel or two that write
nothing of full size but the gradient. Row maximum and row
log-sum are kept apart: their sum would lose digits on large logits.

Each is a `terms.Term`. Arguments are checked in `kdtf.losses`.
"""

import math
import numbers

import tensorflow as tf

from kdtf._math import entries, softmax, terms

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


def divergence(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T; see `kdtf.losses.soft_loss`."""
    peaks = tuple(
        peak(softmax.at_least_float32(each))
        for each in (student_logits, teacher_logits)
    )
    loss, log_sums = _soft_sums(
        student_logits, teacher_logits, temperature, peaks
    )

    def slope(upstream):
        rows = (*peaks, *log_sums)
        differences = _soft_log_probabilities(
            student_logits, teacher_logits, temperature, rows
        )
        residual = exp_difference(*differences) / temperature
        return upstream[..., None] * residual

    def second(student_logits, upstream, direction):
        z, v = at_working_precision(student_logits, teacher_logits)
        return second_derivative(
            upstream,
            direction,
            target=tf.nn.softmax(v / temperature),
            probabilities=tf.nn.softmax(z / temperature),
            temperature=temperature,
        )

    return terms.Term(loss[..., 0], slope, second)


def peak(values):
    """Row maximum `[..., 1]`, or 0 where that is not finite.

    Without the condition XLA:GPU recognises a softmax in it and the subtraction
    that follows, and gives every sum a pass over the logits of its own.
    """
    largest = tf.reduce_max(values, axis=-1, keepdims=True)
    return tf.where(tf.math.is_finite(largest), largest, 0.0)


def _soft_sums(student_logits, teacher_logits, temperature, peaks):
    """KL, `[..., 1]`, and log S and L, which the backward pass keeps."""
    z, v, gap = _scaled(student_logits, teacher_logits, temperature, peaks)
    p = tf.exp(v)  # times S

    def total(values):
        return tf.reduce_sum(values, axis=-1, keepdims=True)

    v_sum, z_sum = total(p), total(tf.exp(z))
    mean_gap = total(p * gap) / v_sum
    if 2 in (student_logits.dtype.size, teacher_logits.dtype.size):
        z, v = as_others(z, peaks[0]), as_others(v, peaks[0])
    remainder = total(remainder_terms(z, v, gap))
    loss, log_ratio = divergence_of_sums(
        v_sum, z_sum, mean_gap, remainder / v_sum
    )
    return loss, (tf.math.log(v_sum), log_ratio)


def divergence_of_sums(v_sum, z_sum, mean_gap, remainder):
    """KL and L of S, Z, M and R, `[..., 1]` each."""
    u = remainder - mean_gap
    small = tf.maximum(remainder, tf.abs(u)) < CLOSE
    log_ratio = tf.math.log(z_sum / v_sum)
    loss = tf.where(small, remainder - log_remainder(u), mean_gap + log_ratio)
    return loss, tf.where(small, tf.math.log1p(u), log_ratio)


def remainder_terms(z, v, gap):
    """S p r(g), `[..., classes]`, the terms of R times S."""
    close = tf.abs(gap) < CLOSE
    return tf.exp(v) * tf.where(close, exp_remainder(gap), gap - 1.0) + (
        tf.where(close, tf.zeros_like(z), tf.exp(z))
    )


def as_others(values, finite):
    """`[..., classes]` values, as far as XLA can tell other ones.

    XLA:GPU stores an exponential that three sums share if that is cheap beside
    them, and with logits of half precision it finds it so. It takes
    exponentials of these for others and computes them where they are summed.

    Args:
      values: `[..., classes]`.
      finite: `[..., 1]` of the same dtype; XLA does not know that it is finite.
    """
    one, zero = (tf.constant(c, finite.dtype) for c in (1, 0))
    return values * tf.where(tf.math.is_finite(finite), one, zero)


def _scaled(student_logits, teacher_logits, temperature, peaks):
    """z', v' and g = v' - z', `[..., classes]`."""
    z, v = at_working_precision(student_logits, teacher_logits)
    # XLA:GPU repeats a product in every sum, but would store a quotient.
    coldness = 1.0 / temperature
    z = (z - peaks[0]) * coldness
    v = (v - tf.cast(peaks[1], z.dtype)) * coldness
    return z, v, gap_of(v, z)


def gap_of(v, z):
    """v - z, but finite: a class that is excluded by -inf adds 0 x gap."""
    low = z.dtype.min
    return tf.maximum(v, low / 4) - tf.maximum(z, low / 2)


def _soft_log_probabilities(student_logits, teacher_logits, temperature, rows):
    """log p, log q and d = log p - log q, `[..., classes]`, from the rows."""
    *peaks, v_log_sum, log_ratio = rows
    z, v, gap = _scaled(student_logits, teacher_logits, temperature, peaks)
    return v - v_log_sum, z - v_log_sum - log_ratio, gap + log_ratio


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
    last = 8 if d.dtype == tf.float64 else 7  # the next is below a rounding
    series = (-1) ** last / math.factorial(last)
    for n in range(last - 1, 1, -1):  # Horner's scheme, to the term d^2 / 2!
        series = d * series + (-1) ** n / math.factorial(n)
    return tf.square(d) * series


def log_remainder(u):
    """u - log(1 + u) = u^2/2 - u^3/3 + ... for |u| < CLOSE."""
    u = tf.clip_by_value(u, -CLOSE, CLOSE)
    series = tf.zeros_like(u)
    for n in range(24, 1, -1):
        series = series * u + (-1) ** n / n
    return tf.square(u) * series


# --- the hard term -----------------------------------------------------------


def sparse_cross_entropy(student_logits, labels):
    """Cross-entropy with classes `[...]`; negative ones add nothing."""
    rows = _hard_rows(student_logits)
    largest, log_sum = rows
    # The number itself, if it is known: `tf.shape` is no constant to XLA if the
    # loss is a function of its own that is called in a loop.
    classes = student_logits.shape[-1] or tf.shape(student_logits)[-1]
    # 1 if labelled, 0 if not, NaN if the label is out of range: an error that
    # shows, whereas a clipped label would train on a wrong class.
    zero, one, nan = (tf.constant(c, log_sum.dtype) for c in (0, 1, math.nan))
    in_range = labels < tf.cast(classes, labels.dtype)
    mass = tf.where(in_range, one, nan)
    mass = tf.where(entries.has_class(labels), mass, zero)
    # A sum, not `tf.gather`: it joins the pass that makes the other sums.
    is_label = tf.one_hot(labels, classes, True, False, dtype=tf.bool)
    z = softmax.at_least_float32(student_logits) - largest
    picked = tf.reduce_sum(tf.where(is_label, z, tf.zeros_like(z)), axis=-1)
    loss = tf.math.multiply_no_nan(log_sum[..., 0] - picked, mass)

    def target_of(chosen):
        if chosen is None:
            return tf.one_hot(labels, classes, dtype=mass.dtype)
        same = tf.cast(chosen, labels.dtype) == labels[..., None]
        return tf.cast(same, mass.dtype)

    return _hard_term(loss, student_logits, target_of, mass, rows)


def dense_cross_entropy(student_logits, labels):
    """Cross-entropy with distributions `[..., classes]`."""
    rows = _hard_rows(student_logits)
    largest, log_sum = rows
    target = tf.cast(labels, log_sum.dtype)
    labelled = entries.has_distribution(target)[..., None]
    target = tf.where(labelled, target, tf.zeros_like(target))
    mass = tf.reduce_sum(target, axis=-1)
    z = softmax.at_least_float32(student_logits) - largest
    # A class that is excluded by -inf and has target 0 adds nothing.
    each = tf.math.multiply_no_nan(log_sum - z, target)
    loss = tf.reduce_sum(each, axis=-1)

    def target_of(chosen):
        return target if chosen is None else terms.take(target, chosen)

    return _hard_term(loss, student_logits, target_of, mass, rows)


def _hard_rows(student_logits):
    """Row maximum and row log-sum, `[..., 1]` each."""
    z = softmax.at_least_float32(student_logits)
    largest = peak(z)
    total = tf.reduce_sum(tf.exp(z - largest), axis=-1, keepdims=True)
    return largest, tf.math.log(total)


def _hard_term(loss, student_logits, target_of, mass, rows):
    """The `terms.Term` with the slope mass q - target.

    Args:
      loss: `[...]`.
      student_logits: `[..., classes]`.
      target_of: function of classes `[..., k]` to the target at these, or of
        None to all of it, `[..., classes]`.
      mass: `[...]`, the target's sum.
      rows: of `_hard_rows`.
    """
    largest, log_sum = rows

    def slope(upstream, classes=None):
        z = student_logits
        if classes is not None:
            z = terms.take(z, classes)
        q = tf.exp(softmax.at_least_float32(z) - largest - log_sum)
        return upstream[..., None] * (mass[..., None] * q - target_of(classes))

    def second(student_logits, upstream, direction):
        return second_derivative(
            upstream,
            direction,
            target=target_of(None),
            probabilities=tf.nn.softmax(
                softmax.at_least_float32(student_logits)
            ),
            mass=mass[..., None],
        )

    return terms.Term(loss, slope, second)


def second_derivative(
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
    mean = tf.reduce_sum(probabilities * direction, axis=-1, keepdims=True)
    by_logits = mass * probabilities * (direction - mean)
    by_logits *= upstream[..., None] / temperature / temperature
    residual = (mass * probabilities - target) / temperature
    by_upstream = tf.reduce_sum(direction * residual, axis=-1)
    return by_logits, by_upstream


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

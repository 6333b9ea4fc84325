"""The losses of knowledge distillation, as pure functions on logits.

All of them are per example: logits `[..., classes]` in, losses `[...]` out, in
float32 (float64 for float64 logits). Gradients are analytic: what the backward
pass keeps is a few numbers a row (`tf.custom_gradient`), never a tensor of the
size of the logits. No gradient flows to teachers, labels, temperatures or
weights.

Reference: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural
Network*, arXiv 1503.02531, section 2.
"""

import tensorflow as tf

from kdtf._math import arguments, loss_kernels, softmax, top_logits
from kdtf._math.top_logits import TopLogits


def soft_loss(student_logits, teacher_logits, *, temperature):
    """KL(teacher || student) of the distributions at temperature T.

    sum_i p_i (log p_i - log q_i), p = softmax(v / T), q = softmax(z / T), with
    teacher logits v and student logits z: the soft term of section 2 less the
    teacher's entropy, so that it is 0 where the two agree. The factor T^2 is
    `distillation_loss`'s.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      teacher_logits: `[..., classes]`, any floating dtype, not differentiated;
        or `kdtf.TopLogits`, which were taken at this temperature. A class that
        the teacher excludes by a logit of -inf has p = 0; one that only the
        student excludes costs without bound.
      temperature: scalar T > 0; a Python float, tensor or variable.

    Returns:
      `[...]` losses in nats, never negative.

    Raises:
      ValueError: where shapes differ or a Python temperature is not positive
        and finite.

    Example:
      >>> kdtf.losses.soft_loss([[1.0, 0.0]], [[0.0, 1.0]], temperature=1.0)
      <tf.Tensor: shape=(1,), dtype=float32, numpy=array([0.462117], ...)>
    """
    student_logits = tf.convert_to_tensor(student_logits)
    arguments.check_temperature(temperature)
    temperature = _scalar(temperature, student_logits)
    if isinstance(teacher_logits, TopLogits):
        top = TopLogits(*(tf.convert_to_tensor(t) for t in teacher_logits))
        arguments.check_top_logits(student_logits, *top)
        return top_logits.divergence(student_logits, *top, temperature)
    teacher_logits = tf.convert_to_tensor(teacher_logits)
    arguments.check_same_shape(student_logits, teacher_logits)
    return loss_kernels.divergence(student_logits, teacher_logits, temperature)


def hard_loss(student_logits, labels):
    """Cross-entropy with the true labels, at temperature 1.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      labels: sparse classes `[...]`, where -1 means unlabelled and any other
        value outside [0, classes) gives NaN; or dense distributions
        `[..., classes]`, where a row that is all -1 (or all 0) is unlabelled.

    Returns:
      `[...]` losses in nats; 0, with gradient 0, on unlabelled rows.

    Raises:
      ValueError: where the shapes do not fit.

    Example:
      >>> kdtf.losses.hard_loss([[1.0, 0.0], [1.0, 0.0]], [0, -1])
      <tf.Tensor: shape=(2,), dtype=float32, numpy=array([0.313262, 0. ], ...)>
    """
    student_logits = tf.convert_to_tensor(student_logits)
    labels = tf.convert_to_tensor(labels)
    arguments.check_labels_shape(student_logits, labels)
    if arguments.is_dense(student_logits, labels):
        return loss_kernels.dense_cross_entropy(
            student_logits, tf.stop_gradient(labels)
        )
    if not labels.dtype.is_integer:
        labels = tf.cast(labels, tf.int32)
    return loss_kernels.sparse_cross_entropy(student_logits, labels)


def logit_matching_loss(student_logits, teacher_logits):
    """Half the squared distance of the zero-meaned logits.

    1/2 sum_i ((z_i - mean z) - (v_i - mean v))^2: what `T^2 * soft_loss` comes
    to for a high temperature, up to the factor 1 / classes (section 2.1).

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      teacher_logits: `[..., classes]`, any floating dtype, not differentiated.

    Returns:
      `[...]` losses.

    Raises:
      ValueError: where shapes differ.

    Example:
      >>> kdtf.losses.logit_matching_loss([[1.0, 0.0]], [[0.0, 1.0]])
      <tf.Tensor: shape=(1,), dtype=float32, numpy=array([1.], ...)>
    """
    student_logits = softmax.at_least_float32(student_logits)
    teacher_logits = tf.cast(
        tf.convert_to_tensor(teacher_logits), student_logits.dtype
    )
    arguments.check_same_shape(student_logits, teacher_logits)
    gap = student_logits - tf.stop_gradient(teacher_logits)
    gap -= tf.reduce_mean(gap, axis=-1, keepdims=True)
    return 0.5 * tf.reduce_sum(tf.square(gap), axis=-1)


def distillation_loss(
    student_logits,
    teacher_logits,
    labels=None,
    *,
    temperature,
    soft_weight,
    hard_weight,
):
    """The weighted mean of soft and hard loss (section 2).

    L = (soft_weight T^2 L_soft + hard_weight L_hard) / (soft_weight +
    hard_weight). T^2 because the soft gradients scale as 1 / T^2: so the
    balance of the two terms stays when the temperature changes.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      teacher_logits: as in `soft_loss`.
      labels: as in `hard_loss`; None means that every row is unlabelled. The
        divisor does not depend on it.
      temperature: scalar T > 0; a Python float, tensor or variable.
      soft_weight: scalar, not negative; a Python float, tensor or variable.
      hard_weight: scalar, not negative; a Python float, tensor or variable.

    Returns:
      `[...]` losses in nats.

    Raises:
      ValueError: where shapes do not fit, a Python temperature is not positive
        and finite, or Python weights are negative or both zero.

    Example:
      >>> kdtf.losses.distillation_loss(
      ...     [[1.0, 0.0]], [[0.0, 1.0]], [1],
      ...     temperature=2.0, soft_weight=0.9, hard_weight=0.1)
      <tf.Tensor: shape=(1,), dtype=float32, numpy=array([0.5722], ...)>
    """
    arguments.check_weights(soft_weight, hard_weight)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    hard = (
        tf.zeros_like(soft)
        if labels is None
        else hard_loss(student_logits, labels)
    )
    return weighted_mean(soft, hard, temperature, soft_weight, hard_weight)


def weighted_mean(soft, hard, temperature, soft_weight, hard_weight):
    """L from its two terms `[...]`; see `distillation_loss`."""
    temperature = _scalar(temperature, soft)
    soft_weight = _scalar(soft_weight, soft)
    hard_weight = _scalar(hard_weight, soft)
    total = soft_weight * tf.square(temperature) * soft + hard_weight * hard
    return total / (soft_weight + hard_weight)


def is_labelled(student_logits, labels):
    """`[...]` bool: which rows of `labels` (see `hard_loss`) have a label."""
    if arguments.is_dense(student_logits, labels):
        return tf.reduce_sum(labels, axis=-1) > 0
    return labels >= 0


def entry_losses(
    logits, tempered_logits, labels, temperature, soft_weight, hard_weight
):
    """Total, soft and hard loss `[...]` of a batch; what `Distiller` minimises.

    Soft or hard is None where its target is; without soft targets the total is
    the hard loss as it is.
    """
    hard = None if labels is None else hard_loss(logits, labels)
    if tempered_logits is None:
        if hard is None:
            raise ValueError(
                "`y` must hold labels or teacher_logits, or the Distiller must "
                "have a teacher. Received: none of them"
            )
        return hard, None, hard
    soft = soft_loss(logits, tempered_logits, temperature=temperature)
    total = weighted_mean(
        soft,
        tf.zeros_like(soft) if hard is None else hard,
        temperature,
        soft_weight,
        hard_weight,
    )
    return total, soft, hard


# For steps that are not compiled as a whole; see `compile_policy`.
compiled_entry_losses = tf.function(entry_losses, jit_compile=True)


def _scalar(value, like):
    """A float, tensor or variable as a tensor of the working precision."""
    dtype = tf.float64 if like.dtype == tf.float64 else tf.float32
    return tf.stop_gradient(tf.cast(tf.convert_to_tensor(value), dtype))

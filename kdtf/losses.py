"""The losses of knowledge distillation, as pure functions on logits.

All of them are per example: logits `[..., classes]` in, losses `[...]` out, in
float32 (float64 for float64 logits). Gradients are analytic
(`tf.custom_gradient`): the backward pass keeps a few numbers per row, never a
tensor of the size of the logits, and rounds to half precision once, also where
a loss has a soft and a hard term. No gradient flows to teachers, labels,
temperatures or weights.

With `head="sigmoid"` the logits are `[..., labels]`, for labels that do not
exclude each other, such as tags, or one label for yes or no: each is a
distribution of its own, sigmoid(z / T) for the label and the rest against it,
and losses are means over the labels.

Reference: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural
Network*, arXiv 1503.02531, section 2.
"""

import tensorflow as tf

from kdtf._math import arguments, heads, loss_kernels, softmax, terms
from kdtf._math.top_logits import TopLogits
from kdtf._types import Scalar, Tensor, TensorLike


def soft_loss(
    student_logits: TensorLike,
    teacher_logits: TensorLike | TopLogits,
    *,
    temperature: Scalar,
    head: str = "softmax",
) -> Tensor:
    """KL(teacher || student) of the distributions at temperature T.

    sum_i p_i (log p_i - log q_i), p = softmax(v / T), q = softmax(z / T), with
    teacher logits v and student logits z: the soft term of section 2 minus the
    teacher's entropy, so that it is 0 if the two agree. The factor T^2 comes
    in `distillation_loss`.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      teacher_logits: `[..., classes]`, any floating dtype, not differentiated;
        or `kdtf.TopLogits` taken at this temperature. A class that the teacher
        excludes by a logit of -inf has p = 0; one that only the student
        excludes has no finite loss.
      temperature: scalar T > 0; a Python float, tensor or variable.
      head: "softmax", or "sigmoid" for logits `[..., labels]`.

    Returns:
      `[...]` losses in nats, never negative.

    Raises:
      ValueError: if the shapes differ, a softmax is to be over one class, or a
        Python temperature is not positive and finite.

    Example:
      >>> loss = kdtf.losses.soft_loss(
      ...     [[1.0, 0.0]], [[0.0, 1.0]], temperature=1.0
      ... )
      >>> loss.numpy().round(4)
      array([0.4621], dtype=float32)
    """
    student_logits = tf.convert_to_tensor(student_logits)
    kernel = heads.soft_kernel(
        student_logits, teacher_logits, temperature=temperature, head=head
    )
    [soft] = terms.evaluate(student_logits, kernel)
    return soft


def hard_loss(
    student_logits: TensorLike, labels: TensorLike, *, head: str = "softmax"
) -> Tensor:
    """Cross-entropy with the true labels, at temperature 1.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      labels: sparse classes `[...]`, where a negative one means unlabelled and
        one from `classes` on, or one that is no whole number, gives NaN; or
        dense distributions `[..., classes]`, where a row that is all -1 (or
        all 0) is unlabelled. With a sigmoid head `[..., labels]` (`[...]` will
        do for one label): 0, 1 or a probability, where a negative one means
        that the label is not known. Any dtype of numbers, or bool.
      head: "softmax", or "sigmoid" for logits `[..., labels]`.

    Returns:
      `[...]` losses in nats; 0, with gradient 0, on unlabelled rows. With a
      sigmoid head the mean over all labels, to which unknown ones add 0.

    Raises:
      ValueError: if the shapes do not fit each other, labels are not numeric,
        or a softmax is to be over one class.

    Example:
      >>> loss = kdtf.losses.hard_loss([[1.0, 0.0], [1.0, 0.0]], [0, -1])
      >>> loss.numpy().round(4)
      array([0.3133, 0.    ], dtype=float32)
    """
    student_logits = tf.convert_to_tensor(student_logits)
    kernel = heads.hard_kernel(student_logits, labels, head=head)
    [hard] = terms.evaluate(student_logits, kernel)
    return hard


def logit_matching_loss(
    student_logits: TensorLike, teacher_logits: TensorLike
) -> Tensor:
    """Half the squared distance of the zero-meaned logits.

    1/2 sum_i ((z_i - mean z) - (v_i - mean v))^2: the limit of `T^2 *
    soft_loss` for high temperatures, up to the factor 1 / classes (section
    2.1).

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      teacher_logits: `[..., classes]`, any floating dtype, not differentiated.

    Returns:
      `[...]` losses.

    Raises:
      ValueError: if the shapes differ, or there is one class.

    Example:
      >>> loss = kdtf.losses.logit_matching_loss([[1.0, 0.0]], [[0.0, 1.0]])
      >>> loss.numpy()
      array([1.], dtype=float32)
    """
    student_logits = softmax.at_least_float32(student_logits)
    teacher_logits = tf.cast(
        tf.convert_to_tensor(teacher_logits), student_logits.dtype
    )
    arguments.check_same_shape(student_logits, teacher_logits)
    heads.of("softmax").check_logits(student_logits, "student_logits")
    gap = student_logits - tf.stop_gradient(teacher_logits)
    gap -= tf.reduce_mean(gap, axis=-1, keepdims=True)
    return 0.5 * tf.reduce_sum(tf.square(gap), axis=-1)


def distillation_loss(
    student_logits: TensorLike,
    teacher_logits: TensorLike | TopLogits,
    labels: TensorLike | None = None,
    *,
    temperature: Scalar,
    soft_weight: Scalar,
    hard_weight: Scalar,
    head: str = "softmax",
) -> Tensor:
    """The weighted mean of soft and hard loss (section 2).

    L = (soft_weight T^2 L_soft + hard_weight L_hard) / (soft_weight +
    hard_weight). The soft gradients scale as 1 / T^2; with the factor T^2 the
    balance of the two terms stays when the temperature changes.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      teacher_logits: as in `soft_loss`.
      labels: as in `hard_loss`; None if no row is labelled. The divisor does
        not depend on it.
      temperature: scalar T > 0; a Python float, tensor or variable.
      soft_weight: scalar, not negative; a Python float, tensor or variable.
      hard_weight: scalar, not negative; a Python float, tensor or variable.
      head: "softmax", or "sigmoid" for logits `[..., labels]`.

    Returns:
      `[...]` losses in nats.

    Raises:
      ValueError: as in `soft_loss` and `hard_loss`, or if Python weights are
        negative or both zero.

    Example:
      >>> loss = kdtf.losses.distillation_loss(
      ...     [[1.0, 0.0]], [[0.0, 1.0]], [1],
      ...     temperature=2.0, soft_weight=0.9, hard_weight=0.1)
      >>> loss.numpy().round(4)
      array([0.5722], dtype=float32)
    """
    arguments.check_weights(soft_weight, hard_weight)
    student_logits = tf.convert_to_tensor(student_logits)
    kernels = [
        heads.soft_kernel(
            student_logits, teacher_logits, temperature=temperature, head=head
        )
    ]
    if labels is not None:
        kernels.append(heads.hard_kernel(student_logits, labels, head=head))
    soft, *hard = terms.evaluate(student_logits, *kernels)
    [hard] = hard or [tf.zeros_like(soft)]
    return loss_kernels.weighted_mean(
        soft, hard, temperature, soft_weight, hard_weight
    )

"""The losses of knowledge distillation, as pure functions on logits.

All of them are per example: logits `[..., classes]` in, losses `[...]` out, in
float32 (float64 for float64 logits). Gradients are analytic
(`tf.custom_gradient`): the backward pass keeps a few numbers per row, never a
tensor of the size of the logits, and rounds to half precision once, also where
a loss has a soft and a hard term. No gradient flows to teachers, labels,
temperatures or weights. Compile what calls them by XLA (`tf.function` with
`jit_compile=True`): as single operations they take several times as long.

With `head="sigmoid"` the logits are `[..., labels]`, for labels that do not
exclude each other, such as tags, or one label for yes or no: each is a
distribution of its own, sigmoid(z / T) for the label and the rest against it,
and losses are means over the labels.

Reference: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural
Network*, arXiv 1503.02531, section 2.
"""

import tensorflow as tf

from kdtf._math import (
    arguments,
    entries,
    heads,
    linear_logits,
    linear_loss,
    loss_kernels,
    softmax,
    terms,
)
from kdtf._math.linear_logits import LinearLogits
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
    teacher_logits = entries.same_shape(student_logits, teacher_logits)
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


def linear_distillation_loss(
    hidden: TensorLike,
    kernel: TensorLike,
    teacher: TensorLike | LinearLogits | TopLogits,
    labels: TensorLike | None = None,
    *,
    bias: TensorLike | None = None,
    transposed: bool = False,
    temperature: Scalar,
    soft_weight: Scalar,
    hard_weight: Scalar,
    weights: TensorLike | None = None,
    rows_at_a_time: int = 256,
) -> Tensor:
    """The mean `distillation_loss` of logits that are never there as a whole.

    With 100,000 classes the logits hidden @ kernel + bias, their gradient and
    the teacher's logits are most of what a training step keeps in memory. Here
    those of `rows_at_a_time` rows are there at once. The gradients by hidden
    states, kernel and bias are ready when the loss is; that by the kernel is
    accumulated in float32 (float64) and rounded once.

    Compile what calls it (`tf.function(jit_compile=True)`), as a whole step or
    alone: eager operations keep more of each pass. It can be differentiated
    once. Softmax heads alone; a sigmoid's labels are each of their own.

    Args:
      hidden: `[..., d]` floating, the student's; the products with the kernel
        are in this dtype, as those of a layer.
      kernel: `[d, classes]` floating.
      teacher: logits `[..., classes]`, `LinearLogits` or `kdtf.TopLogits` taken
        at this temperature; not differentiated.
      labels: as in `hard_loss`, or None if no row is labelled.
      bias: `[classes]` floating, or None.
      transposed: bool, whether `kernel` is `[classes, d]`, as an embedding
        that is also the last layer; it is not copied.
      temperature: as in `distillation_loss`.
      soft_weight: likewise.
      hard_weight: likewise.
      weights: `[...]`, or of its first axes, or None if every row weighs 1; not
        differentiated. A mask is weights of 0 and 1.
      rows_at_a_time: positive int. Fewer rows take less memory; below 128 or
        so, on a GPU at 1,024 still, the products take longer.

    Returns:
      Scalar, sum(weights * losses) / number of rows; 0 if there are none.

    Raises:
      ValueError: as in `distillation_loss`, or if shapes do not fit.

    Example:
      >>> hidden, kernel = np.ones((4, 8), "float32"), np.eye(8, 100)
      >>> teacher = kdtf.losses.LinearLogits(hidden, 2 * kernel)
      >>> loss = kdtf.losses.linear_distillation_loss(
      ...     hidden, kernel, teacher, [0, 1, 2, -1],
      ...     temperature=2.0, soft_weight=0.9, hard_weight=0.1)
      >>> loss.numpy().round(4)
      np.float32(0.3426)
    """
    arguments.check_weights(soft_weight, hard_weight)
    arguments.check_temperature(temperature)
    arguments.check_rows_at_a_time(rows_at_a_time)
    student = linear_logits.as_tensors(
        LinearLogits(hidden, kernel, bias, transposed)
    )
    batch = linear_loss.batch_for(student, teacher, labels, weights)
    settings = linear_loss.Settings(temperature, soft_weight, hard_weight)
    total, _ = linear_loss.weighted_sum(
        student, batch, settings, rows_at_a_time
    )
    rows = tf.reduce_prod(tf.shape(student.hidden)[:-1])
    return tf.math.divide_no_nan(total, tf.cast(rows, total.dtype))

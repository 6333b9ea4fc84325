"""The checks of the losses' arguments.

Only what is known when the graph is built is checked: Python numbers and static
shapes.
"""

import math
import numbers


def check_temperature(temperature):
    """Raises ValueError if what is known of a temperature cannot be right."""
    _check_number("temperature", temperature)
    if isinstance(temperature, numbers.Real) and not (
        math.isfinite(temperature) and temperature > 0
    ):
        raise ValueError(
            "`temperature` must be positive and finite. "
            f"Received: temperature={temperature}"
        )


def check_weights(soft_weight, hard_weight):
    """Raises ValueError if the weights are not valid."""
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight}
    for name, weight in weights.items():
        _check_number(name, weight)
    numeric = {
        name: weight
        for name, weight in weights.items()
        if isinstance(weight, numbers.Real)
    }
    for name, weight in numeric.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(
                f"`{name}` must be finite and not negative. "
                f"Received: {name}={weight}"
            )
    if len(numeric) == 2 and not any(numeric.values()):
        raise ValueError(
            "`soft_weight` and `hard_weight` must not both be zero. "
            f"Received: soft_weight={soft_weight}, hard_weight={hard_weight}"
        )


def check_rows_at_a_time(count):
    """Raises ValueError if it is no positive int."""
    whole = isinstance(count, numbers.Integral) and not isinstance(count, bool)
    if not (whole and count > 0):
        raise ValueError(
            "`rows_at_a_time` must be a positive int, how many rows of logits "
            f"are in memory at once. Received: rows_at_a_time={count!r}"
        )


def _check_number(name, value):
    """Raises ValueError if a value is not one number, also of a graph."""
    shape = getattr(value, "shape", None)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # Of a tensor whose shape is not known nothing can be said.
    if not (is_number or (shape is not None and tuple(shape or ()) == ())):
        raise ValueError(
            f"`{name}` must be one number. Received: {name}={value!r}"
        )


def check_logits(logits, argument):
    """Raises ValueError if a tensor is not numbers [..., classes]."""
    dtype = logits.dtype
    if logits.shape.rank == 0 or not (dtype.is_floating or dtype.is_integer):
        raise ValueError(
            f"`{argument}` must be numbers of shape [..., classes]. "
            f"Received: {dtype.name} of shape {logits.shape}"
        )


def check_class_count(count, argument):
    """Raises ValueError if there are fewer than two classes.

    Args:
      count: int, or None if it is not known.
      argument: str, whose logits they are.
    """
    if count is not None and count < 2:
        raise ValueError(
            f"`{argument}` must have two or more classes: a softmax over one "
            "is always 1. For yes or no, or labels each for itself, use "
            'head="sigmoid"; regression has no soft targets and is not '
            f"supported. Received: logits of shape [..., {count}]"
        )


def check_same_shape(student_logits, teacher_logits):
    """Raises ValueError if the static shapes cannot be the same."""
    student_shape, teacher_shape = student_logits.shape, teacher_logits.shape
    if student_shape.rank == 0 or not student_shape.is_compatible_with(
        teacher_shape
    ):
        raise ValueError(
            "`student_logits` and `teacher_logits` must have the same shape "
            f"[..., classes]. Received: student_logits of shape "
            f"{student_shape}, teacher_logits of shape {teacher_shape}"
        )


def check_top_logits(
    student_logits, top_logits, classes, tail, argument="teacher_logits"
):
    """Raises ValueError if the parts of a `TopLogits` do not fit."""
    rows = student_logits.shape[:-1]
    count, k = student_logits.shape[-1], top_logits.shape[-1]
    fits = (
        top_logits.shape.is_compatible_with(classes.shape)
        and rows.is_compatible_with(top_logits.shape[:-1])
        and rows.is_compatible_with(tail.shape)
        and (None in (count, k) or k < count)
        and classes.dtype.is_integer
    )
    if not fits:
        raise ValueError(
            f"`{argument}` must be TopLogits of logits [..., k], integer "
            "classes [..., k] and tail [...], with k below the number of "
            f"classes. Received: logits of shape {top_logits.shape}, "
            f"{classes.dtype.name} classes of shape {classes.shape}, tail of "
            f"shape {tail.shape}, for student_logits of shape "
            f"{student_logits.shape}"
        )


def check_top_count(k, classes):
    """Raises ValueError if k is not between 1 and classes - 1."""
    if not isinstance(k, numbers.Integral) or not (
        k >= 1 and (classes is None or k < classes)
    ):
        raise ValueError(
            "`k` must be a positive int below the number of classes, "
            f"{classes}. Received: k={k!r}"
        )


def check_labels_shape(logits, labels):
    """Raises ValueError if labels are neither [...] nor [..., classes]."""
    logits_shape, labels_shape = logits.shape, labels.shape
    if not (
        logits_shape.is_compatible_with(labels_shape)
        or logits_shape[:-1].is_compatible_with(labels_shape)
    ):
        raise ValueError(
            "`labels` must be classes of shape [...] or distributions of "
            "shape [..., classes] for logits of shape [..., classes]. "
            f"Received: labels of shape {labels_shape}, logits of shape "
            f"{logits_shape}"
        )


def check_binary_labels_shape(logits, labels):
    """Raises ValueError if labels are not [..., labels], as the logits are."""
    if not logits.shape.is_compatible_with(labels.shape):
        raise ValueError(
            "`labels` must have the shape of the logits, [..., labels], for a "
            "sigmoid head: 0, 1 or a probability for every label, or -1 where "
            "it is not known; [...] will do for one label. "
            f"Received: labels of shape {labels.shape}, logits of shape "
            f"{logits.shape}"
        )

"""The terms of a loss, and their one gradient by the logits.

A kernel gives a `Term`: the values of its rows and, in float32 or better, what
they add to the gradient. Here the terms of a loss become functions that
TensorFlow differentiates. Their gradients are added up before they are rounded
to the dtype of the logits, so that half precision is rounded to once; and the
backward pass keeps what the kernels keep, the logits and a few numbers a row.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from kdtf._math import softmax


class Term(NamedTuple):
    """A loss of every entry, and its derivatives by the logits.

    Attributes:
      value: `[...]`.
      slope: function of upstream `[...]` to the gradient of <upstream, value>
        by the logits, `[..., classes]`, in float32 or better.
      classes: None, or `[..., k]` integer, all different within a row: classes
        for which that does not hold, but `slope(upstream, classes)`, `[...,
        k]`, does.
      second: function of the logits, upstream and a direction `[...,
        classes]`: the gradients of <direction, slope> by logits and upstream,
        in plain differentiable operations, so that orders above the second
        are right as well.
    """

    value: Any
    slope: Any
    second: Any
    classes: Any = None


def evaluate(student_logits, *kernels):
    """The losses of several kernels, `[...]` each, which share a gradient.

    Args:
      student_logits: `[..., classes]`, any floating dtype.
      *kernels: functions of the logits to a `Term`.

    Returns:
      List of tensors of float32 or float64, one a kernel.
    """

    @tf.custom_gradient
    def values(student_logits):
        terms = [kernel(student_logits) for kernel in kernels]

        def gradient(*upstreams):
            return _gradient(student_logits, terms, upstreams)

        return [term.value for term in terms], gradient

    return values(student_logits)


def _gradient(student_logits, terms, upstreams):
    """The sum of the slopes, `[..., classes]`, right to any order."""

    @tf.custom_gradient
    def total(student_logits, *upstreams):
        def second(direction):
            direction = softmax.at_least_float32(direction)
            by_logits, by_upstreams = zip(
                *(
                    term.second(student_logits, upstream, direction)
                    for term, upstream in zip(terms, upstreams, strict=True)
                ),
                strict=True,
            )
            by_logits = tf.cast(tf.add_n(by_logits), student_logits.dtype)
            return by_logits, *by_upstreams

        return slope(terms, upstreams, student_logits.dtype), second

    return total(student_logits, *upstreams)


def slope(terms, upstreams, dtype):
    """The gradient of <upstreams, values> by the logits, rounded once.

    Args:
      terms: list of `Term`.
      upstreams: list of `[...]`, one a term.
      dtype: of the result.

    Returns:
      `[..., classes]`.
    """

    def total(*classes):
        slopes = [
            term.slope(upstream, *classes)
            for term, upstream in zip(terms, upstreams, strict=True)
        ]
        return tf.cast(tf.add_n(slopes), dtype)

    result = total()
    for term in terms:
        if term.classes is not None:
            result = put(result, term.classes, total(term.classes))
    return result


def take(values, classes):
    """`[..., k]` of `[..., classes]` values."""
    return tf.gather(
        values, classes, batch_dims=classes.shape.rank - 1, axis=-1
    )


def put(values, classes, replacement):
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

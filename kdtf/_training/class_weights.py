"""Weights of entries by their class."""

import tensorflow as tf

from kdtf._math import entries


def apply(weights, class_weight, labels, logits):
    """`weights` times the weight of each entry's class.

    Args:
      weights: `[...]` float32, or None if every entry weighs 1.
      class_weight: dict from class to weight, or None; classes that are not in
        it, and unlabelled entries, weigh 1.
      labels: `[...]` classes or `[..., classes]` distributions, which count as
        their most probable class; or None.
      logits: `[..., classes]`.

    Returns:
      `[...]` float32 weights, or None.
    """
    if class_weight is None or labels is None:
        return weights
    table = tf.constant(
        [class_weight.get(c, 1.0) for c in range(logits.shape[-1])], tf.float32
    )
    if entries.is_dense(labels, logits):
        classes = tf.argmax(labels, axis=-1)
    else:
        classes = tf.maximum(tf.cast(labels, tf.int32), 0)
    by_class = tf.where(
        entries.is_labelled(labels, logits), tf.gather(table, classes), 1.0
    )
    return by_class if weights is None else weights * by_class

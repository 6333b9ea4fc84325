"""Weights of entries by their class."""

import math
import numbers

import tensorflow as tf


def require(class_weight):
    """Raises if `class_weight` is not what `fit` takes.

    Args:
      class_weight: what was given to `fit`.

    Raises:
      ValueError: if it is neither None nor a dict from class to weight.
    """
    good = class_weight is None or (
        isinstance(class_weight, dict)
        and all(
            isinstance(c, numbers.Integral) and c >= 0 and is_weight(w)
            for c, w in class_weight.items()
        )
    )
    if not good:
        raise ValueError(
            "`class_weight` must be a dict from classes, integers from 0, to "
            "weights, finite and not negative; dict(enumerate(weights)) makes "
            f"one of a list. Received: class_weight={class_weight!r}"
        )


def is_weight(value):
    """Whether a value is a number that may weigh something."""
    is_number = isinstance(value, numbers.Real)
    return is_number and math.isfinite(value) and value >= 0


class ClassWeights:
    """The class weights of a Distiller, where compiled steps can read them.

    They are in a variable: other weights for the same classes need no new
    trace, which would cost seconds and, under XLA, memory that is never freed.

    Attributes:
      given: dict from class to weight, or None.
    """

    def __init__(self):
        self.given = self._table = None

    def assign(self, class_weight, classes=None):
        """Takes what was given to `fit`.

        Args:
          class_weight: dict from class to weight, or None; classes that are not
            in it, and unlabelled entries, weigh 1.
          classes: int, the number of classes, if it is known.

        Returns:
          bool: whether steps that were traced before still hold.

        Raises:
          ValueError: if `class_weight` is neither None nor such a dict.
        """
        require(class_weight)
        class_weight = None if class_weight is None else dict(class_weight)
        before, self.given = self.given, class_weight
        if class_weight == before:
            return True
        if class_weight is None:
            self._table = None
            return False
        size = max([*class_weight, (classes or 1) - 1]) + 1
        holds = self._table is not None and size <= self._table.shape[0]
        if not holds:
            self._table = tf.Variable(tf.ones([size]), trainable=False)
        size = self._table.shape[0]
        self._table.assign([class_weight.get(c, 1.0) for c in range(size)])
        return holds

    def apply(self, weights, labels, logits, head):
        """`weights` times the weight of each entry's class.

        Args:
          weights: `[...]` float32, or None if every entry weighs 1.
          labels: as `head.fit_labels` gives them, where distributions count as
            their most probable class; or None.
          logits: `[..., classes]`.
          head: one of `_math.heads`; one label of a sigmoid head has the
            classes 0 and 1.

        Returns:
          `[...]` float32 weights, or None.

        Raises:
          ValueError: if a class is none, or a sigmoid head has several labels.
        """
        if self.given is None or labels is None:
            return weights
        classes, count = head.classes(labels, logits)
        if max(self.given, default=0) >= count:
            raise ValueError(
                f"`class_weight` must name classes below {count}. "
                f"Received: class_weight={self.given}"
            )
        absent = tf.ones([max(0, count - self._table.shape[0])])
        table = tf.concat([self._table, absent], axis=0)
        by_class = tf.where(
            head.labelled(labels, logits) > 0, tf.gather(table, classes), 1.0
        )
        return by_class if weights is None else weights * by_class

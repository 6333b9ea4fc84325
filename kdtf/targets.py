"""What a batch's y holds: labels, soft targets, or both."""

from typing import Any, NamedTuple

import tensorflow as tf

KEYS = ("labels", "teacher_logits")


class Targets(NamedTuple):
    """Labels and teacher outputs of one batch; None for what is absent.

    Attributes:
      labels: `[...]` classes or `[..., classes]` distributions.
      teacher_logits: `[..., classes]`, the teacher's answer at T = 1.
      tempered_logits: `[..., classes]`, u such that softmax(u / T) is the soft
        target. Differs from `teacher_logits` for an arithmetic `Ensemble` only.
    """

    labels: Any = None
    teacher_logits: Any = None
    tempered_logits: Any = None


def from_data(y):
    """`Targets` from y as a data set gives it.

    Args:
      y: None, labels, or a dict with the keys "labels" and "teacher_logits",
        either of which may be missing.

    Raises:
      ValueError: where y is another structure.
    """
    if isinstance(y, dict):
        unknown = sorted(set(y) - set(KEYS))
        if unknown:
            raise ValueError(
                f"`y` may have the keys {list(KEYS)}. "
                f"Received: y with the keys {sorted(y)}"
            )
        given = y.get("teacher_logits")
        return Targets(y.get("labels"), given, given)
    if isinstance(y, (list, tuple)):
        raise ValueError(
            "`y` must be labels or a dict with the keys "
            f"{list(KEYS)}. Received: a {type(y).__name__} of {len(y)}"
        )
    return Targets(labels=y)


def fit_labels(labels, logits):
    """Labels `[..., 1]` beside logits `[..., classes]` become `[...]`.

    Keras's own losses allow that trailing axis; two or more classes make it
    plain that it is not a distribution.
    """
    if labels is None:
        return None
    labels = tf.convert_to_tensor(labels)
    same_rank = labels.shape.rank == logits.shape.rank
    if same_rank and labels.shape[-1] == 1 and logits.shape[-1] != 1:
        labels = tf.squeeze(labels, axis=-1)
    return labels

"""What a batch's y holds: labels, soft targets, or both."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kdtf._math import softmax
from kdtf._math.top_logits import TopLogits

# The fields of a `TopLogits`, as a data set names them.
TOP_KEYS = ("teacher_top_logits", "teacher_top_classes", "teacher_tail")
KEYS = ("labels", "teacher_logits", *TOP_KEYS)


class Targets(NamedTuple):
    """Labels and teacher outputs of one batch; None for what is absent.

    Attributes:
      labels: `[...]` classes or `[..., classes]` distributions.
      teacher_logits: `[..., classes]`, the teacher's answer at T = 1.
      tempered_logits: `[..., classes]`, u such that softmax(u / T) is the soft
        target; or `TopLogits`, which stand for them. Differs from
        `teacher_logits` for an arithmetic `Ensemble` otherwise.
    """

    labels: Any = None
    teacher_logits: Any = None
    tempered_logits: Any = None


def from_data(y, *, beside_teacher=False):
    """`Targets` from y as a data set gives it.

    Args:
      y: None, labels, or a dict with the keys "labels" and "teacher_logits",
        either of which may be missing; `TOP_KEYS` may stand for the latter.
      beside_teacher: whether a teacher runs, whose logits y must not hold.

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
        top = _top_logits(y)
        if given is not None and top is not None:
            raise ValueError(
                "`y` must hold teacher_logits or the parts of TopLogits, not "
                f"both. Received: y with the keys {sorted(y)}"
            )
        if beside_teacher and (given is not None or top is not None):
            raise ValueError(
                "`y` must not hold teacher_logits beside a teacher: build the "
                "Distiller with teacher=None to learn from stored ones. "
                f"Received: y with the keys {sorted(y)}"
            )
        tempered = given if top is None else top
        return Targets(y.get("labels"), given, tempered)
    if isinstance(y, (list, tuple)):
        raise ValueError(
            "`y` must be labels or a dict with the keys "
            f"{list(KEYS)}. Received: a {type(y).__name__} of {len(y)}"
        )
    return Targets(labels=y)


def _top_logits(y):
    """The `TopLogits` in a dict, or None where it holds no part of them."""
    parts = [key for key in TOP_KEYS if y.get(key) is not None]
    if not parts:
        return None
    if len(parts) < len(TOP_KEYS):
        raise ValueError(
            f"`y` must hold all of {list(TOP_KEYS)} or none of them. "
            f"Received: y with the keys {sorted(y)}"
        )
    return TopLogits(*(y[key] for key in TOP_KEYS))


def fill_in(batch, classes, temperature):
    """A batch with the teacher's logits, where it holds their top only.

    Metrics may want them; where none does, the graph drops them again.
    """
    top = batch.tempered_logits
    if not isinstance(top, TopLogits):
        return batch
    return batch._replace(teacher_logits=top.dense(classes, temperature))


def teacher_choices(batch):
    """`[...]`, the class that the teacher holds most probable."""
    if isinstance(batch.tempered_logits, TopLogits):
        return tf.cast(batch.tempered_logits.classes[..., 0], tf.int64)
    return tf.argmax(batch.teacher_logits, axis=-1)


def require(batch, *, soft, awaits_teacher):
    """Raises where a batch lacks what `fit` is to learn from.

    Args:
      batch: `Targets`.
      soft: whether soft targets are learned from, and not labels alone.
      awaits_teacher: whether a Distiller was loaded without its teacher.

    Raises:
      ValueError: says what is missing and how to give it.
    """
    if soft and batch.tempered_logits is None:
        if awaits_teacher:
            raise ValueError(
                "This Distiller was saved without its teacher: call "
                "`set_teacher(teacher)` before `fit`. Received: no teacher"
            )
        raise ValueError(
            "`y` must be {'labels': ..., 'teacher_logits': ...} for a "
            "Distiller without a teacher, or `soft_weight` must be 0. "
            "Received: y without teacher_logits"
        )
    if not soft and batch.labels is None:
        raise ValueError(
            "`y` must hold labels where `soft_weight` is 0. Received: no labels"
        )


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


def weights_beside(y, sample_weight):
    """Sample weights in the structure of y, as Keras wants them.

    Beside a dict it would else refuse weights of more than one axis, since it
    takes every key for an output of its own.
    """
    if not isinstance(y, dict) or isinstance(sample_weight, (dict, type(None))):
        return sample_weight
    return dict.fromkeys(y, np.asarray(sample_weight))


def entry_weights(logits, sample_weight):
    """`numerics.entry_weights`, also for weights in the structure of y."""
    if isinstance(sample_weight, dict):  # the same for every key
        sample_weight = next(iter(sample_weight.values()))
    return softmax.entry_weights(logits, sample_weight)

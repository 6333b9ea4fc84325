"""What a batch's y holds: labels, soft targets, or both."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kdtf._math.top_logits import TopLogits

# The fields of a `TopLogits`, as a data set names them.
TOP_KEYS = ("teacher_top_logits", "teacher_top_classes", "teacher_tail")
KEYS = ("labels", "teacher_logits", *TOP_KEYS)

_TEMPERATURE = "teacher_temperature="


class Targets(NamedTuple):
    """Labels and teacher outputs of one batch; None for what is absent.

    Attributes:
      labels: `[...]` classes or `[..., classes]` distributions.
      teacher_logits: `[..., classes]`, the teacher's logits at T = 1.
      tempered_logits: `[..., classes]`, u such that softmax(u / T) is the soft
        target; or `TopLogits`, which stand for them. Differs from
        `teacher_logits` for an arithmetic `Ensemble` only.
    """

    labels: Any = None
    teacher_logits: Any = None
    tempered_logits: Any = None


def temperature_key(temperature):
    """The key of y by which targets tell the one temperature they hold for.

    In the key, not in its value, so that it is known before any batch is: it
    survives shuffling, batching and mapping.
    """
    return f"{_TEMPERATURE}{float(temperature)!r}"


def temperature_of(y):
    """The temperature that targets hold for, or None if they hold for any.

    Args:
      y: as a data set gives it, or its spec.
    """
    if isinstance(y, dict):
        for key in y:
            if str(key).startswith(_TEMPERATURE):
                return float(key.removeprefix(_TEMPERATURE))
    return None


def temperature_of_batches(iterator):
    """`temperature_of` what an iterator over batches, or groups, yields."""
    spec = getattr(iterator, "element_spec", None)
    spec = getattr(spec, "data", spec)  # of a `batch_groups.Group`
    if not isinstance(spec, tuple):
        return None
    return temperature_of(keras.utils.unpack_x_y_sample_weight(spec)[1])


def from_data(y, *, beside_teacher=False):
    """`Targets` from y as a data set gives it.

    Args:
      y: None, labels, or a dict with the keys "labels" and "teacher_logits",
        either of which may be missing; `TOP_KEYS` may stand for the latter,
        and a `temperature_key` may come with both.
      beside_teacher: whether a teacher runs, in which case y must not hold
        teacher logits.

    Returns:
      `Targets`.

    Raises:
      ValueError: if y has any other structure.
    """
    if isinstance(y, dict):
        return _from_dict(y, beside_teacher)
    if isinstance(y, (list, tuple)):
        raise ValueError(
            "`y` must be labels or a dict with the keys "
            f"{list(KEYS)}. Received: a {type(y).__name__} of {len(y)}"
        )
    return Targets(labels=y)


def _from_dict(y, beside_teacher):
    names = [k for k in y if not str(k).startswith(_TEMPERATURE)]
    if set(names) - set(KEYS):
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
            "`y` must not hold teacher_logits if there is a teacher: build "
            "the Distiller with teacher=None to learn from stored ones. "
            f"Received: y with the keys {sorted(y)}"
        )
    tempered = given if top is None else top
    return Targets(y.get("labels"), given, tempered)


def _top_logits(y):
    """The `TopLogits` in a dict, or None if it holds no part of them."""
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
    """A batch with the teacher's logits, if it holds only their top.

    Metrics may need them; if none does, the graph drops them again.
    """
    top = batch.tempered_logits
    if not isinstance(top, TopLogits):
        return batch
    return batch._replace(teacher_logits=top.dense(classes, temperature))


def require(batch, *, soft, awaits_teacher):
    """Raises if a batch lacks what `fit` has to learn from.

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
            "`y` must hold labels if `soft_weight` is 0. Received: no labels"
        )


def require_temperature(found, temperature):
    """Raises if targets hold for another temperature than a Distiller's.

    Args:
      found: float, what `temperature_of` returned, or None.
      temperature: the Distiller's, a variable.

    Raises:
      ValueError: if the two differ in float32.
    """
    if found is None:
        return
    with tf.init_scope():  # its value, also while a step is traced
        now = float(keras.ops.convert_to_numpy(temperature))
    if np.float32(found) != np.float32(now):
        raise ValueError(
            "`temperature` of the Distiller must be the one that its soft "
            f"targets were made at, {found:g}: they depend on it. Write "
            "others, or assign that temperature. Received: a Distiller at "
            f"temperature={now:g}"
        )


def weights_beside(y, sample_weight):
    """Sample weights in the structure of y, as Keras needs them.

    Given a dict, Keras takes every key for an output of its own, and would
    refuse weights of more than one axis.
    """
    if not isinstance(y, dict) or isinstance(sample_weight, (dict, type(None))):
        return sample_weight
    return dict.fromkeys(y, np.asarray(sample_weight))


def common_weight(sample_weight):
    """What `weights_beside` spread over the keys of y, as one tensor again."""
    if isinstance(sample_weight, dict):
        return next(iter(sample_weight.values()))
    return sample_weight

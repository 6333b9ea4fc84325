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
_HEAD = "teacher_head="


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


class Taught(NamedTuple):
    """y as `fit` was given it, and what the teacher said of the same rows."""

    y: Any
    found: Any


def temperature_key(temperature):
    """The key of y by which targets tell the one temperature they hold for.

    In the key, not in its value, so that it is known before any batch is: it
    survives shuffling, batching and mapping.
    """
    return f"{_TEMPERATURE}{float(temperature)!r}"


def head_key(head):
    """The key of y by which stored logits tell the head they are for.

    Those for a softmax are shifted by a number a row, which a sigmoid would
    take for something else.
    """
    return f"{_HEAD}{head}"


def require_head(y, head):
    """Raises if targets tell that they are for another head.

    Args:
      y: as a data set gives it.
      head: str.

    Raises:
      ValueError: if they do.
    """
    keys = y if isinstance(y, dict) else ()
    found = [str(key) for key in keys if _tells(key, _HEAD)]
    if found and found[0] != head_key(head):
        raise ValueError(
            f'`y` must hold soft targets for head="{head}": write them anew '
            f'with SoftTargets.write(..., head="{head}"). '
            f"Received: soft targets for {found[0].removeprefix(_HEAD)}"
        )


def _tells(key, what):
    return str(key).startswith(what)


def temperature_of(y):
    """The temperature that targets hold for, or None if they hold for any.

    Args:
      y: as a data set gives it, or its spec.
    """
    if isinstance(y, dict):
        for key in y:
            if _tells(key, _TEMPERATURE):
                return float(key.removeprefix(_TEMPERATURE))
    return None


def y_of_batches(iterator):
    """The spec of y of what an iterator over batches, or groups, yields.

    None if it does not tell, or yields no y.
    """
    spec = getattr(iterator, "element_spec", None)
    spec = getattr(spec, "data", spec)  # of a `batch_groups.Group`
    if not isinstance(spec, tuple):
        return None
    y = keras.utils.unpack_x_y_sample_weight(spec)[1]
    return y.y if isinstance(y, Taught) else y


def from_data(y, *, beside_teacher=False):
    """`Targets` from y as a data set gives it.

    Args:
      y: None, labels, or a dict with the keys "labels" and "teacher_logits",
        either of which may be missing; `TOP_KEYS` may stand for the latter,
        and a `temperature_key` and a `head_key` may come with both.
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
    names = [k for k in y if not _tells(k, (_TEMPERATURE, _HEAD))]
    if set(names) - set(KEYS):
        raise ValueError(
            f"`y` may have the keys {list(KEYS)}; if the student has several "
            "outputs and does not tell them, give `head` as a dict by output. "
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


def taught(output, batch, found):
    """A batch with what its teacher gives for an output.

    Args:
      output: the `output.Output`.
      batch: its `Targets`.
      found: `(teacher_logits, tempered_logits)`, or None without a teacher.
    """
    if found is None or not output.learns_soft_targets:
        return batch
    return batch._replace(teacher_logits=found[0], tempered_logits=found[1])


def require(batch, *, soft, awaits_teacher, output=None):
    """Raises if a batch lacks what `fit` has to learn from.

    Args:
      batch: `Targets`.
      soft: whether soft targets are learned from, and not labels alone.
      awaits_teacher: whether a Distiller was loaded without its teacher.
      output: str, which of several outputs they are for, or None.

    Raises:
      ValueError: says what is missing and how to give it.
    """
    of = "" if output is None else f" for output {output!r}"
    if soft and batch.tempered_logits is None:
        if awaits_teacher:
            raise ValueError(
                "This Distiller was saved without its teacher: call "
                "`set_teacher(teacher)` before `fit`. Received: no teacher"
            )
        raise ValueError(
            "`y` must be {'labels': ..., 'teacher_logits': ...} for a "
            "Distiller without a teacher, or `soft_weight` must be 0. "
            f"Received: y without teacher_logits{of}"
        )
    if not soft and batch.labels is None:
        raise ValueError(
            "`y` must hold labels if `soft_weight` is 0. "
            f"Received: no labels{of}"
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

    Args:
      y: as `fit` is given it: labels, or dicts and lists of parts.
      sample_weight: an array for all parts, or a dict or list of some for the
        parts at the top, or None. Parts without any weigh 1.
    """
    if sample_weight is None or not isinstance(y, (dict, list, tuple)):
        return sample_weight
    if isinstance(y, dict):
        by_part = sample_weight
        if not isinstance(by_part, dict):
            by_part = dict.fromkeys(y, sample_weight)
        return {
            key: _weights_of_part(part, by_part.get(key))
            for key, part in y.items()
        }
    by_part = sample_weight
    if not isinstance(by_part, (list, tuple)) or len(by_part) != len(y):
        by_part = [sample_weight] * len(y)
    return type(y)(map(_weights_of_part, y, by_part))


def _weights_of_part(part, sample_weight):
    if part is None:
        return None
    if sample_weight is None:
        rows = len(next(iter(keras.tree.flatten(part))))
        sample_weight = np.ones(rows, np.float32)
    if isinstance(part, (dict, list, tuple)):
        return weights_beside(part, sample_weight)
    return np.asarray(sample_weight)

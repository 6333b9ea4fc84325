"""What labels and teacher logits must be, where their values can be seen.

That is in arrays given to `fit`, once before it begins, and in every batch
under `Distiller(check_inputs=True)`.
"""

import collections
import warnings

import numpy as np
import tensorflow as tf

from kdtf._math import entries, probabilities


class InputChecker:
    """Raises on labels and teacher logits that cannot be right.

    The checks run in Python, once per batch, in eager and in graph mode (not
    under XLA). The error names the row and the batch, counted from 0 since
    `reset`.
    """

    def __init__(self, head, output=None):
        """For an output of that head; its name is in the errors, if any."""
        self._head = head
        self._of_output = _of_output(output)
        self._batches = collections.Counter()  # of each replica

    def reset(self):
        """Starts counting batches from 0 again."""
        self._batches.clear()

    def __call__(self, labels, teacher_logits, logits):
        """Checks one batch.

        Args:
          labels: `[...]` classes or `[..., classes]` distributions, or None.
          teacher_logits: `[..., classes]`, or None.
          logits: `[..., classes]`, the student's.

        Raises:
          ValueError: in eager mode, if a label or a teacher's logit cannot be
            right, or student or teacher gives probabilities; in graph mode
            TensorFlow's InvalidArgumentError, with the same message.
        """
        given = {"labels": labels, "teacher_logits": teacher_logits}
        given = {n: v for n, v in given.items() if v is not None}

        context = tf.distribute.get_replica_context()
        several = context is not None and context.num_replicas_in_sync > 1

        def check(replica, *arrays):
            found = dict(zip([*given, "student"], arrays, strict=True))
            where = f"{self._of_output} in batch {self._batches[int(replica)]}"
            if several:
                where += f" of replica {replica}"
            if "labels" in found:
                shape = found["student"].shape
                _check_labels(found["labels"], shape, self._head, where)
            if "teacher_logits" in found:
                _check_finite(found["teacher_logits"], where)
                probabilities.check_no_probabilities(
                    found["teacher_logits"], "teacher_logits", self._head.name
                )
            probabilities.check_no_probabilities(
                found["student"], "student", self._head.name
            )
            self._batches[int(replica)] += 1
            return np.int32(0)

        replica = context.replica_id_in_sync_group if several else 0
        tensors = [tf.convert_to_tensor(replica), *given.values(), logits]
        if tf.executing_eagerly():
            check(*[t.numpy() for t in tensors])
        else:
            tf.numpy_function(check, tensors, tf.int32)


def _of_output(name):
    return "" if name is None else f" of output {name!r}"


def check_arrays(y, logits_shape, head, output=None):
    """Checks labels and teacher logits that were given to `fit` as arrays.

    What is no array of numbers, or of another shape, is left to the steps.

    Args:
      y: labels, a dict of labels and teacher logits, or None.
      logits_shape: shape of the student's logits, `[batch, ..., classes]`.
      head: one of `_math.heads`.
      output: str, which of several outputs it is, or None.

    Raises:
      ValueError: names the first row that cannot be right.
    """
    given = y if isinstance(y, dict) else {"labels": y}
    labels = _as_array(given.get("labels"), "labels")
    if labels is not None:
        column = labels.ndim == len(logits_shape) and labels.shape[-1] == 1
        if column and logits_shape[-1] != 1:
            labels = labels[..., 0]
        _check_labels(labels, logits_shape, head, _of_output(output))
        _warn_of_signs(labels, logits_shape, head)
    logits = _as_array(given.get("teacher_logits"), "teacher_logits")
    if logits is not None and logits.dtype.kind == "f":
        if not logits.max() < np.inf:  # so is NaN, which `max` keeps
            _check_finite(logits, _of_output(output))
        probabilities.check_no_probabilities(
            logits[:1000], "teacher_logits", head.name
        )


def _as_array(values, argument):
    """An array of numbers that lies in memory, or None."""
    if values is None or isinstance(values, (str, bytes, dict)):
        return None
    if tf.is_tensor(values) and not hasattr(values, "numpy"):
        return None
    try:
        found = np.asarray(values)
    except (TypeError, ValueError):  # Keras says what is wrong with it
        return None
    if found.dtype.kind in "OSU" and found.size:
        raise entries.no_numbers(argument, found.dtype)
    return found if found.size and found.dtype.kind in "biuf" else None


def _check_labels(labels, logits_shape, head, where=""):
    """Raises ValueError if a label cannot be right.

    Args:
      labels: numpy array `[...]` or `[..., classes]`.
      logits_shape: shape of the student's logits.
      head: one of `_math.heads`.
      where: str, put into the message after the label.
    """
    classes = logits_shape[-1]
    if head.name == "sigmoid":
        good = labels <= 1
        rule = "be 0, 1 or a probability for every label, or -1 (not known)"
    elif labels.ndim == len(logits_shape):
        good = _is_distribution(labels)
        rule = "be distributions that sum to 1 (or all -1: unlabelled)"
    else:
        good = (labels < 0) | ((labels < classes) & (labels % 1 == 0))
        rule = (
            f"be whole numbers from 0 to {classes - 1}, or negative "
            "(unlabelled)"
        )
    _require_all(good, labels, "labels", rule, where)


def _warn_of_signs(labels, logits_shape, head):
    """Warns of labels -1 and 1, which some tools use for no and yes."""
    of_two = head.name == "sigmoid" or logits_shape[-1] == 2
    both = of_two and labels.min() == -1 and labels.max() == 1
    if both and (np.abs(labels) == 1).all():
        warnings.warn(
            "`labels` are -1 and 1, and never 0: -1 means that a label is not "
            "known. For no and yes give 0 and 1, as in (labels + 1) // 2.",
            stacklevel=2,
        )


def _is_distribution(labels):
    """`[...]`: which rows are distributions, or unlabelled."""
    sums = labels.sum(-1, dtype=np.float64)
    return (
        (labels >= 0).all(-1) & np.isclose(sums, 1, atol=1e-2)
        | (labels == -1).all(-1)
        | (labels == 0).all(-1)
    )


def _check_finite(logits, where=""):
    """Raises ValueError at NaN and infinity; -infinity excludes a class."""
    good = (logits.astype(np.float32) < np.inf).all(-1)
    _require_all(good, logits, "teacher_logits", "be finite, or -inf", where)


def _require_all(good, values, name, rule, where):
    if not good.all():
        row = np.argwhere(~good)[0]
        place = f"{where}, row" if where else " in row"
        number = int(row[0]) if len(row) == 1 else tuple(int(i) for i in row)
        raise ValueError(
            f"`{name}` must {rule}. Received: {values[tuple(row)]}{place} "
            f"{number}"
        )

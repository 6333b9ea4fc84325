"""The checks of every batch under `Distiller(check_inputs=True)`."""

import numpy as np
import tensorflow as tf

from kdtf._math import entries


class InputChecker:
    """Raises on labels out of range and on teacher logits that are not finite.

    The checks run in Python, once per batch, in eager and in graph mode (not
    under XLA). The error names the row and the batch, counted from 0 since
    `reset`.
    """

    def __init__(self):
        self._batch = 0

    def reset(self):
        """Starts counting batches from 0 again."""
        self._batch = 0

    def __call__(self, labels, teacher_logits, logits):
        """Checks one batch.

        Args:
          labels: `[...]` classes or `[..., classes]` distributions, or None.
          teacher_logits: `[..., classes]`, or None.
          logits: `[..., classes]`, the student's.

        Raises:
          ValueError: in eager mode, if a label or a teacher's logit cannot be
            right; in graph mode TensorFlow's InvalidArgumentError, with the
            same message.
        """
        present = [v for v in (labels, teacher_logits) if v is not None]
        classes = logits.shape[-1]
        dense = labels is not None and entries.is_dense(labels, logits)

        def check(*arrays):
            arrays = list(arrays)
            if labels is not None:
                check_labels = _check_dense if dense else _check_sparse
                check_labels(arrays.pop(0), classes, self._batch)
            if teacher_logits is not None:
                _check_teacher_logits(arrays.pop(0), self._batch)
            self._batch += 1
            return np.int32(0)

        if tf.executing_eagerly():
            check(*[v.numpy() for v in present])
        else:
            tf.numpy_function(check, present, tf.int32)


def _check_sparse(labels, classes, batch):
    good = ~entries.has_class(labels) | ((labels < classes) & (labels % 1 == 0))
    rule = f"be whole numbers from 0 to {classes - 1}, or negative (unlabelled)"
    _require_all(good, labels, rule, batch)


def _check_dense(labels, classes, batch):
    del classes
    sums = labels.astype(np.float64).sum(-1)
    is_distribution = (labels >= 0).all(-1) & np.isclose(sums, 1, atol=1e-2)
    good = is_distribution | (labels == -1).all(-1) | (labels == 0).all(-1)
    rule = "be distributions that sum to 1 (or all -1: unlabelled)"
    _require_all(good, labels, rule, batch)


def _require_all(good, labels, rule, batch):
    if not good.all():
        where = np.argwhere(~good)[0]
        raise ValueError(
            f"`labels` must {rule}. Received: {labels[tuple(where)]} in "
            f"batch {batch}, row {_row(where)}"
        )


def _check_teacher_logits(teacher_logits, batch):
    good = np.isfinite(teacher_logits.astype(np.float32)).all(-1)
    if not good.all():
        where = np.argwhere(~good)[0]
        raise ValueError(
            "`teacher_logits` must be finite. Received: "
            f"{teacher_logits[tuple(where)]} in batch {batch}, "
            f"row {_row(where)}"
        )


def _row(where):
    """3 for an example, (3, 7) for frame 7 of example 3."""
    return int(where[0]) if len(where) == 1 else tuple(int(i) for i in where)

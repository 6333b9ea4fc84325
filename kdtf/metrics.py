"""How similar student and teacher are, and how well calibrated the student is.

Two kinds of `keras.metrics.Metric`: those that compare with the teacher take
`(teacher_logits, logits)`, and a `Distiller` feeds them the teacher's logits;
the others take `(labels, logits)` and skip negative labels. All work from
logits `[..., classes]` of any floating dtype, at T = 1, and accept sample
weights `[batch]` or `[...]`.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf import losses
from kdtf._math import entries, loss_kernels, softmax
from kdtf._types import Tensor, TensorLike


class TeacherMetric(keras.metrics.Mean):
    """A mean over entries of a comparison with the teacher."""

    def update_state(
        self,
        teacher_logits: TensorLike,
        logits: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> None:
        """Adds a batch.

        Args:
          teacher_logits: `[..., classes]`.
          logits: `[..., classes]`, the student's.
          sample_weight: None, `[batch]` or `[...]`.
        """
        logits = tf.convert_to_tensor(logits)
        weights = entries.entry_weights(logits, sample_weight)
        super().update_state(
            self.compare(tf.convert_to_tensor(teacher_logits), logits), weights
        )


class LabelMetric(keras.metrics.Mean):
    """A mean over labelled entries of a score of labels and logits."""

    def update_state(
        self,
        labels: TensorLike,
        logits: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> None:
        """Adds a batch.

        Args:
          labels: `[...]` or `[..., 1]` classes; negative ones are skipped.
          logits: `[..., classes]`.
          sample_weight: None, `[batch]` or `[...]`.
        """
        labels, logits, weights = _labelled(labels, logits, sample_weight)
        super().update_state(self.score(labels, logits), weights)


@keras.saving.register_keras_serializable("kdtf")
class Agreement(TeacherMetric):
    """Share of entries on which student and teacher choose the same class.

    Top-1 agreement of Stanton et al. 2021, arXiv 2106.05945.

    Example:
      >>> metric = kdtf.metrics.Agreement()
      >>> metric.update_state([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0]] * 2)
      >>> float(metric.result())
      0.5
    """

    def __init__(self, name: str = "agreement", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def compare(self, teacher_logits: Tensor, logits: Tensor) -> Tensor:
        """`[...]`: 1 where both choose the same class."""
        return tf.equal(tf.argmax(teacher_logits, -1), tf.argmax(logits, -1))


@keras.saving.register_keras_serializable("kdtf")
class FidelityKL(TeacherMetric):
    """Mean KL(teacher || student) at T = 1, in nats (arXiv 2106.05945).

    Example:
      >>> metric = kdtf.metrics.FidelityKL()
      >>> metric.update_state([[0.0, 1.0]], [[1.0, 0.0]])
      >>> round(float(metric.result()), 4)
      0.4621
    """

    def __init__(self, name: str = "fidelity_kl", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def compare(self, teacher_logits: Tensor, logits: Tensor) -> Tensor:
        """`[...]` divergences."""
        return losses.soft_loss(logits, teacher_logits, temperature=1.0)


@keras.saving.register_keras_serializable("kdtf")
class NegativeLogLikelihood(LabelMetric):
    """Mean of -log q[label], in nats.

    Example:
      >>> metric = kdtf.metrics.NegativeLogLikelihood()
      >>> metric.update_state([0, -1], [[0.0, 0.0], [5.0, 0.0]])
      >>> round(float(metric.result()), 4)
      0.6931
    """

    def __init__(self, name: str = "nll", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def score(self, labels: Tensor, logits: Tensor) -> Tensor:
        """`[...]` negative log-likelihoods."""
        return loss_kernels.sparse_cross_entropy(logits, labels)


@keras.saving.register_keras_serializable("kdtf")
class BrierScore(LabelMetric):
    """Mean of sum_i (q_i - [i is the label])^2, from 0 to 2.

    Example:
      >>> metric = kdtf.metrics.BrierScore()
      >>> metric.update_state([0], [[0.0, 0.0]])
      >>> float(metric.result())
      0.5
    """

    def __init__(self, name: str = "brier", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def score(self, labels: Tensor, logits: Tensor) -> Tensor:
        """`[...]` scores."""
        q = tf.exp(softmax.tempered_log_softmax(logits, 1.0))
        one_hot = tf.one_hot(labels, tf.shape(logits)[-1], dtype=q.dtype)
        return tf.reduce_sum(tf.square(q - one_hot), axis=-1)


@keras.saving.register_keras_serializable("kdtf")
class ExpectedCalibrationError(keras.metrics.Metric):
    """sum_b |sum over bin b of (correct - confidence)| / total weight.

    Entries are put into bins of equal width by the probability of the class
    they choose; see Guo et al. 2017, arXiv 1706.04599.

    Example:
      >>> metric = kdtf.metrics.ExpectedCalibrationError()
      >>> metric.update_state([0, 1], [[0.0, 50.0], [0.0, 50.0]])
      >>> float(metric.result())  # sure of both, right on one
      0.5
    """

    def __init__(
        self, num_bins: int = 15, name: str = "ece", dtype: Any = None
    ) -> None:
        """Builds the metric.

        Args:
          num_bins: int > 0.
          name: the metric's name.
          dtype: the dtype of the result.

        Raises:
          ValueError: if `num_bins` is not a positive int.
        """
        super().__init__(name=name, dtype=dtype)
        _check_num_bins(num_bins)
        self.num_bins = num_bins
        self.gaps = self.add_variable((num_bins,), "zeros", name="gaps")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(
        self,
        labels: TensorLike,
        logits: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> None:
        """Adds a batch; arguments as in `LabelMetric`."""
        labels, logits, weights = _labelled(labels, logits, sample_weight)
        log_q = softmax.tempered_log_softmax(logits, 1.0)
        confidence = tf.exp(tf.reduce_max(log_q, axis=-1))
        correct = tf.cast(
            tf.equal(tf.argmax(logits, -1, labels.dtype), labels),
            confidence.dtype,
        )
        # A confidence of exactly 1 belongs to the last bin.
        bins = tf.minimum(
            tf.cast(confidence * self.num_bins, tf.int32), self.num_bins - 1
        )
        in_bin = tf.one_hot(bins, self.num_bins, dtype=confidence.dtype)
        gaps = weights * (correct - confidence)
        axes = list(range(gaps.shape.rank))
        self.gaps.assign_add(tf.reduce_sum(in_bin * gaps[..., None], axis=axes))
        self.total.assign_add(tf.reduce_sum(weights))

    def result(self) -> Tensor:
        """Scalar in [0, 1]; 0 before the first labelled entry."""
        total = tf.convert_to_tensor(self.total)
        gaps = tf.reduce_sum(tf.abs(tf.convert_to_tensor(self.gaps)))
        return tf.math.divide_no_nan(gaps, total)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {**super().get_config(), "num_bins": self.num_bins}


def equal_mass_calibration_error(
    labels: npt.ArrayLike, logits: npt.ArrayLike, *, num_bins: int = 15
) -> float:
    """Calibration error over bins of equal count, sorted by confidence.

    sum_b (count_b / total) |mean correct_b - mean confidence_b|: no bin is
    nearly empty, as are most bins of equal width for a good net.

    Args:
      labels: `[...]` array of classes; negative ones are skipped.
      logits: `[..., classes]` array.
      num_bins: int > 0.

    Returns:
      Python float in [0, 1]; 0 if no entry is labelled.

    Raises:
      ValueError: if the shapes do not fit or `num_bins` is not a positive int.

    Example:
      >>> kdtf.metrics.equal_mass_calibration_error(
      ...     [0, 1], [[0.0, 50.0], [0.0, 50.0]], num_bins=1)
      0.5
    """
    _check_num_bins(num_bins)
    y, z = np.asarray(labels), np.asarray(logits, np.float64)
    if y.shape != z.shape[:-1]:
        raise ValueError(
            "`labels` must have the shape of `logits` without the classes. "
            f"Received: labels of {y.shape}, logits of {z.shape}"
        )
    labelled = entries.has_class(y.ravel())
    y, z = y.ravel()[labelled], z.reshape(-1, z.shape[-1])[labelled]
    if not y.size:
        return 0.0
    shifted = np.exp(z - z.max(-1, keepdims=True))
    confidence = 1.0 / shifted.sum(-1)  # the largest exponential is 1
    gaps = (z.argmax(-1) == y) - confidence
    by_confidence = gaps[np.argsort(confidence, kind="stable")]
    bins = np.array_split(by_confidence, num_bins)
    return float(sum(abs(b.sum()) for b in bins) / y.size)


def _labelled(
    labels: TensorLike, logits: TensorLike, sample_weight: TensorLike | None
) -> tuple[Tensor, Tensor, Tensor]:
    """int32 labels `[...]`, logits, and weights `[...]`, 0 if unlabelled."""
    logits = tf.convert_to_tensor(logits)
    labels = tf.cast(entries.fit_labels(labels, logits), tf.int32)
    weights = entries.entry_weights(logits, sample_weight)
    return labels, logits, entries.labelled_weights(weights, labels, logits)


def _check_num_bins(num_bins: int) -> None:
    if not isinstance(num_bins, int) or num_bins < 1:
        raise ValueError(
            "`num_bins` must be a positive int. "
            f"Received: num_bins={num_bins!r}"
        )

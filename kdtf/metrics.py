"""How alike student and teacher are, and how far the student can be trusted.

Two kinds of `keras.metrics.Metric`: those that compare with the teacher take
`(teacher_logits, logits)`, and a `Distiller` feeds them the teacher's logits;
the others take `(labels, logits)` and skip labels of -1. All work from logits
`[..., classes]` of any floating dtype, at T = 1, and accept sample weights
`[batch]` or `[...]`.
"""

import keras
import numpy as np
import tensorflow as tf

from kdtf import losses
from kdtf._math import loss_kernels, softmax
from kdtf._training import targets


class TeacherMetric(keras.metrics.Mean):
    """A mean over entries of a comparison with the teacher."""

    def update_state(self, teacher_logits, logits, sample_weight=None):
        """Adds a batch.

        Args:
          teacher_logits: `[..., classes]`.
          logits: `[..., classes]`, the student's.
          sample_weight: None, `[batch]` or `[...]`.
        """
        logits = tf.convert_to_tensor(logits)
        weights = softmax.entry_weights(logits, sample_weight)
        super().update_state(
            self.compare(tf.convert_to_tensor(teacher_logits), logits), weights
        )


class LabelMetric(keras.metrics.Mean):
    """A mean over labelled entries of a score of labels and logits."""

    def update_state(self, labels, logits, sample_weight=None):
        """Adds a batch.

        Args:
          labels: `[...]` or `[..., 1]` classes; -1 is skipped.
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

    def __init__(self, name="agreement", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def compare(self, teacher_logits, logits):
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

    def __init__(self, name="fidelity_kl", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def compare(self, teacher_logits, logits):
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

    def __init__(self, name="nll", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def score(self, labels, logits):
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

    def __init__(self, name="brier", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def score(self, labels, logits):
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

    def __init__(self, num_bins=15, name="ece", dtype=None):
        """Builds the metric.

        Args:
          num_bins: int > 0.
          name: the metric's name.
          dtype: the dtype of the result.

        Raises:
          ValueError: where `num_bins` is not a positive int.
        """
        super().__init__(name=name, dtype=dtype)
        _check_num_bins(num_bins)
        self.num_bins = num_bins
        self.gaps = self.add_variable((num_bins,), "zeros", name="gaps")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, labels, logits, sample_weight=None):
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

    def result(self):
        """Scalar in [0, 1]; 0 before the first labelled entry."""
        total = tf.convert_to_tensor(self.total)
        gaps = tf.reduce_sum(tf.abs(tf.convert_to_tensor(self.gaps)))
        return tf.math.divide_no_nan(gaps, total)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "num_bins": self.num_bins}


def equal_mass_calibration_error(labels, logits, *, num_bins=15):
    """Calibration error over bins of equal count, sorted by confidence.

    sum_b (count_b / total) |mean correct_b - mean confidence_b|: no bin is
    nearly empty, as most equal-width bins of a good net are.

    Args:
      labels: `[...]` array of classes; -1 is skipped.
      logits: `[..., classes]` array.
      num_bins: int > 0.

    Returns:
      Python float in [0, 1]; 0 where no entry is labelled.

    Raises:
      ValueError: where shapes do not fit or `num_bins` is not a positive int.

    Example:
      >>> kdtf.metrics.equal_mass_calibration_error(
      ...     [0, 1], [[0.0, 50.0], [0.0, 50.0]], num_bins=1)
      0.5
    """
    _check_num_bins(num_bins)
    labels, logits = np.asarray(labels), np.asarray(logits, np.float64)
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            "`labels` must have the shape of `logits` less the classes. "
            f"Received: labels of {labels.shape}, logits of {logits.shape}"
        )
    labels, logits = labels.ravel(), logits.reshape(-1, logits.shape[-1])
    logits, labels = logits[labels != -1], labels[labels != -1]
    if not labels.size:
        return 0.0
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    confidence = 1.0 / shifted.sum(-1)  # the largest exponential is 1
    gaps = (logits.argmax(-1) == labels) - confidence
    by_confidence = gaps[np.argsort(confidence, kind="stable")]
    bins = np.array_split(by_confidence, num_bins)
    return float(sum(abs(b.sum()) for b in bins) / labels.size)


def _labelled(labels, logits, sample_weight):
    """int32 labels `[...]`, logits, and weights `[...]` that are 0 at -1."""
    logits = tf.convert_to_tensor(logits)
    labels = tf.cast(targets.fit_labels(labels, logits), tf.int32)
    weights = tf.cast(labels != -1, tf.float32)
    entries = softmax.entry_weights(logits, sample_weight)
    return labels, logits, weights if entries is None else weights * entries


def _check_num_bins(num_bins):
    if not isinstance(num_bins, int) or num_bins < 1:
        raise ValueError(
            "`num_bins` must be a positive int. "
            f"Received: num_bins={num_bins!r}"
        )

"""How similar student and teacher are, and how well calibrated the student is.

Two kinds of `keras.metrics.Metric`: those that compare with the teacher take
`(teacher_logits, logits)`, and a `Distiller` feeds them the teacher's logits;
the others take `(labels, logits)` and skip what is not labelled. All work from
logits `[..., classes]` of any floating dtype, at T = 1, and accept sample
weights `[batch]` or `[...]`. For a sigmoid head (see `kdtf.losses`) build them
with `head="sigmoid"`: they are then means over labels.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf import losses
from kdtf._math import entries, heads, softmax
from kdtf._types import Tensor, TensorLike


class HeadMetric(keras.metrics.Mean):
    """A mean over entries, or over labels, of logits of a head."""

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        *,
        head: str = "softmax",
    ) -> None:
        heads.of(head)
        super().__init__(name=name, dtype=dtype)
        self.head = head

    def get_config(self) -> dict:
        """The constructor's arguments, without the default of `head`.

        So that a subclass which takes no head can be loaded again.
        """
        config = super().get_config()
        return (
            config if self.head == "softmax" else config | {"head": self.head}
        )


class TeacherMetric(HeadMetric):
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

        Raises:
          ValueError: if the shapes differ.
        """
        logits = tf.convert_to_tensor(logits)
        teacher_logits = tf.convert_to_tensor(teacher_logits)
        heads.of(self.head).check_logits(logits, "logits")
        teacher_logits = entries.same_shape(logits, teacher_logits)
        weights = entries.entry_weights(logits, sample_weight)
        super().update_state(self.compare(teacher_logits, logits), weights)


class LabelMetric(HeadMetric):
    """A mean over what is labelled of a score of labels and logits."""

    def update_state(
        self,
        labels: TensorLike,
        logits: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> None:
        """Adds a batch.

        Args:
          labels: as in `kdtf.losses.hard_loss`; unlabelled entries, and with a
            sigmoid head labels that are not known, are skipped.
          logits: `[..., classes]`.
          sample_weight: None, `[batch]` or `[...]`.

        Raises:
          ValueError: if the shapes do not fit, or labels are not numeric.
        """
        labels, logits, weights = _distributions(
            labels, logits, sample_weight, self.head
        )
        super().update_state(self.score(labels, logits), weights)


@keras.saving.register_keras_serializable("kdtf")
class Agreement(TeacherMetric):
    """Share of entries on which student and teacher choose the same class.

    Top-1 agreement of Stanton et al. 2021, arXiv 2106.05945; with a sigmoid
    head the share of labels on which both agree.

    Example:
      >>> metric = kdtf.metrics.Agreement()
      >>> metric.update_state([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0]] * 2)
      >>> float(metric.result())
      0.5
    """

    def __init__(
        self,
        name: str = "agreement",
        dtype: Any = None,
        *,
        head: str = "softmax",
    ) -> None:
        super().__init__(name, dtype, head=head)

    def compare(self, teacher_logits: Tensor, logits: Tensor) -> Tensor:
        """`[...]`: 1 where both choose the same class."""
        return heads.of(self.head).agreement(teacher_logits, logits)


@keras.saving.register_keras_serializable("kdtf")
class FidelityKL(TeacherMetric):
    """Mean KL(teacher || student) at T = 1, in nats (arXiv 2106.05945).

    Of stored `top_k` targets it is an approximation: the mass of the classes
    that were left out is known at the temperature of the store, and is spread
    evenly.

    Example:
      >>> metric = kdtf.metrics.FidelityKL()
      >>> metric.update_state([[0.0, 1.0]], [[1.0, 0.0]])
      >>> round(float(metric.result()), 4)
      0.4621
    """

    def __init__(
        self,
        name: str = "fidelity_kl",
        dtype: Any = None,
        *,
        head: str = "softmax",
    ) -> None:
        super().__init__(name, dtype, head=head)

    def compare(self, teacher_logits: Tensor, logits: Tensor) -> Tensor:
        """`[...]` divergences."""
        return losses.soft_loss(
            logits, teacher_logits, temperature=1.0, head=self.head
        )


@keras.saving.register_keras_serializable("kdtf")
class NegativeLogLikelihood(LabelMetric):
    """Mean of -log q[label], in nats.

    The cross-entropy, if labels are distributions.

    Example:
      >>> metric = kdtf.metrics.NegativeLogLikelihood()
      >>> metric.update_state([0, -1], [[0.0, 0.0], [5.0, 0.0]])
      >>> round(float(metric.result()), 4)
      0.6931
    """

    def __init__(
        self, name: str = "nll", dtype: Any = None, *, head: str = "softmax"
    ) -> None:
        super().__init__(name, dtype, head=head)

    def score(self, labels: Tensor, logits: Tensor) -> Tensor:
        """`[...]` negative log-likelihoods."""
        # A sigmoid's label is a softmax over two classes here.
        return losses.hard_loss(logits, labels)


@keras.saving.register_keras_serializable("kdtf")
class BrierScore(LabelMetric):
    """Mean of sum_i (q_i - [i is the label])^2, from 0 to 2.

    With a sigmoid head the mean of (q - label)^2 over labels, from 0 to 1.

    Example:
      >>> metric = kdtf.metrics.BrierScore()
      >>> metric.update_state([0], [[0.0, 0.0]])
      >>> float(metric.result())
      0.5
    """

    def __init__(
        self, name: str = "brier", dtype: Any = None, *, head: str = "softmax"
    ) -> None:
        super().__init__(name, dtype, head=head)

    def score(self, labels: Tensor, logits: Tensor) -> Tensor:
        """`[...]` scores."""
        q = tf.exp(softmax.tempered_log_softmax(logits, 1.0))
        target = entries.dense_labels(labels, q)
        squares = tf.reduce_sum(tf.square(q - target), axis=-1)
        # Both outcomes of a label are off by the same.
        return squares / 2.0 if self.head == "sigmoid" else squares


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
        self,
        num_bins: int = 15,
        name: str = "ece",
        dtype: Any = None,
        *,
        head: str = "softmax",
    ) -> None:
        """Builds the metric.

        Args:
          num_bins: int > 0.
          name: the metric's name.
          dtype: the dtype of the result.
          head: "softmax" or "sigmoid".

        Raises:
          ValueError: if `num_bins` is not a positive int, or there is no such
            head.
        """
        super().__init__(name=name, dtype=dtype)
        _check_num_bins(num_bins)
        heads.of(head)
        self.num_bins = num_bins
        self.head = head
        self.gaps = self.add_variable((num_bins,), "zeros", name="gaps")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(
        self,
        labels: TensorLike,
        logits: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> None:
        """Adds a batch; arguments as in `LabelMetric`."""
        labels, logits, weights = _distributions(
            labels, logits, sample_weight, self.head
        )
        log_q = softmax.tempered_log_softmax(logits, 1.0)
        confidence = tf.exp(tf.reduce_max(log_q, axis=-1))
        correct = entries.mass_at(labels, tf.argmax(logits, -1), logits)
        # A confidence of exactly 1 belongs to the last bin.
        bins = tf.minimum(
            tf.cast(confidence * self.num_bins, tf.int32), self.num_bins - 1
        )
        in_bin = tf.one_hot(bins, self.num_bins, dtype=weights.dtype)
        gaps = weights * tf.cast(correct - confidence, weights.dtype)
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
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "head": self.head,
        }


def equal_mass_calibration_error(
    labels: npt.ArrayLike,
    logits: npt.ArrayLike,
    *,
    num_bins: int = 15,
    head: str = "softmax",
) -> float:
    """Calibration error over bins of equal count, sorted by confidence.

    sum_b (count_b / total) |mean correct_b - mean confidence_b|: no bin is
    nearly empty, as are most bins of equal width for a good net.

    Args:
      labels: as in `kdtf.losses.hard_loss`; unlabelled ones are skipped.
      logits: `[..., classes]` array.
      num_bins: int > 0.
      head: "softmax" or "sigmoid".

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
    z = tf.constant(np.asarray(logits, np.float64))
    y, z, weights = _distributions(np.asarray(labels), z, None, head)
    log_q = softmax.tempered_log_softmax(z, 1.0)
    confidence = np.exp(np.max(log_q, axis=-1, initial=-np.inf))
    labelled = np.asarray(weights) > 0
    correct = np.asarray(entries.mass_at(y, tf.argmax(z, -1), z))
    gaps = (correct - confidence)[labelled]
    if not gaps.size:
        return 0.0
    order = np.argsort(confidence[labelled], kind="stable")
    bins = np.array_split(gaps[order], num_bins)
    return float(sum(abs(b.sum()) for b in bins) / gaps.size)


def _distributions(
    labels: TensorLike,
    logits: TensorLike,
    sample_weight: TensorLike | None,
    head: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels, logits and weights, 0 if unlabelled, of what is scored.

    `[...]` or `[..., classes]`, `[..., classes]` and `[...]`; with a sigmoid
    head `[..., labels, 2]`, `[..., labels, 2]` and `[..., labels]`.
    """
    kind = heads.of(head)
    logits = tf.convert_to_tensor(logits)
    kind.check_logits(logits, "logits")
    weights = entries.entry_weights(logits, sample_weight)
    labels = kind.fit_labels(labels, logits)
    labels, pairs = kind.as_distributions(labels, logits)
    labelled = tf.cast(entries.is_labelled(labels, pairs), tf.float32)
    if weights is not None and pairs.shape.rank > logits.shape.rank:
        weights = weights[..., None]
    return labels, pairs, entries.labelled_weights(weights, labelled)


def _check_num_bins(num_bins: int) -> None:
    if not isinstance(num_bins, int) or num_bins < 1:
        raise ValueError(
            "`num_bins` must be a positive int. "
            f"Received: num_bins={num_bins!r}"
        )

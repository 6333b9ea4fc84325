"""One output of a student: its head, its settings, and what it reports."""

import keras
import tensorflow as tf

from kdtf._math import entries, heads
from kdtf._math.linear_logits import Unmade
from kdtf._math.top_logits import TopLogits
from kdtf._training import (
    class_weights,
    hyperparameters,
    input_checks,
    linear_head,
    objective,
    targets,
)


class Output:
    """What a Distiller keeps of one output of its student.

    An object of its own, which Keras does not look into: what it holds are no
    weights of the model.

    Attributes:
      name: str, or None of the only one.
      prefix: str, before the names of what is reported of it.
      head: one of `_math.heads`.
      settings: its `hyperparameters.Hyperparameters`.
      learns_soft_targets: whether it does, as it was built.
      class_weights: its `class_weights.ClassWeights`.
      weight: float, of its loss among those of all outputs.
      logits_shape: of a batch that was seen, or None.
    """

    def __init__(
        self,
        *,
        temperature,
        soft_weight,
        hard_weight,
        head,
        check_inputs,
        name=None,
        prefix="",
    ):
        self.name, self.prefix = name, prefix
        self.head = heads.of(head)
        self.settings = hyperparameters.Hyperparameters(
            temperature, soft_weight, hard_weight
        )
        self.learns_soft_targets = soft_weight > 0
        self.class_weights = class_weights.ClassWeights()
        self.weight = 1.0
        self.logits_shape = None
        self._checker = None
        if check_inputs:
            self._checker = input_checks.InputChecker(self.head, name)
        self._unchecked = []
        self._soft_loss = keras.metrics.Mean(f"{prefix}soft_loss")
        self._hard_loss = keras.metrics.Mean(f"{prefix}hard_loss")
        self._agreement = keras.metrics.Mean(f"{prefix}agreement")

    @property
    def trackers(self):
        """The metrics that every Distiller reports of it."""
        return [self._soft_loss, self._hard_loss, self._agreement]

    def reset(self):
        """Starts counting the checked batches anew."""
        if self._checker is not None:
            self._checker.reset()

    def check_arrays(self, y, shape):
        """Checks labels and logits that are arrays, as soon as that can be.

        Args:
          y: as a data set gives it for this output, or None.
          shape: of the student's logits, or None if it does not tell.
        """
        shape = shape or self.logits_shape
        if shape is not None and shape[-1] is not None:
            input_checks.check_arrays(y, shape, self.head, self.name)
        elif y is not None:
            self._unchecked.append(y)

    def forget_unchecked(self):
        """Keeps no data that `check_arrays` could not check yet."""
        self._unchecked.clear()

    def require_temperature(self, y):
        """Raises if y, as a data set gives it, is for another temperature."""
        temperature = self.settings.temperature
        targets.require_temperature(targets.temperature_of(y), temperature)

    def targets_of(self, y, *, beside_teacher):
        """`targets.Targets` of y as a data set gives it for this output."""
        self.require_temperature(y)
        targets.require_head(y, self.head.name)
        return targets.from_data(y, beside_teacher=beside_teacher)

    def fit_to_logits(self, batch, logits):
        """A batch with its labels in shape and, if asked for, checked."""
        self.logits_shape = logits.shape
        unchecked = list(self._unchecked)  # their classes were not known
        self.forget_unchecked()
        if logits.shape[-1] is not None:
            for y in unchecked:
                self.check_arrays(y, logits.shape)
        batch = batch._replace(
            labels=self.head.fit_labels(batch.labels, logits),
            teacher_logits=_in_shape(batch.teacher_logits, logits),
            tempered_logits=_in_shape(batch.tempered_logits, logits),
        )
        if not isinstance(logits, Unmade):
            temperature = self.settings.temperature
            batch = targets.fill_in(batch, logits.shape[-1], temperature)
        if self._checker is not None:
            self._checker(batch.labels, batch.teacher_logits, logits)
        return batch

    def stand_ins(self, y, logits):
        """Targets that metrics can be built for, of y as a data set gives it.

        The student's logits stand in for the teacher's.
        """
        batch = self.fit_to_logits(targets.from_data(y), logits)
        return batch._replace(teacher_logits=logits)

    def entry_weights(self, batch, logits, sample_weight, *, training):
        """The weight of every entry, `[...]` float32, or None.

        Args:
          batch: a `targets.Targets` that fits the logits.
          logits: `[..., classes]`, the student's.
          sample_weight: as a data set gives it for this output, or None.
          training: whether class weights count, as they do in `fit` alone.
        """
        weights = entries.entry_weights(logits, sample_weight)
        if not training:
            return weights
        return self.class_weights.apply(
            weights, batch.labels, logits, self.head
        )

    def loss(self, batch, logits, weights):
        """The mean loss of a batch; tracks its parts.

        Returns:
          `(loss, names)`: a scalar, and the names of what was tracked.
        """
        temperature, soft_weight, hard_weight = map(
            tf.convert_to_tensor, self.settings.variables()
        )
        if isinstance(logits, Unmade):
            loss, each = linear_head.entry_losses(
                logits, batch, weights, (temperature, soft_weight, hard_weight)
            )
            return loss, self._track(each, batch, logits, weights)
        each = objective.entry_losses(
            logits, batch, temperature, soft_weight, hard_weight, self.head.name
        )
        names = self._track(each, batch, logits, weights)
        return entries.mean_over_entries(each.total, weights, logits), names

    def _track(self, each, batch, logits, weights):
        """Updates the metrics that there are losses for; returns their names.

        Args:
          each: the `objective.EntryLosses`.
          batch: the `targets.Targets`.
          logits: `[..., classes]`.
          weights: `[...]` or None.
        """
        tracked = []

        def update(tracker, values, weights):
            tracker.update_state(values, weights)
            tracked.append(tracker.name)

        if each.soft is not None:
            update(self._soft_loss, each.soft, weights)
            update(self._agreement, self._agree(batch, logits), weights)
        if each.hard is not None:
            labelled = self.head.labelled(batch.labels, logits)
            # Over what is labelled, also within an entry of several labels.
            hard = tf.math.divide_no_nan(
                each.hard, tf.cast(labelled, each.hard.dtype)
            )
            labelled = entries.labelled_weights(weights, labelled)
            update(self._hard_loss, hard, labelled)
        return tracked

    def _agree(self, batch, logits):
        """`[...]` float32: where student and teacher choose the same."""
        if isinstance(logits, Unmade):
            return linear_head.agreement(batch, logits)
        theirs = batch.tempered_logits
        if not isinstance(theirs, TopLogits):
            theirs = batch.teacher_logits
        return self.head.agreement(theirs, logits)


def _in_shape(teacher_logits, logits):
    """Teacher logits in the student's shape, if theirs is not known."""
    unknown = tf.is_tensor(teacher_logits) and teacher_logits.shape.rank is None
    return (
        tf.ensure_shape(teacher_logits, logits.shape)
        if unknown
        else teacher_logits
    )

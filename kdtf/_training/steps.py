"""What a step does with a batch, before and after the teacher has run."""

import inspect
import warnings

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._math import entries
from kdtf._math.top_logits import TopLogits
from kdtf._training import (
    compiled_steps,
    empty_parts,
    input_checks,
    replicas,
    targets,
    teachers,
)
from kdtf._training.fit_loops import FitLoops


class Steps(FitLoops):
    """The part of `Distiller` that its steps consist of."""

    def _run(self, name, step, batch):
        """The part of a step that follows the teacher; a program under XLA."""
        if compiled_steps.applies(self):
            return self._programs.run(name, step, batch)
        return step(*batch)

    def _with_targets(self, data, among=None):
        """A batch of data as `(x, targets, sample_weight)`; runs the teacher.

        Called outside any tape, which would record the teacher's pass. For
        stacked batches `among` is (first, last): the teacher then runs on the
        batches from `first` to before `last`.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batch = self._targets(x, y, among)
        targets.require(
            batch,
            soft=self._wants_soft_targets,
            awaits_teacher=self._awaits_teacher,
        )
        return x, batch, sample_weight

    def _update(self, x, batch, sample_weight):
        """The part of `train_step` that trains; `multi_step` loops over it."""
        with tf.GradientTape() as tape:
            logits = self._logits(x, training=True)
            batch = self._fit_to_logits(batch, logits)
            weights = entries.entry_weights(
                logits, targets.common_weight(sample_weight)
            )
            weights = self._class_weights.apply(
                weights, batch.labels, logits, self._head
            )
            loss = self._computed_loss(x, batch, logits, weights, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        variables = self.student.trainable_weights
        if variables:
            gradients = tape.gradient(scaled_loss, variables)
            replicas.apply_gradients(self.optimizer, gradients, variables)
        else:
            warnings.warn(
                "`student` has no trainable weights: nothing is trained.",
                stacklevel=2,
            )
        return self.compute_metrics(x, batch, logits, weights)

    def _evaluate(self, x, batch, sample_weight):
        """The part of `test_step` that follows the teacher."""
        logits = self._logits(x, training=False)
        batch = self._fit_to_logits(batch, logits)
        weights = entries.entry_weights(
            logits, targets.common_weight(sample_weight)
        )
        self._computed_loss(x, batch, logits, weights, training=False)
        return self.compute_metrics(x, batch, logits, weights)

    def _logits(self, x, training):
        """The student's logits of a batch, which may be empty on a replica."""
        with empty_parts.with_a_row(x, self.student) as (shown, cut):
            logits = self(shown, training=training)
        return cut(logits)

    def _targets(self, x, y, among=None):
        """The `Targets` of a batch, from the data and from the teacher."""
        targets.require_temperature(targets.temperature_of(y), self.temperature)
        targets.require_head(y, self.head)
        runs_teacher = self._wants_soft_targets and self._teacher_logits
        batch = targets.from_data(y, beside_teacher=bool(runs_teacher))
        if not runs_teacher:
            return batch

        def logits(x):
            with empty_parts.with_a_row(x) as (shown, cut):
                found = self._teacher_logits(shown, self.temperature)
            return tuple(cut(each) for each in found)

        now, tempered = (
            logits(x)
            if among is None
            else teachers.batch_by_batch(logits, x, among)
        )
        return batch._replace(teacher_logits=now, tempered_logits=tempered)

    def _fit_to_logits(self, batch, logits):
        """The batch with its labels in shape and, if asked for, checked."""
        self._logits_shape = logits.shape
        while self._unchecked:  # until now the classes were not known
            y = self._unchecked.pop()
            input_checks.check_arrays(y, logits.shape, self._head)
        batch = batch._replace(
            labels=self._head.fit_labels(batch.labels, logits),
            teacher_logits=_in_shape(batch.teacher_logits, logits),
            tempered_logits=_in_shape(batch.tempered_logits, logits),
        )
        batch = targets.fill_in(batch, logits.shape[-1], self.temperature)
        if self._checker is not None:
            self._checker(batch.labels, batch.teacher_logits, logits)
        return batch

    def _computed_loss(self, x, batch, logits, weights, *, training):
        """This replica's share of the loss, tracked as `loss`."""
        self._reported = frozenset()
        keywords = {}
        if "training" in inspect.signature(self.compute_loss).parameters:
            keywords["training"] = training
        loss = self.compute_loss(x, batch, logits, weights, **keywords)
        part = replicas.part(logits)
        keras_private.loss_tracker(self).update_state(
            loss, sample_weight=part.rows
        )
        return loss * tf.cast(part.share, loss.dtype)

    def _track(self, each, batch, logits, weights):
        """Updates the metrics that every Distiller reports."""
        if each.soft is not None:
            self._update_tracker(self._soft_tracker, each.soft, weights)
            theirs = batch.tempered_logits
            if not isinstance(theirs, TopLogits):
                theirs = batch.teacher_logits
            agree = self._head.agreement(theirs, logits)
            self._update_tracker(self._agreement_tracker, agree, weights)
        if each.hard is not None:
            labelled = self._head.labelled(batch.labels, logits)
            # Over what is labelled, also within an entry of several labels.
            hard = tf.math.divide_no_nan(
                each.hard, tf.cast(labelled, each.hard.dtype)
            )
            labelled = entries.labelled_weights(weights, labelled)
            self._update_tracker(self._hard_tracker, hard, labelled)

    def _update_tracker(self, tracker, values, weights):
        tracker.update_state(values, weights)
        self._reported |= {tracker.name}


def _in_shape(teacher_logits, logits):
    """Teacher logits in the student's shape, if theirs is not known."""
    unknown = tf.is_tensor(teacher_logits) and teacher_logits.shape.rank is None
    return (
        tf.ensure_shape(teacher_logits, logits.shape)
        if unknown
        else teacher_logits
    )

"""What a step does with a batch, before and after the teacher has run."""

import functools
import inspect
import warnings

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import (
    compiled_steps,
    empty_parts,
    replicas,
    targets,
    teachers,
)
from kdtf._training.fit_loops import FitLoops
from kdtf._training.output import Output


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
        self._student_outputs.require(
            batch, awaits_teacher=self._awaits_teacher
        )
        return x, batch, sample_weight

    def _update(self, x, batch, sample_weight):
        """The part of `train_step` that trains; `multi_step` loops over it."""
        with tf.GradientTape() as tape:
            logits, batch, weights = self._seen(
                x, batch, sample_weight, training=True
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
        logits, batch, weights = self._seen(
            x, batch, sample_weight, training=False
        )
        self._computed_loss(x, batch, logits, weights, training=False)
        return self.compute_metrics(x, batch, logits, weights)

    def _seen(self, x, batch, sample_weight, *, training):
        """The student's logits, with targets and weights that fit them."""
        logits = self._student_outputs.of_student(self._logits(x, training))
        batch = self._student_outputs.each(Output.fit_to_logits, batch, logits)
        weights = self._student_outputs.each(
            functools.partial(Output.entry_weights, training=training),
            batch,
            logits,
            self._student_outputs.of_weights(sample_weight),
        )
        return logits, batch, weights

    def _logits(self, x, training):
        """What the student returns for a batch, which may be empty."""
        with empty_parts.with_a_row(x, self.student) as (shown, cut):
            logits = self(shown, training=training)
        return tf.nest.map_structure(cut, logits)

    def _targets(self, x, y, among=None):
        """The targets of a batch, from the data and from the teacher."""
        run = self._run_teacher

        def from_data(output, y):
            taught = bool(run and output.learns_soft_targets)
            return output.targets_of(y, beside_teacher=taught)

        batch = self._student_outputs.each(
            from_data, self._student_outputs.of_data(y)
        )
        if not (run and self._student_outputs.taught_names()):
            return batch

        def teach(x):
            with empty_parts.with_a_row(x) as (shown, cut):
                return tf.nest.map_structure(cut, run(shown))

        found = (
            teach(x)
            if among is None
            else teachers.batch_by_batch(teach, x, among)
        )
        return self._student_outputs.each(targets.taught, batch, found)

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

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
    features,
    gradient_registry,
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
        """A batch of data as `_update` and `_evaluate` take it.

        Runs the teacher, outside any tape, which would record its pass. For
        stacked batches `among` is (first, last): the teacher then runs on the
        batches from `first` to before `last`.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return x, *self._taught(x, y, among), sample_weight

    @gradient_registry.held_by_graph
    def _update(self, x, batch, theirs, sample_weight):
        """The part of `train_step` that trains; `multi_step` loops over it.

        Args:
          x: structure of `[batch, ...]`.
          batch: for each output a `targets.Targets`.
          theirs: tuple of `[batch, ...]`, the teacher's feature of each hint.
          sample_weight: as a data set gives it, or None.

        Returns:
          The logs.
        """
        self._student_outputs.require(
            batch, awaits_teacher=self._awaits_teacher
        )
        with tf.GradientTape() as tape:
            loss, *seen = self._loss_of(
                x, batch, theirs, sample_weight, training=True
            )
            scaled_loss = self.optimizer.scale_loss(loss)
        variables = self._trained_weights()
        if variables:
            gradients = tape.gradient(scaled_loss, variables)
            replicas.apply_gradients(self.optimizer, gradients, variables)
        else:
            warnings.warn(
                "`student` has no trainable weights: nothing is trained.",
                stacklevel=2,
            )
        return self.compute_metrics(x, *seen)

    @gradient_registry.held_by_graph
    def _evaluate(self, x, batch, theirs, sample_weight):
        """The part of `test_step` that follows the teacher."""
        _, *seen = self._loss_of(
            x, batch, theirs, sample_weight, training=False
        )
        return self.compute_metrics(x, *seen)

    def _trained_weights(self):
        """What `fit` changes: the student's weights, and the projections'."""
        own = self.student.trainable_weights
        return [*own, *self._hint_terms.trainable_weights]

    def _loss_of(self, x, batch, theirs, sample_weight, *, training):
        """This replica's share of the loss of a batch, tracked as `loss`.

        Returns:
          `(loss, batch, logits, weights)`: what the student made of x, and the
          targets and weights of entries that fit it.
        """
        outputs = self._student_outputs
        found, ours = self._student_of(x, training)
        if self._linear_head is not None:
            found, batch = self._linear_head.unmade(
                found, batch, training=training
            )
        logits = outputs.of_student(found)
        batch = outputs.each(Output.fit_to_logits, batch, logits)
        weights = outputs.each(
            functools.partial(Output.entry_weights, training=training),
            batch,
            logits,
            outputs.of_weights(sample_weight),
        )
        self._reported = frozenset()
        keywords = {}
        if "training" in inspect.signature(self.compute_loss).parameters:
            keywords["training"] = training
        loss = self.compute_loss(x, batch, logits, weights, **keywords)
        if self._hint_terms.hints:
            hinted = self._hint_loss(ours, theirs, logits, weights)
            loss += tf.cast(hinted, loss.dtype)
        part = replicas.part(logits)
        keras_private.loss_tracker(self).update_state(
            loss, sample_weight=part.rows
        )
        loss *= tf.cast(part.share, loss.dtype)
        return loss, batch, logits, weights

    def _as_of_a_step(self, x, y, logits, sample_weight, *, training=True):
        """Targets and weights of a batch as a data set gives it.

        For steps of a subclass that call what a step of kdtf's own does.

        Args:
          x: structure of `[batch, ...]`.
          y: as in `fit`.
          logits: for each output `[..., classes]`.
          sample_weight: as in `fit`.
          training: whether class weights count, if `fit` runs the step.

        Returns:
          `(batch, weights)`, as `_loss_of` returns them.

        Raises:
          ValueError: if x is missing, or the last layer is fused with the loss.
        """
        if x is None and self._asks_teacher():
            raise ValueError(
                "`x` must be given to compute_loss and compute_metrics beside "
                "y as in fit: the teacher says what it makes of it. "
                "Received: x=None"
            )
        if self._linear_head is not None and self._asks_teacher():
            raise ValueError(
                "`rows_at_a_time` must be None for a subclass whose steps call "
                "compute_loss or compute_metrics with logits. "
                f"Received: {type(self).__name__} with rows_at_a_time="
                f"{self._linear_head.rows_at_a_time}"
            )
        outputs = self._student_outputs
        batch, _ = self._taught(x, y)
        batch = outputs.each(Output.fit_to_logits, batch, logits)
        weights = outputs.each(
            functools.partial(
                Output.entry_weights,
                training=training and not self._evaluates,
            ),
            batch,
            logits,
            outputs.of_weights(sample_weight),
        )
        return batch, weights

    def _student_of(self, x, training):
        """What the student returns for a batch, and its features of the hints.

        On a replica the batch may be empty.
        """
        with empty_parts.with_a_row(x, self.student) as (shown, cut):
            with features.captured(self._hint_terms.student) as ours:
                found = self._run_student(shown, training)
            return tf.nest.map_structure(cut, (found, ours))

    def _run_student(self, x, training):
        """Its output, or what its last layer gets if the loss has that."""
        if self._linear_head is None:
            return self(x, training=training)
        return self._linear_head.student.hidden(x, training=training)

    def _hint_loss(self, ours, theirs, logits, weights):
        """What the hints add to the loss."""
        terms = self._hint_terms
        rows = terms.row_losses(ours, theirs)

        def of_output(output, logits, weights):
            del output  # all have the same features
            each = terms.by_entry(rows, logits)
            return terms.loss(each, weights, logits)

        losses = self._student_outputs.each(of_output, logits, weights)
        self._reported |= {tracker.name for tracker in terms.trackers}
        return self._student_outputs.mean(losses, logits)

    def _taught(self, x, y, among=None):
        """The targets of a batch, and the teacher's features of the hints."""
        run, outputs = self._run_teacher, self._student_outputs
        found = None
        if isinstance(y, targets.Taught):
            y, found = y

        def from_data(output, y):
            taught = bool(run and output.learns_soft_targets)
            return output.targets_of(y, beside_teacher=taught)

        batch = outputs.each(from_data, outputs.of_data(y))
        if found is not None:
            return outputs.each(targets.taught, batch, found), ()
        if not self._asks_teacher():
            return batch, ()

        @gradient_registry.held_by_graph
        def teach(x):
            with empty_parts.with_a_row(x) as (shown, cut):
                with features.captured(
                    self._hint_terms.teacher or ()
                ) as theirs:
                    found = run(shown)
                return tf.nest.map_structure(cut, (found, tuple(theirs)))

        found, theirs = (
            teach(x)
            if among is None
            else teachers.batch_by_batch(teach, x, among)
        )
        return outputs.each(targets.taught, batch, found), theirs

    def _asks_teacher(self):
        """Whether there is a teacher, and something to learn from it."""
        learns = self._student_outputs.taught_names() or self._hint_terms.hints
        return bool(self._run_teacher and learns)

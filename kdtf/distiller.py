"""Distiller: trains a student on a teacher's soft targets through `fit`."""

import inspect

import keras
import tensorflow as tf

from kdtf import losses
from kdtf._math import arguments, softmax
from kdtf._training import (
    batch_groups,
    compile_policy,
    metric_routing,
    multi_step,
    targets,
    teachers,
    weighting,
)
from kdtf._training.input_checks import InputChecker
from kdtf._training.saving import HYPERPARAMETERS, SavedWithoutTeacher


@keras.saving.register_keras_serializable("kdtf")
class Distiller(SavedWithoutTeacher, keras.Model):
    """Trains `student` on a teacher's tempered outputs and on true labels.

    Per entry the loss is (soft_weight T^2 KL_T(teacher || student) +
    hard_weight CE(labels, student)) / (soft_weight + hard_weight), paper
    section 2; see `kdtf.losses.distillation_loss`. The batch's loss is
    sum(weight x loss) / number of entries, as Keras's `sum_over_batch_size`
    (over the valid entries under a Keras mask), plus the student's own
    regularisation losses.

    A batch is `x`, `(x, y)` or `(x, y, sample_weight)`, where y is

    - with a teacher: None, or labels `[...]` or `[..., classes]`;
    - without one: `{"labels": ..., "teacher_logits": [..., classes]}`, or what
      `kdtf.SoftTargets.join` gives.

    A label of -1 means unlabelled: such a row has no hard term. The student's
    output is one tensor of logits, `[batch, classes]` or, for time frames,
    `[batch, time, classes]` with labels and sample weights `[batch, time]`.

    `fit` and `evaluate` report, as means weighted by the sample weights,
    `loss`; `soft_loss` (KL at T, without T^2); `hard_loss` (over labelled rows
    only); `agreement` (share of entries on which student and teacher choose
    the same class); and the metrics given to `compile`. A metric of
    `kdtf.metrics` that compares with the teacher is fed the teacher's logits;
    all others get the labels and skip unlabelled rows.

    Saving a Distiller saves student and optimizer, never the teacher: after
    `keras.saving.load_model`, `set_teacher` goes on with the training.

    Attributes:
      student: the model that is trained; use it alone afterwards.
      temperature, soft_weight, hard_weight: scalar float32 variables; `assign`
        them between epochs without a retrace.

    Example:
      >>> distiller = kdtf.Distiller(student, teacher, temperature=4.0)
      >>> distiller.compile(keras.optimizers.Adam(1e-3), metrics=["accuracy"])
      >>> distiller.fit(x, y, epochs=10, validation_data=(x_test, y_test))
      >>> kdtf.export_student(distiller, "export")
    """

    def __init__(
        self,
        student,
        teacher=None,
        *,
        temperature,
        soft_weight=0.9,
        hard_weight=0.1,
        check_inputs=False,
        **kwargs,
    ):
        """Builds a Distiller.

        Args:
          student: a `keras.Model` that returns logits.
          teacher: a `keras.Model` that returns logits, a `kdtf.Ensemble`, or
            any callable from x to logits; it runs in inference mode and is not
            changed. None where the data hold the teacher's logits.
          temperature: Python float > 0.
          soft_weight: Python float >= 0; 0 trains on the labels alone, and the
            teacher never runs, whatever is assigned later.
          hard_weight: Python float >= 0.
          check_inputs: whether to check every batch (labels in range, teacher
            logits finite) and name batch and row in the error. Turns XLA off.

        Raises:
          ValueError: where an argument is none of these, or where the class
            counts of student and teacher are known and differ.
        """
        if not isinstance(student, keras.Model):
            raise ValueError(
                f"`student` must be a keras.Model. Received: {student!r}"
            )
        arguments.check_temperature(temperature)
        arguments.check_weights(soft_weight, hard_weight)
        kwargs.setdefault("dtype", student.dtype_policy)
        super().__init__(**kwargs)
        self.student = student
        self._checker = InputChecker() if check_inputs else None
        self._wants_soft_targets = soft_weight > 0
        self._awaits_teacher = False
        self._teacher_logits = None
        self._class_weight = None
        self._constructor_arguments = {
            "temperature": float(temperature),
            "soft_weight": float(soft_weight),
            "hard_weight": float(hard_weight),
            "check_inputs": check_inputs,
        }
        self.temperature = self._add_scalar("temperature", temperature)
        self.soft_weight = self._add_scalar("soft_weight", soft_weight)
        self.hard_weight = self._add_scalar("hard_weight", hard_weight)
        self._soft_tracker = keras.metrics.Mean("soft_loss")
        self._hard_tracker = keras.metrics.Mean("hard_loss")
        self._agreement_tracker = keras.metrics.Mean("agreement")
        self.built = student.built
        if teacher is not None:
            self.set_teacher(teacher)

    def set_teacher(self, teacher):
        """Gives the teacher to a Distiller that was loaded without it.

        Args:
          teacher: as in the constructor.

        Raises:
          ValueError: where it cannot be called, or where its class count is
            known and is not the student's.
        """
        if not callable(teacher):
            raise ValueError(
                "`teacher` must be a keras.Model, an Ensemble or a callable. "
                f"Received: {teacher!r}"
            )
        teachers.check_class_counts(self.student, teacher)
        # A function hides the teacher from Keras's saver, which follows every
        # attribute and property of a model.
        self._teacher_logits = teachers.logits_function(teacher)
        self._awaits_teacher = False
        # Compiled steps hold the teacher they were traced with.
        self.train_function = self.test_function = None

    def call(self, inputs, training=None):
        """The student's logits."""
        return self.student(inputs, training=training)

    def train_step(self, data):
        """One update of the student; returns the running metrics."""
        return self.update(*self.with_targets(data))

    def with_targets(self, data, among=None):
        """A batch of data as `(x, targets, sample_weight)`; runs the teacher.

        Outside of any tape, which else would record the teacher's pass. The
        data may be stacked batches; the teacher then runs on those from `first`
        to `last`, where `among` is (first, last).
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batch = self._targets(x, y, among)
        targets.require(
            batch,
            soft=self._wants_soft_targets,
            awaits_teacher=self._awaits_teacher,
        )
        return x, batch, sample_weight

    def update(self, x, batch, sample_weight):
        """The part of `train_step` that trains; see `multi_step`."""
        with tf.GradientTape() as tape:
            logits = self(x, training=True)
            batch = self._fit_to_logits(batch, logits)
            weights = targets.entry_weights(logits, sample_weight)
            weights = weighting.apply_class_weight(
                weights, self._class_weight, batch.labels, logits
            )
            loss, soft, hard = self._batch_loss(batch, logits, weights)
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled_loss = self.optimizer.scale_loss(loss / replicas)
        variables = self.student.trainable_weights
        gradients = tape.gradient(scaled_loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._track(loss, soft, hard, batch, logits, weights)
        return self.compute_metrics(x, batch, logits, weights)

    def test_step(self, data):
        """One batch of `evaluate`; changes nothing but the metrics."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        batch = self._targets(x, y)
        logits = self(x, training=False)
        batch = self._fit_to_logits(batch, logits)
        weights = targets.entry_weights(logits, sample_weight)
        loss, soft, hard = self._batch_loss(batch, logits, weights)
        self._track(loss, soft, hard, batch, logits, weights)
        return self.compute_metrics(x, batch, logits, weights)

    def _targets(self, x, y, among=None):
        """The `Targets` of a batch, from the data and from the teacher."""
        runs_teacher = self._wants_soft_targets and self._teacher_logits
        batch = targets.from_data(y, beside_teacher=bool(runs_teacher))
        if not runs_teacher:
            return batch

        def logits(x):
            return self._teacher_logits(x, self.temperature)

        now, tempered = (
            logits(x)
            if among is None
            else teachers.batch_by_batch(logits, x, among)
        )
        return batch._replace(teacher_logits=now, tempered_logits=tempered)

    def _fit_to_logits(self, batch, logits):
        """The batch with its labels in shape and, if asked for, checked."""
        batch = batch._replace(labels=targets.fit_labels(batch.labels, logits))
        batch = targets.fill_in(batch, logits.shape[-1], self.temperature)
        if self._checker is not None:
            self._checker(batch.labels, batch.teacher_logits, logits.shape[-1])
        return batch

    def _batch_loss(self, batch, logits, weights):
        """The batch's loss, and soft and hard loss `[...]`, None if absent."""
        terms = losses.entry_losses
        if compile_policy.compiles_loss(logits):
            terms = losses.compiled_entry_losses
        total, soft, hard = terms(
            logits,
            batch.tempered_logits,
            batch.labels,
            *(tf.convert_to_tensor(getattr(self, h)) for h in HYPERPARAMETERS),
        )
        loss = softmax.mean_over_entries(total, weights, logits)
        if self.losses:  # regularisers, activity regularisers, `add_loss`
            loss += tf.cast(super().compute_loss(), loss.dtype) * tf.cast(
                tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype
            )
        return loss, soft, hard

    def _track(self, loss, soft, hard, batch, logits, weights):
        """Updates the metrics that every Distiller reports."""
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(logits)[0])
        if soft is not None:
            self._soft_tracker.update_state(soft, weights)
            agree = tf.argmax(logits, -1) == targets.teacher_choices(batch)
            self._agreement_tracker.update_state(agree, weights)
        if hard is not None:
            labelled = weighting.labelled_weights(weights, batch.labels, logits)
            self._hard_tracker.update_state(hard, labelled)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics given to `compile`; returns all results.

        Keras also calls this with a batch as the data set gives it, to build
        the metrics; the student's logits then stand in for the teacher's.
        """
        batch = y
        if not isinstance(batch, targets.Targets):
            batch = self._fit_to_logits(targets.from_data(y), y_pred)
            batch = batch._replace(teacher_logits=y_pred)
        absent = []
        if self._compile_metrics is not None:
            metric_routing.update(
                self._compile_metrics,
                self._unweighted_metrics,
                batch,
                y_pred,
                sample_weight,
            )
            absent += metric_routing.names_without_data(
                self._compile_metrics, batch
            )
        if batch.teacher_logits is None:
            absent += ["soft_loss", "agreement"]
        if batch.labels is None:
            absent += ["hard_loss"]
        results = self.get_metrics_result()
        return {n: value for n, value in results.items() if n not in absent}

    def reset_metrics(self):
        """As in Keras; also starts counting the checked batches anew."""
        super().reset_metrics()
        if self._checker is not None:
            self._checker.reset()

    def compile(
        self, optimizer="rmsprop", *, loss=None, metrics=None, **kwargs
    ):
        """As `keras.Model.compile`, but for `loss`, which is the Distiller's.

        Args:
          optimizer: as in Keras.
          loss: must stay None.
          metrics: as in Keras; they skip unlabelled rows.
          **kwargs: `weighted_metrics`, `run_eagerly`, `steps_per_execution`,
            `jit_compile` and the rest, as in Keras. `jit_compile` is False
            under `check_inputs=True`; "auto" turns it on for students that XLA
            trains faster on a CPU, too; where it is on, the steps of an
            execution are the loop of one XLA program.

        Raises:
          ValueError: where a loss is given.
        """
        if loss is not None:
            raise ValueError(
                "`loss` must be None: a Distiller computes its own from "
                "temperature, soft_weight and hard_weight. "
                f"Received: loss={loss!r}"
            )
        if self._checker is not None:
            kwargs["jit_compile"] = False
        kwargs["jit_compile"] = compile_policy.resolve(
            self, metrics=metrics, **kwargs
        )
        super().compile(optimizer=optimizer, metrics=metrics, **kwargs)
        self._unweighted_metrics = len(keras.tree.flatten(metrics or []))

    def fit(
        self,
        x=None,
        y=None,
        *args,
        class_weight=None,
        sample_weight=None,
        **kwargs,
    ):
        """As `keras.Model.fit`.

        Args:
          x: as in Keras; the only argument needed for unlabelled data.
          y: labels, or a dict of labels and teacher_logits, or None.
          *args: as in Keras.
          class_weight: dict from class to weight, applied to both terms of the
            loss and to `weighted_metrics`; classes that are not in it, and
            unlabelled rows, weigh 1.
          sample_weight: array `[batch]` or, for time frames, `[batch, time]`.
          **kwargs: as in Keras.

        Raises:
          ValueError: where the data hold no batch, or not what the loss needs.
        """
        self._set_class_weight(class_weight)
        sample_weight = targets.weights_beside(y, sample_weight)
        named = inspect.signature(super().fit).bind(
            x, y, *args, sample_weight=sample_weight, **kwargs
        )
        given = named.arguments
        if multi_step.applies(self):
            given = batch_groups.regroup(given, self.steps_per_execution)
        history = super().fit(**given)
        if history.epoch and "loss" not in history.history:
            raise ValueError(
                "`x` must hold at least one batch. Received: no data"
            )
        return history

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As `keras.Model.evaluate`; y and `sample_weight` as in `fit`."""
        sample_weight = targets.weights_beside(y, sample_weight)
        return super().evaluate(
            x, y, *args, sample_weight=sample_weight, **kwargs
        )

    def train_on_batch(self, x, y=None, *args, class_weight=None, **kwargs):
        """As `keras.Model.train_on_batch`; `class_weight` as in `fit`."""
        self._set_class_weight(class_weight)
        return super().train_on_batch(x, y, *args, **kwargs)

    def make_train_function(self, force=False):
        """As in Keras; under XLA an execution of many steps is one program."""
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=True)
        if multi_step.applies(self):
            self.train_function = multi_step.train_function(
                self, self.train_function
            )

    def _set_class_weight(self, class_weight):
        if class_weight != self._class_weight:
            self._class_weight = class_weight
            self.train_function = None  # it holds the old weights

    def __setattr__(self, name, value):
        if name in HYPERPARAMETERS and hasattr(self, name):
            raise AttributeError(
                f"`{name}` is a variable, which compiled steps hold: change it "
                f"with distiller.{name}.assign(value). Received: {value!r}"
            )
        super().__setattr__(name, value)

    def _add_scalar(self, name, value):
        return self.add_weight(
            name=name,
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(value),
            trainable=False,
        )

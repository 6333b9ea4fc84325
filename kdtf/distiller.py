"""Distiller: trains a student on a teacher's soft targets through `fit`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf._training import (
    compile_policy,
    compiled_steps,
    fit_loops,
    hint_terms,
    hyperparameters,
    iterators,
    linear_head,
    metric_routing,
    strategy_checks,
    student_outputs,
    teachers,
)
from kdtf._training.output import Output
from kdtf._training.saving import SavedWithoutTeacher
from kdtf._training.steps import Steps
from kdtf._types import Tensor, TensorLike
from kdtf.hints import Hint


@keras.saving.register_keras_serializable("kdtf")
class Distiller(SavedWithoutTeacher, Steps):
    """Trains `student` on a teacher's tempered outputs and on true labels.

    Per entry the loss is (soft_weight T^2 KL_T(teacher || student) +
    hard_weight CE(labels, student)) / (soft_weight + hard_weight), paper
    section 2; see `kdtf.losses.distillation_loss`. The batch's loss is
    sum(weight x loss) / number of entries, as Keras's `sum_over_batch_size`
    (number of valid entries under a Keras mask), plus the student's own
    regularisation losses.

    A batch is `x`, `(x, y)` or `(x, y, sample_weight)`, where y is

    - with a teacher: None, or labels `[...]` or `[..., classes]`;
    - without one: `{"labels": ..., "teacher_logits": [..., classes]}`, or what
      `kdtf.SoftTargets.join` gives.

    A negative label, such as -1, means unlabelled: such a row has no hard term.
    If x is a dict it may hold more inputs than a model takes: student and
    teacher get those of their own by key. The student's output is one tensor of
    logits, `[batch, classes]` or, for time frames, `[batch, time, classes]`
    with labels and sample weights `[batch, time]`. With `head="sigmoid"` it is
    `[batch, labels]`, for labels that do not exclude each other, or one for yes
    or no; see `kdtf.losses`.

    A student may return a dict or a list of such outputs. Their losses are
    added; y, sample weights and class weights are dicts by output, of what is
    said above for one (or lists in order; a key may be missing); temperature,
    weights and head are values for all or dicts; and metrics are reported as
    `<output>_soft_loss`. The outputs of a list have the names of the layers
    that they come from, `student.output_names`.

    `fit` and `evaluate` report, as means weighted by the sample weights,
    `loss`; `soft_loss` (KL at T, without T^2); `hard_loss` (over labelled rows
    only); `agreement` (share of entries on which student and teacher choose
    the same class); and the metrics given to `compile`. A metric of
    `kdtf.metrics` that compares with the teacher is fed the teacher's logits;
    all others get the labels and skip unlabelled rows. Metrics get the
    student's logits, but those of Keras, and your own, get the probabilities of
    a sigmoid head.

    Saving a Distiller saves student and optimizer, never the teacher: after
    `keras.saving.load_model`, `set_teacher` continues the training.

    A subclass may override `compute_loss`, to add a term to the loss, or
    `train_step`, which then runs as Keras runs that of any model: one step
    after another, not as one XLA program.

    Attributes:
      student: the model that is trained; use it alone afterwards.
      temperature: scalar float32 variable T; `assign` another one between
        epochs, nothing is traced again. Of several outputs a dict of them, as
        the following.
      soft_weight: scalar float32 variable, likewise.
      hard_weight: scalar float32 variable, likewise.
      head: "softmax" or "sigmoid".

    Example:
      >>> def net(units):
      ...     return keras.Sequential([
      ...         keras.Input((8,)),
      ...         keras.layers.Dense(units, "relu"),
      ...         keras.layers.Dense(3),
      ...     ])
      >>> x, y = np.ones((32, 8), "float32"), np.zeros(32, "int32")
      >>> distiller = kdtf.Distiller(net(4), net(64), temperature=4.0)
      >>> distiller.compile(keras.optimizers.Adam(1e-3), metrics=["accuracy"])
      >>> history = distiller.fit(x, y, validation_data=(x, y), verbose=0)
      >>> sorted(history.history)[:4]
      ['accuracy', 'agreement', 'hard_loss', 'loss']
      >>> kdtf.export_student(distiller, "export")
    """

    temperature = hyperparameters.Attribute()
    soft_weight = hyperparameters.Attribute()
    hard_weight = hyperparameters.Attribute()

    def __init__(
        self,
        student: keras.Model,
        teacher: Callable | dict[str, Callable] | None = None,
        *,
        temperature: float | dict[str, float],
        soft_weight: float | dict[str, float] = 0.9,
        hard_weight: float | dict[str, float] = 0.1,
        head: str | dict[str, str | None] = "softmax",
        hints: Sequence[Hint] = (),
        check_inputs: bool = False,
        rows_at_a_time: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Builds a Distiller.

        Args:
          student: a `keras.Model` that returns logits; `kdtf.logits_of` makes
            one of a model that ends in a softmax or sigmoid.
          teacher: a `keras.Model` that returns logits, a `kdtf.Ensemble`, or
            any callable from x to logits that works on tensors
            (`kdtf.numpy_teacher` wraps others); it runs in inference mode,
            outside of programs that XLA compiles, and is not changed. None if
            the data hold the teacher's logits. For several outputs it returns
            those that have soft targets, by the same names; or it is a dict
            from output to a teacher of one.
          temperature: Python float > 0, or a dict from output to such, as the
            three below.
          soft_weight: Python float >= 0; 0 trains on the labels alone, and the
            teacher never runs, whatever is assigned later.
          hard_weight: Python float >= 0.
          head: "softmax" for classes that exclude each other, "sigmoid" for
            labels that do not, or one label, yes or no. In a dict None stands
            for an output that is not trained, such as an embedding.
          hints: list of `kdtf.Hint`: hidden features of the teacher that those
            of the student are to match.
          check_inputs: whether to check every batch (labels in range, teacher
            logits finite, no probabilities) and name batch and row in the
            error. Turns XLA off. Without it a label that is no class gives a
            loss of NaN, which `keras.callbacks.TerminateOnNaN` stops at,
            unless it is in an array given to `fit`: those are checked once.
          rows_at_a_time: positive int, or None. With it, and a student of
            many classes that ends in a linear layer, `fit` and `evaluate` make
            the logits of so many entries at a time, as
            `kdtf.losses.linear_distillation_loss` does, those of a teacher
            that ends in such a layer as well. Of metrics `compile` then takes
            accuracies alone.
          **kwargs: `name` and the other arguments of `keras.Model`.

        Raises:
          ValueError: if `student` is not a `keras.Model`, `teacher` cannot be
            called, is not built or shares weights that the student trains,
            either shows that it ends in a softmax or sigmoid, both tell their
            number of classes and differ, the temperature is not positive and
            finite, or the weights are negative, not finite or both 0; or with
            `rows_at_a_time` if the student does not end in a linear layer, or
            what else is given needs logits.
        """
        if not isinstance(student, keras.Model):
            raise ValueError(
                f"`student` must be a keras.Model. Received: {student!r}"
            )
        if not isinstance(check_inputs, bool):
            raise ValueError(
                "`check_inputs` must be True or False. "
                f"Received: check_inputs={check_inputs!r}"
            )
        settings = {
            "temperature": temperature,
            "soft_weight": soft_weight,
            "hard_weight": hard_weight,
            "head": head,
        }
        outputs = student_outputs.of(
            student, check_inputs=check_inputs, **settings
        )
        outputs.check_student(student)
        policy = keras.dtype_policies.get(
            kwargs.pop("dtype", student.dtype_policy)
        )
        head_of_loss = linear_head.of(
            student, outputs, hints, check_inputs, rows_at_a_time
        )
        linear_head.require_own_steps(self, rows_at_a_time)
        terms = hint_terms.HintTerms(hints, student, teacher, policy)
        # Without autocast, so that the student gets the input as it came.
        kwargs.setdefault("autocast", False)
        super().__init__(dtype=policy, **kwargs)
        self.student = student
        self._hint_terms = terms
        self._hint_projections = list(terms.projections)
        self._student_outputs = outputs
        self._linear_head = head_of_loss
        self._awaits_teacher = self._loads_whole = False
        self._run_teacher: Callable | None = None
        self._teacher_weights = teachers.weights_function({})
        self._teacher_is_steady = False
        self._unusual_of_teacher = teachers.unusual_layers_function({})
        self._unusual: list = []
        self._programs = compiled_steps.CompiledSteps()
        self._ends = iterators.Ends()
        self._results: Any = None
        self._builds_metrics = self._evaluates = self._fits = False
        self._chooses_steps = False
        self._choose_compilation = None
        self._constructor_arguments = {
            **student_outputs.plain(settings),
            "check_inputs": check_inputs,
            "rows_at_a_time": rows_at_a_time,
        }
        self._trackers = [*outputs.trackers(), *terms.trackers]
        self._reported: frozenset = frozenset()
        self.built = student.built
        strategy_checks.require_scope(self)
        if teacher is not None:
            self._take_teacher(teacher)

    @property
    def head(self) -> str | dict:
        """What the logits stand for, "softmax" or "sigmoid".

        Of several outputs a dict, with None for those that are not trained.
        """
        return self._student_outputs.head

    @property
    def hint_weights(self) -> dict[str, keras.Variable]:
        """The weights of the hints by name: scalar float32 variables.

        `assign` another one between epochs, nothing is traced again.
        """
        return dict(self._hint_terms.weights)

    def set_teacher(self, teacher: Callable | dict[str, Callable]) -> None:
        """Gives a teacher to a Distiller, such as one that was loaded.

        Args:
          teacher: as in the constructor.

        Raises:
          ValueError: as in the constructor; or from a `fit` that is going on,
            if it has further steps to do.
        """
        self._hint_terms.set_teacher(teacher)
        self._take_teacher(teacher)

    def _take_teacher(self, teacher):
        """As `set_teacher`, of one whose features the hints have found."""
        teachers.check(teacher, self.student, self._student_outputs)
        teachers.warn_if_swapped(teacher, self.student)
        # Functions hide the teacher from Keras's saver, which follows every
        # attribute and property of a model.
        run = teacher
        if self._linear_head is not None:
            run = self._linear_head.take_teacher(teacher)
        self._run_teacher = teachers.targets_function(
            run, self._student_outputs
        )
        self._teacher_weights = teachers.weights_function(teacher)
        self._teacher_is_steady = teachers.is_steady(teacher)
        self._unusual_of_teacher = teachers.unusual_layers_function(teacher)
        self._awaits_teacher = False
        # Compiled steps hold the teacher they were traced with.
        self.train_function = self.test_function = None
        if self._fits:
            self.train_function = fit_loops.refuse_other_teacher

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Exports the student alone, by its own `keras.Model.export`.

        `kdtf.export_student` writes a SavedModel that also gives probabilities
        and classes.

        Args:
          filepath: as in Keras.
          *args: `format` and what follows it, as in Keras.
          **kwargs: likewise.

        Raises:
          ValueError: if the student is not built.
        """
        if not self.student.built:
            raise ValueError(
                "`student` must be built to be exported: call it on data, or "
                f"`fit` it, first. Received: {self.student!r}"
            )
        self.student.export(filepath, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """The student's logits."""
        return _models.call(self.student, inputs, training=training)

    def train_step(self, data: Any) -> dict:
        """One update of the student; returns the running metrics."""
        return self._run("train", self._update, self._with_targets(data))

    def test_step(self, data: Any) -> dict:
        """One batch of `evaluate`; changes nothing but the metrics."""
        return self._run("test", self._evaluate, self._with_targets(data))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: TensorLike | None = None,
        training: bool = True,
    ) -> Tensor:
        """The loss of a batch; override it to add a term of your own.

        Also updates the metrics `soft_loss`, `hard_loss` and `agreement`; an
        override that does not call it leaves them out of the report.

        Args:
          x: the batch's input.
          y: a named tuple of `labels` (`[...]` or `[..., classes]`),
            `teacher_logits` (`[..., classes]`, at T = 1) and `tempered_logits`
            (u with softmax(u / T) equal to the soft targets), each None if
            absent; or y as in `fit`, from a `train_step` of your own.
          y_pred: `[..., classes]`, the student's logits.
          sample_weight: `[...]` float32, the weights of the entries, class
            weights and mask included; or None. Beside y as in `fit`, as in
            `fit`. Of several outputs these three are dicts by output.
          training: whether it is called by `fit`, and not by `evaluate`.

        Returns:
          Scalar, with the student's regularisation losses.

        Raises:
          ValueError: if y holds neither labels nor soft targets, or x is
            missing beside y as in `fit`.

        Example:
          >>> class Confident(kdtf.Distiller):
          ...     def compute_loss(self, x, y, y_pred, sample_weight, training):
          ...         loss = super().compute_loss(x, y, y_pred, sample_weight)
          ...         return loss - 0.01 * tf.reduce_mean(tf.abs(y_pred))
        """
        logits = self._student_outputs.of_student(y_pred)
        batch, weights = y, sample_weight
        if not self._student_outputs.are_targets(batch):
            batch, weights = self._as_of_a_step(
                x, y, logits, sample_weight, training=training
            )
        losses = self._student_outputs.each(
            self._output_loss, batch, logits, weights
        )
        loss = self._student_outputs.total(losses, logits)
        if self.losses:  # regularisers, activity regularisers, `add_loss`
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            own = tf.cast(super().compute_loss(), loss.dtype)
            loss += own * tf.cast(replicas, loss.dtype)
        return loss

    def compute_metrics(
        self,
        x: Any,
        y: Any,
        y_pred: Any,
        sample_weight: TensorLike | None = None,
    ) -> dict:
        """Updates the metrics given to `compile`; returns all results.

        Keras also calls this with a batch as the data set gives it, to build
        the metrics; the student's logits then stand in for the teacher's.

        Args:
          x: the batch's input.
          y: as in `compute_loss`.
          y_pred: `[..., classes]`, the student's logits.
          sample_weight: as in `compute_loss`.

        Returns:
          Dict from name to result, without the metrics that the batch has no
          data for.
        """
        logits = self._student_outputs.of_student(y_pred)
        batch, weights = y, sample_weight
        if self._builds_metrics:
            batch = self._student_outputs.each(
                Output.stand_ins, self._student_outputs.of_data(y), logits
            )
        elif not self._student_outputs.are_targets(batch):
            batch, weights = self._as_of_a_step(x, y, logits, sample_weight)
        absent = {each.name for each in self._trackers} - self._reported
        compiled = keras_private.compiled_metrics(self)
        if compiled is not None:
            metric_routing.build(compiled, self._student_outputs, batch, logits)
            metrics = keras_private.metrics_by_output(compiled)

            def update(output, batch, logits, weights):
                absent.update(
                    metric_routing.update(
                        metrics, output, batch, logits, weights
                    )
                )

            self._student_outputs.each(update, batch, logits, weights)
        results = self.get_metrics_result()
        return {n: value for n, value in results.items() if n not in absent}

    def reset_metrics(self) -> None:
        """As in Keras; also starts counting the checked batches anew."""
        super().reset_metrics()
        for output in self._student_outputs.all:
            output.reset()

    def compile(
        self,
        optimizer: Any = "rmsprop",
        *,
        loss: None = None,
        loss_weights: dict[str, float] | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`, but for `loss`, which is the Distiller's.

        Args:
          optimizer: as in Keras.
          loss: must stay None.
          loss_weights: None; or of several outputs a dict from output to the
            weight of its loss in the sum, 1 where it has none.
          metrics: as in Keras; they skip unlabelled rows. Of several outputs a
            dict from output to its metrics.
          weighted_metrics: as in Keras; likewise.
          **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile` and
            `auto_scale_loss`, as in Keras. `jit_compile` is False
            under `check_inputs=True`; "auto" also turns it on for students
            that XLA is known to train faster on a CPU. With it, the steps of
            an execution are the loop of one XLA program.
            `steps_per_execution="auto"`, the default, makes it as many as take
            a fraction of a second over arrays, and one over data sets or where
            a callback looks at single batches.

        Raises:
          ValueError: if a loss or its weights are given, or a metric cannot
            read what it would be fed.
        """
        if loss is not None:
            raise ValueError(
                "`loss` must be None: a Distiller computes its own from "
                "temperature, soft_weight and hard_weight; override "
                "`compute_loss` in a subclass to add a term. "
                f"Received: loss={loss!r}"
            )
        self._student_outputs.assign_loss_weights(loss_weights)
        steps = kwargs.pop("steps_per_execution", "auto")
        if steps != "auto" and (not isinstance(steps, int) or steps < 1):
            raise ValueError(
                '`steps_per_execution` must be "auto" or a positive int. '
                f"Received: steps_per_execution={steps!r}"
            )
        with self.distribute_strategy.scope():  # where it makes metrics
            metrics = self._student_outputs.resolved(metrics, "metrics")
            weighted_metrics = self._student_outputs.resolved(
                weighted_metrics, "weighted_metrics"
            )
        if self._linear_head is not None:
            linear_head.require_servable([metrics, weighted_metrics])
        if self._constructor_arguments["check_inputs"]:
            kwargs["jit_compile"] = False
        given = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        choose: Any = functools.partial(
            compile_policy.resolve, **given, **kwargs
        )
        kwargs["jit_compile"] = choose(self)
        with self.distribute_strategy.scope():  # where it makes them of names
            super().compile(
                optimizer=optimizer,
                loss_weights=loss_weights,
                steps_per_execution=1 if steps == "auto" else steps,
                **given,
                **kwargs,
            )
        self._chooses_steps = steps == "auto"
        waits = not (self.student.built or compile_policy.has_strategy(self))
        self._choose_compilation = choose if waits else None
        strategy_checks.require_compiled(self, list(given.values()))
        strategy_checks.warn(self)

    def _output_loss(self, output, batch, logits, weights):
        """The loss of one output; notes what is reported of it."""
        loss, tracked = output.loss(batch, logits, weights)
        self._reported |= set(tracked)
        return loss

    def _runs_own(self, step):
        """Whether a step is kdtf's, and not that of a subclass."""
        found = getattr(getattr(self, step), "__func__", None)
        return found is getattr(Distiller, step)

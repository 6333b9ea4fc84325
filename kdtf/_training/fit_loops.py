"""How Keras's loops over batches run a Distiller's steps."""

import collections.abc
import contextlib
import inspect
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _workers
from kdtf._training import (
    data_errors,
    executions,
    first_shapes,
    fit_data,
    multi_step,
    replica_loops,
    replicas,
    strategy_checks,
    targets,
    worker_checks,
)

_WITH_WEIGHTS_OF_THEIR_OWN = (
    collections.abc.Iterator,
    keras.utils.PyDataset,
    tf.data.Dataset,
    tf.distribute.DistributedDataset,
)


class FitLoops(keras.Model):
    """The part of `Distiller` that runs its steps, over epochs and batches."""

    train_function: Any
    test_function: Any
    _choose_compilation: Any

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *args: Any,
        class_weight: dict | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
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

        Returns:
          The `keras.callbacks.History`.

        Raises:
          ValueError: if the data hold no batch, or not what the loss needs, or
            soft targets that were made at another temperature or for other
            examples; or if a file that they are read from is damaged.
        """
        keras_private.forget_initial_epoch(self)
        self._set_class_weight(class_weight)
        _require_y_of_weights(x, y, sample_weight)
        sample_weight = self._student_outputs.weights_beside(y, sample_weight)
        named = inspect.signature(super().fit).bind(
            x, y, *args, sample_weight=sample_weight, **kwargs
        )
        given = named.arguments
        validation_data = given.get("validation_data")
        if isinstance(validation_data, (tuple, list)):
            given["validation_data"] = self._checked(validation_data)
        if isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
            # Keras's default warns that it cannot shuffle a data set.
            given.setdefault("shuffle", False)
        # Before the data are regrouped, which hides what they are.
        self._ends.expect("train", x, given.get("steps_per_epoch"))
        given = self._for_all_workers("fit", given)
        run = self._around_a_run(y)
        with run, worker_checks.no_noise(x), self._while("_fits"):
            self._see_shapes(x)
            given, steps = fit_data.for_fit(self, given)
            with fit_data.steps_of_an_execution(self, steps):
                history = super().fit(**given)
        _workers.leave(self.distribute_strategy)
        of_training = [n for n in history.history if not n.startswith("val_")]
        if history.epoch and not of_training:
            raise ValueError(
                "`x` must hold at least one batch. Received: no data"
            )
        if np.isnan(history.history.get("loss", 0.0)).any():
            warnings.warn(
                "The loss became NaN. A label that is no class, or a teacher's "
                "logit that is NaN, makes it so: check_inputs=True names the "
                "batch and the row. Otherwise try a lower learning rate.",
                stacklevel=2,
            )
        return history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As `keras.Model.evaluate`; y and `sample_weight` as in `fit`.

        Raises:
          ValueError: as `fit`.
        """
        named = inspect.signature(super().evaluate).bind(x, y, *args, **kwargs)
        given = named.arguments.pop("kwargs", {}) | named.arguments
        sample_weight = given.get("sample_weight")
        _require_y_of_weights(x, y, sample_weight)
        given["sample_weight"] = self._student_outputs.weights_beside(
            y, sample_weight
        )
        self._ends.expect("test", x, given.get("steps"))
        from_fit = keras_private.is_evaluated_by_fit(kwargs)  # checked there
        if not from_fit:
            given = self._for_all_workers("evaluate", given)
        run = self._around_a_run(None if from_fit else y)
        with run, self._while("_evaluates"):
            steps = self.steps_per_execution
            if not from_fit:
                self._see_shapes(x)
                given, steps = fit_data.for_evaluate(self, given)
            with fit_data.steps_of_an_execution(self, steps):
                found = super().evaluate(**given)
        if not from_fit:
            _workers.leave(self.distribute_strategy)
        return found

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`: the student's logits, in the data's order.

        Raises:
          ValueError: if workers are not to share every batch.
        """
        strategy = self.distribute_strategy
        if _workers.spans(strategy):
            x = worker_checks.sharded_by_data("x", x)
        with _workers.named_losses(strategy):
            found = super().predict(x, *args, **kwargs)
        _workers.leave(strategy)
        return found

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        *args: Any,
        class_weight: dict | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `keras.Model.train_on_batch`; `class_weight` as in `fit`.

        Raises:
          ValueError: as `fit`.
        """
        self._student_outputs.require_temperature(y)
        self._set_class_weight(class_weight)
        with self._around_a_run(y):
            return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(
        self, x: Any, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """As `keras.Model.test_on_batch`; y as in `fit`.

        Raises:
          ValueError: as `fit`.
        """
        self._student_outputs.require_temperature(y)
        with self._around_a_run(y), self._while("_evaluates"):
            return super().test_on_batch(x, y, *args, **kwargs)

    @property
    def metrics(self) -> list:
        """As in Keras, with those that the student holds as attributes."""
        return super().metrics + keras_private.metrics_held_by(self.student)

    def get_metrics_result(self) -> dict:
        """As in Keras; between steps, over all replicas."""
        if replicas.several() or not replicas.trains_on_several(self):
            return super().get_metrics_result()
        if not (self._results and self._results.holds(self)):
            self._results = replica_loops.MetricResults(self)
        return self._results()

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras; under XLA an execution of many steps is one program."""
        self._forget_outdated()
        if self.train_function in (refuse_other_teacher, _refuse_other_layers):
            self.train_function = None
        if self.train_function is not None and not force:
            return
        strategy_checks.require_scope(self)
        self._build_optimizer()
        self._programs.reset("train")
        function = self._execution("train_step")
        if function is None:
            super().make_train_function(force=True)
            function = self.train_function
        if self._is_one_program("train_step"):
            function = multi_step.ManySteps(self, self._update, function)
        self.train_function = self._at_its_temperature("train", function)

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        self._forget_outdated()
        if self.test_function is not None and not force:
            return
        self._programs.reset("test")
        function = self._execution("test_step")
        if function is None:
            super().make_test_function(force=True)
            function = self.test_function
        if self._is_one_program("test_step"):
            function = multi_step.ManySteps(self, self._evaluate, function)
        self.test_function = self._at_its_temperature("test", function)

    def make_predict_function(self, force: bool = False) -> Any:
        """As in Keras."""
        self._forget_outdated()
        return super().make_predict_function(force=force)

    def _forget_outdated(self):
        """Forgets what was traced before layers were quantized, or got LoRA.

        Keras does so for the model whose method is called, which is not this.
        """
        unusual = [
            *keras_private.unusual_layers(self.student),
            *self._unusual_of_teacher(),
        ]
        if unusual != self._unusual:
            self._unusual = unusual
            self.test_function = self.predict_function = None
            if self.train_function is not refuse_other_teacher:
                in_fit = _refuse_other_layers if self._fits else None
                self.train_function = in_fit

    def _execution(self, step):
        """What runs the steps of an execution, or None if Keras does."""
        if replicas.trains_on_several(self):
            return replica_loops.Execution(self, getattr(self, step))
        if self._runs_here(step):
            return executions.Execution(self, getattr(self, step))
        return None

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """As in Keras, of the shapes that the first replica sees."""
        build = super()._maybe_symbolic_build
        with self._while("_builds_metrics"):
            if iterator is None or not replicas.trains_on_several(self):
                build(iterator=iterator, data_batch=data_batch)
            else:
                keras_private.build_from_spec(build, iterator)

    @contextlib.contextmanager
    def _while(self, flag):
        """Has an attribute be True for a while."""
        before = getattr(self, flag)
        setattr(self, flag, True)
        try:
            yield
        finally:
            setattr(self, flag, before)

    def _at_its_temperature(self, kind, function):
        """Keras's function of an iterator, which refuses targets of another T.

        At every execution, since the temperature may be assigned in between.
        """

        def checked(iterator):
            self._student_outputs.require_temperature(
                targets.y_of_batches(iterator)
            )
            try:
                logs = function(iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                self._ends.ran_out(kind, iterator)
                raise
            self._ends.ran(kind, iterator, self.steps_per_execution)
            return logs

        return checked

    def _build_optimizer(self):
        """Makes the optimizer's variables, if the student is there.

        A step that makes variables is traced twice: once for them, and once
        without.
        """
        if self.student.built and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self._trained_weights())

    def _see_shapes(self, x):
        """Chooses how steps are compiled, where that waited for the data.

        Once: training in several calls of `fit` must round as in one.
        """
        if self._choose_compilation is None:
            return
        first_shapes.build(self.student, x)
        if self._choose_compilation(self) is True:
            self.jit_compile = True
            self.train_function = self.test_function = None
        self._choose_compilation = None

    def _checked(self, validation_data):
        """Validation data as Keras needs them, their arrays checked."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(validation_data)
        _require_y_of_weights(x, y, weight, "validation_data")
        self._student_outputs.check_arrays(y, self.student)
        return x, y, self._student_outputs.weights_beside(y, weight)

    @contextlib.contextmanager
    def _around_a_run(self, y):
        """Checks y before a run over data, and says plainly what fails in it.

        What fails takes the compiled steps with it: a first trace that is cut
        off while it makes variables leaves a function that does nothing.
        """
        try:
            self._student_outputs.check_arrays(y, self.student)
            with (
                data_errors.in_plain_words("x"),
                _workers.named_losses(self.distribute_strategy),
            ):
                yield
        except BaseException:
            self.train_function = self.test_function = None
            for output in self._student_outputs.all:
                output.forget_unchecked()
            raise

    def _for_all_workers(self, method, given):
        """The arguments of a method, if all workers have the same."""
        if not _workers.spans(self.distribute_strategy):
            return given
        given = {
            name: worker_checks.sharded_by_data(name, value)
            for name, value in given.items()
        }
        with _workers.named_losses(self.distribute_strategy):
            worker_checks.require_same(self, method, given)
        return given

    def _runs_here(self, step):
        """Whether kdtf runs the steps of an execution, and not Keras."""
        return self._runs_own(step) and executions.applies(self)

    def _is_one_program(self, step):
        """Whether the steps of an execution are one program."""
        return (
            self._runs_own(step)
            # What else they report is known when each step has run.
            and self._runs_own("compute_metrics")
            and multi_step.applies(self)
        )

    def _set_class_weight(self, class_weight):
        if not self._student_outputs.assign_class_weight(
            class_weight, self.student
        ):
            self.train_function = None  # it holds the old weights


def _require_y_of_weights(x, y, sample_weight, argument="sample_weight"):
    """Raises if Keras would leave out the weights of arrays.

    Raises:
      ValueError: says what to give beside them.
    """
    if x is None or isinstance(x, _WITH_WEIGHTS_OF_THEIR_OWN):
        return  # Keras says where weights belong
    if y is None and sample_weight is not None:
        raise ValueError(
            f"`{argument}` of unlabelled arrays must come with labels of -1, "
            "as in y=np.full(len(x), -1): Keras drops weights without y. "
            "Received: sample weights, and no y"
        )


def refuse_other_teacher(iterator):
    """In place of the steps that a `fit` has begun with."""
    del iterator
    raise ValueError(
        "`set_teacher` must be called between two calls of `fit`, whose steps "
        "and answers are those of one teacher: fit(..., initial_epoch=...) "
        "goes on with another one. Received: another teacher, set by a "
        "callback during `fit`"
    )


def _refuse_other_layers(iterator):
    """In place of the steps that a `fit` has begun with."""
    del iterator
    raise ValueError(
        "Layers must be quantized, or get LoRA, between two calls of `fit`, "
        "whose steps are those of the layers that it began with: "
        "fit(..., initial_epoch=...) goes on with others. Received: layers of "
        "student or teacher that a callback changed during `fit`"
    )

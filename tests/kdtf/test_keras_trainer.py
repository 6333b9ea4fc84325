"""Keras's own tests of its trainer, run over Distillers.

Each model that they build is wrapped in a Distiller whose `compute_loss` is the
loss that the test compiles, so that the numbers they expect hold, too: `fit`,
`evaluate` and `predict` then do over a Distiller what they do over any model.
"""

import fnmatch
import importlib
import sys
import types
import unittest

import keras
import pytest

import kdtf

ZEROS = "rows of labels that are all 0 mean unlabelled: no metric counts them"
NO_LABELS = "its labels are neither classes nor distributions"
NO_DISTILLER = "it defines its model itself, as a subclass or by `keras.Model`"
MORE_METRICS = "a Distiller has three metrics of its own"
NOT_INSTALLED = "needs a package that the tests do not install"
SKIPPED = "Keras skips it"

# What does not hold for a Distiller, and why.
NOT_FOR_A_DISTILLER = {
    "test_callbacks_can_update_state_at_batch_boundary": NO_DISTILLER,
    "test_compute_loss_no_training_backwards_compatibility": NO_DISTILLER,
    "test_evaluate_flow_*": ZEROS,
    "test_evaluate_return_list_respect_metrics_order": NO_LABELS,
    "test_evaluate_sparse_jax_*": NOT_INSTALLED,
    "test_evaluate_with_custom_compute_loss": NO_DISTILLER,
    "test_fit_eval_flow_for_jax_model_weights": SKIPPED,
    "test_fit_flow_*": ZEROS,
    "test_fit_sparse_jax_*": NOT_INSTALLED,
    "test_fit_with_data_adapter_grain_*": NOT_INSTALLED,
    "test_fit_with_data_adapter_py_dataset_multiprocessing*": SKIPPED,
    "test_fit_with_data_adapter_torch_*": NOT_INSTALLED,
    "test_fwd_pass_loss_presence_in_compute_loss": NO_DISTILLER,
    "test_loss_scaling_prevents_underflow": NO_DISTILLER,
    "test_loss_weights": "a Distiller weighs its two terms itself",
    "test_metric_tracking": NO_DISTILLER,
    "test_metric_update_in_compute_loss": NO_DISTILLER,
    "test_multiple_compiles": MORE_METRICS,
    "test_nested_input_predict": NO_DISTILLER,
    "test_nested_trainer_metrics*": MORE_METRICS,
    "test_on_batch_methods_[egj]*": ZEROS,
    "test_partial_loss_partial_label": NO_DISTILLER,
    "test_predict_dropout": NO_DISTILLER,
    "test_predict_preserve_order_*": NO_DISTILLER,
    "test_predict_sparse_jax_*": NOT_INSTALLED,
    "test_recompile": NO_LABELS,
    "test_retracing*": NO_DISTILLER,
    "test_rng_updated_during_predict": NO_DISTILLER,
    "test_symbolic_build": NO_DISTILLER,
    "test_trainer_with_raggeds_*": "its student returns ragged tensors",
}

# Further cases of tests that are run, left out for their time. Where an
# execution is one step, its number in an epoch does not depend on XLA.
NOT_RUN = (
    "test_evaluate_flow_*jit",
    "test_fit_flow_*jit",
    "test_on_batch_methods_jit",
    "test_steps_per_epoch_*jit",
    "test_steps_per_execution_*_epoch*_eager",
    "test_steps_per_execution_*_epoch*_non_jit",
    "test_steps_per_execution_*_101_[!j]*",
    "test_steps_per_execution_unrolled_*_[!3]*",
)

PARTS = 4  # for processes to share


class Distilled(kdtf.Distiller):
    """A Distiller with the loss of the test, which `compile` is given."""

    count = 0

    def __init__(self, student, head="sigmoid"):
        Distilled.count += 1
        super().__init__(
            student,
            temperature=1.0,
            soft_weight=0.0,
            hard_weight=1.0,
            head=head,
        )
        self.loss_of_test = None

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        # A name stands for a function, which would take no weights.
        mse = keras.losses.MeanSquaredError()
        self.loss_of_test = mse if loss == "mse" else loss
        super().compile(optimizer, **kwargs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        terms = list(self.losses)
        if self.loss_of_test is not None:
            terms.append(self.loss_of_test(y.labels, y_pred, sample_weight))
        return sum(terms)

    @property
    def layers(self):
        """The student's, which the tests look at."""
        return self.student.layers


def ones_dense(units):
    return keras.layers.Dense(units, use_bias=False, kernel_initializer="ones")


class OneDense(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = ones_dense(units)

    def call(self, x):
        return self.dense(x)


class ExampleModel(Distilled):
    def __init__(self, units):
        # Several labels of a sigmoid head would have no class weights.
        head = "sigmoid" if units == 1 else "softmax"
        super().__init__(OneDense(units), head)


class CustomTrainTestStepModel(ExampleModel):
    def train_step(self, data):
        return {**super().train_step(data), "my_custom_metric": 10.0}

    def test_step(self, data):
        return {**super().test_step(data), "my_custom_metric": 5.0}


class ListInputs(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.first, self.second = ones_dense(units), ones_dense(units)

    def call(self, x):
        if not isinstance(x, (list, tuple)):
            raise ValueError("x must be a list or tuple")
        return self.first(x[0]) + self.second(x[1])


class Structures(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.first, self.second = ones_dense(units), ones_dense(units)

    def call(self, x):
        return {
            "y_one": self.first(x["x_one"]),
            "y_two": self.second(x["x_two"]),
        }


class DiffersInTraining(keras.Model):
    def call(self, x, training=False):
        return x if training else x * 0


# Keras's tests define models that are layers with a trainer mixed in; these
# have the same weights and outputs.
MODELS = {
    "ExampleModel": ExampleModel,
    "CustomTrainTestStepModel": CustomTrainTestStepModel,
    "ListInputModel": lambda units: Distilled(ListInputs(units)),
    "StructModel": lambda units: Distilled(Structures(units)),
    "TrainingTestingLayer": lambda **kw: Distilled(DiffersInTraining(**kw)),
}


def distilling(module):
    """A copy of a module of Keras whose Sequentials are distilled."""
    copy = types.SimpleNamespace(**vars(module))
    copy.Sequential = lambda given: Distilled(keras.Sequential(given))
    return copy


@pytest.fixture(params=range(PARTS))
def cases(monkeypatch, request):
    """A part of Keras's tests, each with its name, of models distilled."""
    request.config.addinivalue_line("markers", "requires_trainable_backend")
    if importlib.util.find_spec("jax") is None:
        # The module imports it, for the tests of that backend alone.
        monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    module = pytest.importorskip("keras.src.trainers.trainer_test")
    for name, model in MODELS.items():
        monkeypatch.setattr(module, name, model)
    for name in ("keras", "models"):
        monkeypatch.setattr(module, name, distilling(getattr(module, name)))
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(module.TestTrainer)
    named = [(case.id().rpartition(".")[2], case) for case in suite]
    keras.config.disable_interactive_logging()  # no bars beside a failure
    named = [(n, case) for n, case in named if not matches(n, NOT_RUN)]
    yield named[request.param :: PARTS]
    keras.config.enable_interactive_logging()


def matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def outcome(case):
    """Why a case did not pass over a Distiller, or None if it did."""
    before, result = Distilled.count, unittest.TestResult()
    case.run(result)
    for _, text in result.failures + result.errors + result.skipped:
        return text
    return None if Distilled.count > before else "built no Distiller"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_keras_own_tests_of_its_trainer(cases):
    unexpected, listed_for_nothing = {}, []
    for name, case in cases:
        listed, failure = matches(name, NOT_FOR_A_DISTILLER), outcome(case)
        if failure is None and listed:
            listed_for_nothing.append(name)
        elif failure is not None and not listed:
            unexpected[name] = failure
    assert cases and not unexpected, "\n\n".join(unexpected.values())
    assert not listed_for_nothing

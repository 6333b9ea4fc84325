"""kdtf._training.fit_data: arrays train as through Keras's own pipeline."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _keras_private as keras_private
from kdtf._training import array_epochs, executions, fit_data
from tests import nets

X, Y = nets.inputs(30), nets.labels(30, unlabelled=(1, 8))
WEIGHTS = np.linspace(0, 2, 30)


def new_distiller(teacher=None, **compiled):
    distiller = kdtf.Distiller(
        nets.deep(), teacher or nets.linear(7), temperature=2.0
    )
    distiller.compile(
        keras.optimizers.SGD(0.1), weighted_metrics=["accuracy"], **compiled
    )
    return distiller


def trained(**compiled):
    """Weights and history of two shuffled epochs over arrays."""
    distiller = new_distiller(**compiled)
    tf.random.set_seed(5)
    history = distiller.fit(
        X,
        Y,
        batch_size=4,
        epochs=2,
        sample_weight=WEIGHTS,
        class_weight={0: 2.0},
        validation_split=0.3,
        verbose=0,
    )
    logs = distiller.evaluate(X, Y, 7, sample_weight=WEIGHTS, verbose=0)
    return nets.values(distiller.student), history.history, logs


@pytest.fixture(scope="module")
def through_keras():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executions, "applies", lambda distiller: False)
        return trained(jit_compile=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiled",
    (
        {},
        {"jit_compile": True, "steps_per_execution": 3},
        {"jit_compile": False},
        {"jit_compile": False, "steps_per_execution": 3},
        {"run_eagerly": True},
    ),
    ids=str,
)
def test_arrays_train_as_through_keras(through_keras, compiled):
    ours = trained(**compiled)
    # Without XLA in the same operations: to the last bit.
    exact = compiled.get("jit_compile", True) is False
    rtol, atol = (0, 0) if exact else (2e-5, 1e-6)
    pairs = zip(*map(keras.tree.flatten, (ours, through_keras)), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def fit_arguments(distiller, **given):
    return fit_data.for_fit(
        distiller, {"x": X, "y": Y, "batch_size": 4, **given}
    )


def test_steps_are_chosen_for_arrays_alone():
    distiller = new_distiller()
    assert fit_arguments(distiller)[1] == 8  # an epoch
    assert fit_arguments(distiller, steps_per_epoch=3)[1] == 1
    assert fit_arguments(distiller, validation_steps=3)[1] == 1
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    assert fit_arguments(distiller, x=data, y=None, shuffle=False)[1] == 1
    given = {"x": X, "y": Y, "batch_size": 4}
    assert fit_data.for_evaluate(distiller, given)[1] == 8
    assert fit_data.for_evaluate(distiller, {**given, "steps": 2})[1] == 1
    distiller.compile("sgd", steps_per_execution=5)
    assert fit_arguments(distiller)[1] == 5
    distiller.compile("sgd", jit_compile=False)
    assert fit_arguments(distiller)[1] == 1


def test_validation_arrays_stay_on_the_device():
    distiller = new_distiller()
    arguments, _ = fit_arguments(
        distiller, validation_data=(X, Y), validation_batch_size=6
    )
    [adapter] = arguments["validation_data"]
    assert isinstance(adapter, array_epochs.ArraysAdapter)
    assert adapter.batch_size == 6
    arguments, _ = fit_arguments(distiller, validation_data=(X, Y))
    assert arguments["validation_data"][0].batch_size == 4


@pytest.mark.slow
def test_executions_are_as_long_as_before_afterwards():
    distiller = new_distiller()
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(distiller.steps_per_execution)

    distiller.fit(X, Y, 4, verbose=0, callbacks=[Look()])
    assert seen == [8] and distiller.steps_per_execution == 1


class OwnStep(kdtf.Distiller):
    def train_step(self, data):
        return super().train_step(data)


@pytest.mark.slow
def test_steps_of_a_subclass_get_batches_of_keras():
    distiller = OwnStep(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd")
    given = {"x": X, "y": Y, "validation_data": (X, Y)}
    arguments, steps = fit_data.for_fit(distiller, given)
    assert arguments is given and steps == 1
    distiller.fit(**given, verbose=0)


def test_without_keras_adapters_nothing_changes(monkeypatch):
    monkeypatch.setattr(keras_private, "get_data_adapter", None)
    given = {"x": X, "y": Y, "validation_split": 0.5}
    arguments, steps = fit_data.for_fit(new_distiller(), given)
    assert arguments is given and steps == 1


@pytest.mark.slow
def test_auto_is_what_is_saved(tmp_path):
    distiller = new_distiller()
    distiller.fit(X, Y, verbose=0)
    for steps in ("auto", 3):
        if steps != "auto":
            distiller.compile("sgd", steps_per_execution=steps)
        path = tmp_path / f"{steps}.keras"
        distiller.save(path)
        loaded = keras.saving.load_model(path)
        config = loaded.get_compile_config()
        assert config["steps_per_execution"] == steps


@pytest.mark.parametrize("method", ("fit", "evaluate"))
def test_weights_that_keras_would_drop(method):
    distiller = new_distiller()
    message = (
        r"`sample_weight` of unlabelled arrays must come with labels of -1"
    )
    with pytest.raises(ValueError, match=message):
        getattr(distiller, method)(X, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match="`validation_data` of unlabelled"):
        distiller.fit(X, Y, validation_data=(X, None, WEIGHTS))


@pytest.mark.parametrize("method", ("fit", "evaluate"))
def test_weights_beside_a_data_set(method):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    with pytest.raises(ValueError, match=r"part of the tf\.data\.Data"):
        getattr(new_distiller(), method)(data, sample_weight=WEIGHTS)


def test_arguments_of_evaluate_in_their_order():
    """As Keras has it: batch size, verbosity and sample weights."""
    distiller = new_distiller()
    weights = np.linspace(0.0, 2.0, len(X))
    found = distiller.evaluate(X, Y, 4, 0, weights, return_dict=True)
    expected = distiller.evaluate(
        X, Y, batch_size=4, verbose=0, sample_weight=weights, return_dict=True
    )
    assert found == expected
    assert found != distiller.evaluate(X, Y, 4, 0, return_dict=True)

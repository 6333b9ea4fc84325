"""kdtf._keras_private: each name is there, and what happens if it is not."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _keras_private as keras_private
from kdtf._training import compile_policy
from tests import nets


def compiled(**kwargs):
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd", metrics=["accuracy"], **kwargs)
    return distiller


def test_data_adapters_are_there():
    """Without them every `fit` would quietly run Keras's loop."""
    assert keras_private.has_data_adapters()
    adapter = keras_private.get_data_adapter(np.zeros((4, 2)))
    assert isinstance(adapter, keras_private.DataAdapter)
    (x, _, _), (held_out, _, _) = keras_private.train_validation_split(
        (np.zeros((4, 2)), None, None), 0.25
    )
    assert (len(x), len(held_out)) == (3, 1)


def test_masks_are_read():
    x = np.ones((1, 2, 3), np.float32)
    x[0, 1] = 0
    mask = keras_private.mask_of(keras.layers.Masking()(x))
    np.testing.assert_array_equal(mask, [[True, False]])
    assert keras_private.mask_of(tf.zeros((2, 3))) is None


def test_masks_that_cannot_be_read_are_an_error(monkeypatch):
    """Otherwise padding would silently count as frames."""
    monkeypatch.setattr(
        keras.layers.Masking, "__call__", lambda self, x: tf.identity(x)
    )
    keras_private._require_masks_as_attributes.cache_clear()
    try:
        with pytest.raises(RuntimeError, match=r"_keras_mask.*no longer has"):
            kdtf.metrics.Agreement().update_state([[1.0, 0.0]], [[1.0, 0.0]])
    finally:
        monkeypatch.undo()
        keras_private._require_masks_as_attributes.cache_clear()


def test_all_layers_reach_into_wrappers_and_models():
    inner = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(2)])
    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(4))
    model = keras.Sequential([keras.Input((3, 2)), inner, wrapped])
    layers = keras_private.all_layers(model)
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds.count("Dense") == 2
    assert {"Sequential", "TimeDistributed", "InputLayer"} <= set(kinds)


def test_without_layers_keras_decides_about_xla(monkeypatch):
    def hidden(model):
        raise RuntimeError

    monkeypatch.setattr(keras_private, "all_layers", hidden)
    distiller = compiled()
    assert not compile_policy.is_faster(distiller)
    assert not compile_policy.loops_fast(distiller.student)


class NoFlatten:
    """A model of a Keras that hides its layers."""


def test_hidden_layers_raise():
    with pytest.raises(RuntimeError, match="_flatten_layers"):
        keras_private.all_layers(NoFlatten())


def test_the_loss_tracker_is_what_fit_reports_as_loss():
    distiller = compiled()
    logs = distiller.evaluate(
        nets.inputs(), nets.labels(), verbose=0, return_dict=True
    )
    tracker = keras_private.loss_tracker(distiller)
    assert float(tracker.result()) == pytest.approx(logs["loss"])


@pytest.mark.slow
def test_compiled_metrics_are_those_given_to_compile():
    distiller = compiled()
    distiller.evaluate(nets.inputs(), nets.labels(), verbose=0)
    found = keras_private.compiled_metrics(distiller)
    assert [metric.name for metric in found.metrics] == ["accuracy"]


def test_metrics_tell_their_output_and_whether_they_are_weighted():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    x = keras.Input((2,))
    model = keras.Model(x, {"a": net(x), "b": keras.layers.Dense(3)(x)})
    model.compile(
        "sgd",
        "mse",
        metrics={"b": ["accuracy", "mae"]},
        weighted_metrics={"a": ["mse"]},
    )
    model.evaluate(
        np.zeros((2, 2)),
        {"a": np.zeros((2, 3)), "b": np.zeros((2, 3))},
        verbose=0,
    )
    found = keras_private.metrics_by_output(
        keras_private.compiled_metrics(model)
    )
    assert [(of, each.name, weighted) for of, each, weighted in found] == [
        ("b", "accuracy", False),
        ("b", "mae", False),
        ("a", "mse", True),
    ]
    with pytest.raises(RuntimeError, match=r"_flat_metrics.*no longer has"):
        keras_private.metrics_by_output(object())


@pytest.mark.parametrize("name", ("loss_tracker", "compiled_metrics"))
def test_a_missing_attribute_is_named(name):
    with pytest.raises(RuntimeError, match=r"keras.Model._\w+.*no longer has"):
        getattr(keras_private, name)(NoFlatten())


def test_a_mask_is_put_where_it_is_read():
    logits = tf.zeros((2, 3))
    keras_private.set_mask(logits, tf.constant([True, False]))
    np.testing.assert_array_equal(keras_private.mask_of(logits), [True, False])


def test_gradients_are_added_up_once(mirrored_strategy):
    """Without the patch Keras adds them up itself: 2 x 2 of 1 each."""

    def moved(summed):
        with mirrored_strategy.scope():
            variable = keras.Variable(0.0)
            optimizer = keras.optimizers.SGD(1.0)
            optimizer.build([variable])

        def step():
            gradient = tf.constant(1.0)
            if not summed:
                optimizer.apply_gradients([(gradient, variable)])
                return
            with keras_private.summed_already(optimizer):
                optimizer.apply_gradients([(2 * gradient, variable)])

        tf.function(mirrored_strategy.run)(step)
        assert "_all_reduce_sum_gradients" not in vars(optimizer)
        return float(variable.numpy())

    assert moved(summed=False) == moved(summed=True) == -2.0


def test_an_optimizer_without_that_method_is_an_error():
    """Otherwise gradients would be added up twice, in silence."""
    with (
        pytest.raises(RuntimeError, match=r"Optimizer\._all_reduce_sum_grad"),
        keras_private.summed_already(object()),
    ):
        pass


def test_layers_that_share_a_map_of_policies_compute_in_float32():
    policies = keras.dtype_policies.DTypePolicyMap("mixed_bfloat16")
    layers = [keras.layers.Dense(2, dtype=policies) for _ in range(2)]
    layers.append(keras.layers.Dense(2, dtype="float16"))
    x = np.ones((1, 3), "float32")
    dtypes = [layer(x).dtype for layer in layers]
    assert dtypes == [tf.bfloat16, tf.bfloat16, tf.float16]
    with (
        pytest.raises(KeyError),
        keras_private.computing_in_float32(layers[1:]),
    ):
        assert [layer(x).dtype for layer in layers] == [
            tf.bfloat16,
            tf.float32,
            tf.float32,
        ]
        assert layers[2].variable_dtype == "float16"
        raise KeyError
    assert [layer(x).dtype for layer in layers] == dtypes
    assert len(layers[1].dtype_policy) == 0  # none of its own


def test_a_layer_without_a_policy_is_an_error():
    with (
        pytest.raises(RuntimeError, match=r"Layer\._dtype_policy"),
        keras_private.computing_in_float32([object()]),
    ):
        pass


_KERAS_ALONE = """
import keras, numpy as np, tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def fit(rows, **options):
    with strategy.scope():
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)])
        model.compile("sgd", "mse", jit_compile=False, **options)
    model.fit(np.zeros((rows, 5)), np.zeros((rows, 4)), rows, verbose=0)

def said(*args, **options):
    try:
        fit(*args, **options)
    except tf.errors.InvalidArgumentError as error:
        return str(error)
    return "nothing"

fit(4)
assert "AddN" in said(5, metrics=["mae"])
assert "placeholder" in said(8, steps_per_execution=2)
"""


@pytest.mark.slow
def test_what_keras_cannot_do_with_several_replicas():
    """Once Keras can, kdtf's own way is not needed any more.

    Batches that do not divide evenly end in an error of TensorFlow's
    (keras issue 20585), and the loop of many steps likewise. In a process of
    its own, whose collectives are of no use after an error.
    """
    command = [sys.executable, "-c", _KERAS_ALONE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_parts_and_calls_of_models():
    x = keras.Input((3,))
    layer = keras.layers.Dense(3)
    total = layer(layer(x)) + 1.0
    model = keras.Model(x, total)
    sequential = keras.Sequential([keras.Input((3,)), model])
    parts = keras_private.parts_of(model)
    assert parts == [layer, keras_private.maker_of(total)]
    assert keras_private.parts_of(sequential) == [model]
    assert len(keras_private.outputs_within(model, layer)) == 2
    [[output]] = keras_private.outputs_within(sequential, model)
    assert output.shape == (None, 3)
    assert keras_private.outputs_within(sequential, layer) is None
    assert keras_private.outputs_within(keras.layers.GRU(2), layer) is None
    assert keras_private.maker_of(tf.zeros(2)) is None


def test_parts_that_cannot_be_told_are_an_error(monkeypatch):
    monkeypatch.delattr(keras.Layer, "_flatten_layers")
    with pytest.raises(RuntimeError, match=r"_flatten_layers.*no longer has"):
        keras_private.parts_of(keras.layers.GRU(2))


@pytest.mark.parametrize(
    ("mode", "expected"),
    (("full", True), ("activations", False), ("list_of_layers", True)),
)
def test_layers_that_are_recomputed(mode, expected):
    with keras.RematScope(mode, layer_names=["listed"]):
        layer = keras.layers.Dense(3, name="listed")
        other = keras.layers.Dense(3, name="other")
    assert keras_private.is_recomputed(layer) is expected
    assert keras_private.is_recomputed(other) is (mode == "full")
    assert not keras_private.is_recomputed(keras.layers.Dense(3))


def test_the_call_that_gave_an_output():
    inputs = keras.Input((3,), dtype="int32")
    layer = keras.layers.ReversibleEmbedding(5, 2)
    hidden = layer(inputs)
    call = keras_private.call_of(layer(hidden, reverse=True))
    assert call.operation is layer and call.keywords == {"reverse": True}
    assert len(call.inputs) == 1 and call.inputs[0] is hidden


def test_a_call_of_its_own_is_no_graph():
    class Own(keras.Model):
        def call(self, x):
            return x

    class Graph(keras.Sequential):
        pass

    assert not keras_private.runs_as_graph(Own())
    assert keras_private.runs_as_graph(Graph([keras.Input((2,))]))

"""Features are found by path, have a shape, and are seen in one pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import features
from kdtf._training.features import captured, find
from tests import devices


class Block(keras.layers.Layer):
    """A layer made of layers, as those of transformers are."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.map = keras.layers.Dense(width, name="map")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, shape):
        self.map.build(shape)
        self.norm.build((*shape[:-1], self.map.units))

    def call(self, x, training=None):
        return self.norm(self.map(x), training=training)


class Net(keras.Model):
    """A subclass, whose graph nobody knows."""

    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Block(width, name=f"block_{i}") for i in range(2)]
        self.unused = keras.layers.Dense(2, name="unused")
        self.recurrent = keras.layers.GRU(3, name="recurrent")
        self.out = keras.layers.Dense(3, name="out")
        self.calls = 0

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
            shape = (*shape[:-1], block.map.units)
        self.recurrent.build((None, 2, shape[-1] // 2))
        self.out.build((None, 3))
        self.unused.build((None, 3))

    def call(self, x, training=None):
        self.calls += 1
        for block in self.blocks:
            x = block(x, training=training)
        steps = keras.ops.reshape(x, (-1, 2, x.shape[-1] // 2))
        return self.out(self.recurrent(steps))


def net():
    model = Net(name="net")
    model(np.zeros((2, 5), np.float32))
    return model


def backbone():
    """An operation and a layer under the names that another model has, too."""
    x = keras.Input((5,))
    hidden = keras.layers.Dense(4, name="hidden")(x)
    return keras.Model(x, hidden * 2.0, name="backbone")


def nested():
    x = keras.Input((5,))
    z = keras.layers.Dense(5, name="stem")(x)
    z = backbone()(z)
    z = keras.layers.Dense(3, name="hidden")(z)
    shared = keras.layers.Dense(3, name="shared")
    return keras.Model(x, shared(shared(z)), name="nested")


def inputs(rows=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 5)).astype(np.float32)


def capture(model, paths, x, **kwargs):
    with captured(find(model, paths, "student")) as found:
        model(x, **kwargs)
    return found


def test_paths_lead_through_nested_models():
    model = nested()
    found = find(model, ["stem", "backbone/hidden", "hidden"], "student")
    assert [each.path for each in found] == [
        "stem",
        "backbone/hidden",
        "hidden",  # its whole path; not the end of another one
    ]
    assert [each.shape for each in found] == [(None, 5), (None, 4), (None, 3)]
    [product] = [
        each
        for each in model.get_layer("backbone").operations
        if not isinstance(each, keras.Layer)
    ]
    x = inputs()
    outputs = capture(model, ["backbone/hidden", product.name], x)
    hidden = model.get_layer("backbone").get_layer("hidden")
    expected = hidden(model.get_layer("stem")(x))
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-6)
    np.testing.assert_allclose(outputs[1], 2 * expected, rtol=1e-6)


def test_the_last_names_are_enough():
    model = keras.Sequential([keras.Input((5,)), nested()])
    [found] = find(model, ["backbone/hidden"], "teacher")
    assert found.path == "nested/backbone/hidden"
    assert found.shape == (None, 4)


def test_a_subclass_runs_once_and_moves_its_statistics_once():
    model = net()
    x = inputs()
    model.calls = 0
    first = model.blocks[0]
    [feature] = capture(model, ["block_0/map"], x, training=True)
    # One call to find the shape, traced; one on the batch.
    assert model.calls == 2
    np.testing.assert_allclose(feature, first.map(x), rtol=1e-6)
    mean = 0.01 * np.mean(first.map(x), axis=0)
    np.testing.assert_allclose(first.norm.moving_mean, mean, rtol=1e-5)


def test_the_trace_that_finds_a_shape_leaves_nothing_behind():
    model = net()
    model.blocks[0].map.activity_regularizer = keras.regularizers.L2(0.1)
    [feature] = find(model, ["block_1"], "student")
    assert feature.shape == (None, 4) and feature.dtype == "float32"
    assert model.losses == []


@pytest.mark.parametrize("jit_compile", (False, True))
def test_features_of_a_graph_are_differentiated(jit_compile):
    model = nested()
    x = inputs()

    def gradient():
        with tf.GradientTape() as tape:
            [feature] = capture(model, ["stem"], x)
            total = tf.reduce_sum(feature)
        return tape.gradient(total, model.get_layer("stem").kernel.value)

    compiled = tf.function(gradient, jit_compile=jit_compile)
    expected = np.repeat(x.sum(0)[:, None], 5, axis=1)
    np.testing.assert_allclose(compiled(), expected, rtol=1e-5)


def test_a_mask_is_on_the_feature():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None,)),
            layers.Embedding(5, 2, mask_zero=True, name="words"),
            layers.Dense(3, name="hidden"),
        ]
    )
    [feature] = capture(model, ["hidden"], np.array([[1, 2, 0]]))
    mask = kdtf._keras_private.mask_of(feature)
    np.testing.assert_array_equal(mask, [[True, True, False]])


def test_layers_of_a_member_of_an_ensemble():
    members = [net(), nested()]
    teacher = kdtf.Ensemble(members)
    [found] = find(teacher, ["nested/stem"], "teacher")
    with captured([found]) as outputs:
        teacher.member_logits(inputs())
    expected = members[1].get_layer("stem")(inputs())
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"2: 'net_b/map'|one of its paths"):
        find(teacher, ["map"], "teacher")


def refused(model, path, match, argument="student"):
    with pytest.raises(ValueError, match=match):
        find(model, [path], argument)


def test_layers_that_do_not_exist():
    model = nested()
    message = r"similar ones are .*'stem'.*Received: student='stemm'.*'nested'"
    refused(model, "stemm", message)
    refused(model, "backbone/hiden", r"similar ones are 'backbone/hidden'")
    refused(model, "qqqq", r"it has 'stem', 'backbone'")
    refused(model, "qqqq", r"`teacher` of a Hint", argument="teacher")
    refused(model, "idden", "which is no layer")  # not the end of a name
    assert isinstance(model.layers[0], keras.layers.InputLayer)
    refused(model, model.layers[0].name, "which is no layer")


def test_names_that_are_not_one_layers():
    model = net()
    message = r"give one of its paths.*2: 'block_0/map', 'block_1/map'"
    refused(model, "map", message)
    model.blocks[1].name = "block_0"
    refused(model, "block_0", r"names of their own.*has 2: 'block_0'")


def test_layers_that_are_called_more_than_once():
    refused(nested(), "shared", r"called once.*which is called 2 times")
    x = keras.Input((5,))
    part = keras.Sequential([keras.layers.Dense(5, name="within")], name="part")
    twice = keras.Model(x, part(part(x)), name="twice")
    refused(twice, "part/within", "which is called 2 times")

    class Again(Net):
        def call(self, x, training=None):
            self.blocks[0](x)
            return super().call(x)

    again = Again()
    again.build((None, 5))
    refused(again, "block_0/map", "which is called 2 times")


@devices.on_a_cpu
def test_layers_that_do_not_run_or_run_elsewhere():
    model = net()
    refused(model, "unused", r"runs at every step.*did not run")
    refused(model, "recurrent/gru_cell", "loop, a condition")
    with (
        pytest.raises(ValueError, match=r"student='block_0', which did not"),
        captured(find(model, ["block_0"], "student")),
    ):
        pass


def test_a_branch_of_a_condition_is_elsewhere():
    model = nested()

    @tf.function
    def run(x):
        with captured(find(model, ["stem"], "student")) as found:
            tf.cond(
                tf.shape(x)[0] > 2, lambda: model(x), lambda: tf.zeros((0, 3))
            )
        return found

    with pytest.raises(ValueError, match="loop, a condition or a function"):
        run(tf.zeros((3, 5)))


def test_outputs_that_are_not_one_tensor_of_numbers():
    x = keras.Input((4, 3))
    gru = keras.layers.GRU(2, return_state=True, name="gru")
    rounded = keras.layers.Lambda(
        lambda z: tf.cast(z, tf.int32), output_shape=(2,), name="rounded"
    )
    outputs = gru(x)
    mean = keras.ops.mean(outputs[0])
    model = keras.Model(x, [outputs[0], rounded(outputs[1]), mean])
    refused(model, "gru", r"one tensor.*'gru', which gives 2")
    scalar = mean._keras_history.operation.name
    refused(
        model, scalar, r"\[batch, ..., width\].*gives float32 of shape \(\)"
    )
    integers = keras.layers.Embedding(3, 2)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Identity(dtype="int32", name="numbers"),
            integers,
        ]
    )
    refused(model, "numbers", r"gives int32 of shape \(None, 4\)")


def test_what_is_no_built_model():
    refused(lambda x: x, "a", "`teacher` must be a keras.Model", "teacher")
    refused(Net(name="new"), "a", "`student` must be built .*'new'")
    assert find(lambda x: x, [], "teacher") == []


def test_a_model_that_is_recomputed_as_a_whole():
    with keras.RematScope("full"):
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(2, name="hidden")]
        )
    refused(model, "hidden", r"outside of keras.RematScope.*made in a Remat")
    assert find(model, ["hidden"], "teacher")  # which is not differentiated


def test_a_model_that_its_recorded_shape_does_not_run():
    class Sorted(Net):
        def call(self, x, training=None):
            raise KeyError("no such word")

    model = Sorted(name="sorted")
    model.build((None, 5))
    refused(model, "out", r"make a functional model.*'sorted'.*no such word")


def test_many_names_are_shortened():
    assert features._listed(list("abcdefgh")).endswith("'f' and 2 others")

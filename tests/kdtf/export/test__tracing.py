"""_tracing: half precision served in float32, by layers left as they were."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf.export import _tracing
from tests import nets
from tests.exports import serve


def convolutional(dtype):
    """Convolution, batch normalisation and a dense layer."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dense(4, dtype=dtype),
        ]
    )


def recurrent(dtype):
    return keras.Sequential(
        [
            keras.Input((5, 2)),
            keras.layers.Bidirectional(
                keras.layers.GRU(3, dtype=dtype), dtype=dtype
            ),
            keras.layers.Dense(4, dtype=dtype),
        ]
    )


def normalised(dtype):
    """By constants, and by what was seen of data."""
    seen = keras.layers.Normalization(dtype=dtype)
    seen.adapt(nets.inputs()[:, :4] + 0.1)
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Normalization(mean=0.3, variance=0.7, dtype=dtype),
            seen,
            keras.layers.Dense(4, dtype=dtype),
        ]
    )


class Subclass(keras.Model):
    """Whose `call` is code, and which has no `get_config`."""

    def __init__(self, dtype):
        super().__init__(dtype=dtype)
        self.hidden = keras.layers.Dense(8, "relu", dtype=dtype)
        self.last = keras.layers.Dense(4, dtype=dtype)

    def call(self, x):
        return self.last(self.hidden(x))


def inputs(make):
    shape = {convolutional: (6, 6, 2), recurrent: (5, 2)}.get(make, (4,))
    return np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("make", "dtype"),
    (
        (convolutional, "mixed_bfloat16"),
        (convolutional, "float16"),
        (recurrent, "mixed_bfloat16"),
        (normalised, "mixed_bfloat16"),
        (Subclass, "mixed_float16"),
        (Subclass, "bfloat16"),
    ),
)
def test_served_as_the_float32_net_of_the_same_weights(tmp_path, make, dtype):
    x = inputs(make)
    student, exact = make(dtype), make("float32")
    before, _ = student(x), exact(x)
    exact.set_weights(student.get_weights())
    expected = exact(x)
    kdtf.export_student(student, tmp_path / "export")
    served = serve(tmp_path / "export", x=x)["logits"]
    np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(tf.cast(before, tf.float32) - expected).max() > 1e-4
    # The student is what it was.
    after = student(x)
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("dtype", ("float32", None))
def test_a_float32_student_is_exported_as_it_is(tmp_path, dtype):
    """Also one whose own code asks for half precision."""

    def halved(x):
        return tf.cast(tf.nn.relu(tf.cast(x, tf.bfloat16)), tf.float32)

    student = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Lambda(halved),
            keras.layers.Dense(4),
        ]
    )
    x = nets.inputs()
    kdtf.export_student(student, tmp_path / "export", dtype=dtype)
    served = serve(tmp_path / "export", x=x)["logits"]
    np.testing.assert_allclose(served, student(x), rtol=1e-6, atol=1e-7)


class OwnCode(keras.Model):
    def __init__(self):
        super().__init__(dtype="mixed_bfloat16")
        self.dense = keras.layers.Dense(4, dtype="mixed_bfloat16")

    def call(self, x):
        return self.dense(tf.nn.relu(tf.cast(x, tf.bfloat16)))


def test_code_that_asks_for_half_precision(tmp_path):
    student, x = OwnCode(), nets.inputs()
    expected = student(x)
    with pytest.raises(ValueError, match=r"compute in float32.*dtype=None.*Re"):
        kdtf.export_student(student, tmp_path / "export")
    assert student(x).dtype == tf.bfloat16
    kdtf.export_student(student, tmp_path / "export", dtype=None)
    served = serve(tmp_path / "export", x=x)["logits"]
    np.testing.assert_array_equal(served, tf.cast(expected, tf.float32))


def test_an_input_of_half_precision(tmp_path):
    student = keras.Sequential(
        [
            keras.Input((5,), dtype="bfloat16", name="x"),
            keras.layers.Dense(4, dtype="bfloat16"),
        ]
    )
    x = nets.inputs()
    kdtf.export_student(student, tmp_path / "export")
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    signature = loaded.signatures["serving_default"]
    assert signature.structured_input_signature[1]["x"].dtype == tf.float32
    served = signature(x=tf.constant(x))["logits"]
    kernel, bias = (np.asarray(w, np.float64) for w in student.get_weights())
    rounded = np.asarray(tf.cast(tf.cast(x, tf.bfloat16), tf.float32))
    np.testing.assert_allclose(served, rounded @ kernel + bias, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ("int8", "float8"))
@pytest.mark.parametrize("dtype", ("float32", "mixed_bfloat16"))
@pytest.mark.filterwarnings("ignore:Layer InputLayer")
def test_quantised_layers_stay_quantised(tmp_path, mode, dtype):
    student, exact = (nets.linear(dtype=d) for d in (dtype, "float32"))
    for net in (student, exact):
        net.quantize(mode)
    x = nets.inputs()
    kdtf.export_student(student, tmp_path / "export")
    served = serve(tmp_path / "export", x=x)["logits"]
    np.testing.assert_allclose(served, exact(x), rtol=1e-5, atol=1e-6)
    assert student.layers[-1].dtype_policy.name == f"{mode}_from_{dtype}"


def test_weights_of_low_rank_are_added(tmp_path):
    student, x = nets.linear(dtype="mixed_bfloat16"), nets.inputs()
    dense = student.layers[-1]
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.random.default_rng(0).normal(size=(2, 4)))
    a, b, kernel, bias = (
        np.asarray(w, np.float64)
        for w in (
            dense.lora_kernel_a,
            dense.lora_kernel_b,
            dense._kernel,
            dense.bias,
        )
    )
    kdtf.export_student(student, tmp_path / "export")
    served = serve(tmp_path / "export", x=x)["logits"]
    np.testing.assert_allclose(
        served, x @ (kernel + a @ b) + bias, rtol=1e-4, atol=1e-5
    )


class Lookups(keras.layers.Layer):
    """Columns of ids, each with a table of its own."""

    def __init__(self):
        super().__init__()
        self.tables = [
            tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer([1, 2], values), -1.0
            )
            for values in ([10.0, 20.0], [30.0, 40.0])
        ]
        self.names = {0: "first", "rest": None}  # keys that do not sort

    def call(self, x):
        columns = tf.unstack(x, axis=1)
        found = [t.lookup(c) for t, c in zip(self.tables, columns, strict=True)]
        return tf.stack(found, axis=1)


def test_tables_in_a_list(tmp_path):
    student = keras.Sequential(
        [keras.Input((2,), dtype="int32", name="x"), Lookups()]
    )
    kdtf.export_student(student, tmp_path / "export")
    served = serve(tmp_path / "export", x=np.int32([[1, 2], [2, 3]]))["logits"]
    np.testing.assert_array_equal(served, [[10.0, 40.0], [20.0, -1.0]])


def test_recurrent_layers_are_as_they_were_afterwards():
    layers = keras.layers
    loop, chain, own = (
        layers.LSTM(3),
        layers.GRU(3, unroll=True),
        layers.RNN(layers.SimpleRNNCell(3)),
    )
    student = keras.Sequential(
        [
            keras.Input((5, 2)),
            layers.Bidirectional(layers.GRU(2, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(2)),
            layers.RNN(layers.SimpleRNNCell(3), return_sequences=True),
            loop,
            layers.RepeatVector(5),
            chain,
            layers.RepeatVector(5),
            own,
        ]
    )
    with _tracing.for_devices(student, unroll=True):
        assert all(layer.unroll for layer in (loop, chain, own))
        assert not loop.use_cudnn and not chain.use_cudnn
        assert student.layers[0].forward_layer.unroll
    assert [layer.unroll for layer in (loop, chain, own)] == [
        False,
        True,
        False,
    ]
    assert loop.use_cudnn == "auto"
    assert not student.layers[0].forward_layer.unroll
    with _tracing.for_devices(student, unroll=False):
        assert not loop.unroll and chain.unroll
        assert not loop.use_cudnn

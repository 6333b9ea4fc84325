"""kdtf._training.first_shapes: students without `keras.Input`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import first_shapes, multi_step
from tests import devices, nets

LAYERS = keras.layers
NORMAL = keras.initializers.RandomNormal


def student(*before):
    return keras.Sequential(
        [
            *before,
            LAYERS.Dense(3, "relu", kernel_initializer=NORMAL(seed=1)),
            LAYERS.Dense(nets.CLASSES, kernel_initializer=NORMAL(seed=2)),
        ]
    )


def distiller_of(net, **compiled):
    distiller = kdtf.Distiller(net, nets.linear(7), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.1), **compiled)
    return distiller


def dataset():
    data = (nets.inputs(), nets.labels())
    return tf.data.Dataset.from_tensor_slices(data).batch(4)


WAYS = {
    "arrays": lambda d: d.fit(
        nets.inputs(), nets.labels(), batch_size=4, shuffle=False, verbose=0
    ),
    "tensors": lambda d: d.fit(
        tf.constant(nets.inputs()),
        tf.constant(nets.labels()),
        batch_size=4,
        shuffle=False,
        verbose=0,
    ),
    "data set": lambda d: d.fit(dataset(), verbose=0),
}


@devices.on_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_it_trains_as_one_whose_shape_was_given(way):
    built = distiller_of(student(keras.Input(nets.inputs().shape[1:])))
    waiting = distiller_of(student())
    assert built.jit_compile and not waiting.jit_compile
    for distiller in (built, waiting):
        WAYS[way](distiller)
        assert distiller.jit_compile
        assert multi_step.applies(distiller)
    assert waiting.student.input_shape == built.student.input_shape
    for ours, theirs in zip(
        nets.values(waiting.student), nets.values(built.student), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_evaluated_first_it_trains_as_one_whose_shape_was_given():
    distiller = distiller_of(student())
    before = distiller.evaluate(dataset(), verbose=0, return_dict=True)
    assert distiller.jit_compile
    WAYS["data set"](distiller)
    after = distiller.evaluate(dataset(), verbose=0, return_dict=True)
    assert after["loss"] < before["loss"]


def test_what_compile_was_told_stays():
    distiller = distiller_of(student(), jit_compile=False)
    WAYS["arrays"](distiller)
    assert not distiller.jit_compile


@devices.on_a_cpu
def test_a_net_that_xla_does_not_make_faster():
    distiller = distiller_of(student(LAYERS.GaussianNoise(0.1)))
    WAYS["arrays"](distiller)
    assert not distiller.jit_compile


@pytest.mark.slow
class KnowsItsBatch(LAYERS.Layer):
    """What Keras builds by a batch need not be able to do without its size."""

    def call(self, x):
        return tf.reshape(x, (int(x.shape[0]), -1))


@pytest.mark.parametrize(
    "first, x",
    (
        (KnowsItsBatch(), nets.inputs()),
        (LAYERS.GRU(3, stateful=True), nets.inputs()[..., None]),
    ),
)
def test_layers_that_must_know_the_size_of_a_batch(first, x):
    logits = np.zeros((len(x), nets.CLASSES), np.float32)
    distiller = kdtf.Distiller(student(first), temperature=2.0)
    distiller.compile("sgd", run_eagerly=True)
    distiller.fit(x, {"teacher_logits": logits}, batch_size=4, verbose=0)
    assert distiller.student.built and not distiller.jit_compile


@devices.on_a_cpu
def test_where_the_data_do_not_tell_it_all_calls_of_fit_are_alike():
    def batches():
        while True:
            yield nets.inputs(), nets.labels()

    distiller = distiller_of(student())
    distiller.fit(batches(), steps_per_epoch=2, verbose=0)
    assert distiller.student.built and not distiller.jit_compile
    WAYS["arrays"](distiller)
    assert not distiller.jit_compile


class Table:
    """An array of another package, as a pandas DataFrame shows itself."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def __getitem__(self, rows):
        return Table(self.values[rows])

    def __array__(self, dtype=None, copy=None):
        return self.values


class OwnCall(keras.Sequential):
    """It may do anything with its input."""


@pytest.mark.parametrize(
    "net, x",
    (
        (student, {"a": nets.inputs()}),
        (student, [nets.inputs()]),
        (student, nets.inputs().tolist()),
        (student, np.array([["a", "b"]])),
        (student, Table([["a", "b"]])),
        (student, np.float32(3)),
        (student, None),
        (student, tf.data.Dataset.from_tensors({"x": nets.inputs()})),
        (student, tf.data.Dataset.from_tensors([["a"]])),
        (
            student,
            tf.data.Dataset.from_generator(
                list,
                output_signature=tf.TensorSpec((None, None), tf.float32),
            ),
        ),
        (
            student,
            tf.data.Dataset.from_generator(
                list, output_signature=tf.TensorSpec(None, tf.float32)
            ),
        ),
        (OwnCall, nets.inputs()),
    ),
)
def test_what_tells_no_shape(net, x):
    net = net()
    first_shapes.build(net, x)
    assert not net.built


@pytest.mark.parametrize(
    "x",
    (
        nets.inputs(),
        tf.constant(nets.inputs()),
        Table(nets.inputs()),
        tf.data.Dataset.from_tensors(nets.inputs()),
        tf.data.Dataset.from_tensors((nets.inputs(), nets.labels())),
    ),
)
def test_the_shape_is_that_of_an_example(x):
    net = student()
    first_shapes.build(net, x)
    assert net.input_shape == (None, *nets.inputs().shape[1:])

"""Specialists that begin as copies, for generalists of every kind."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf import specialists
from tests import nets
from tests.kdtf.specialists import generalists

OWN = [4, 1, 6]
OTHERS = [0, 2, 3, 5]


@functools.cache
def made(kind):
    """A generalist, its values before, inputs, its logits, a specialist."""
    generalist, x = generalists.of_kind(kind)
    before = nets.values(generalist)
    z = np.asarray(tf.cast(generalist(x, training=False), tf.float64))
    return generalist, before, x, z, specialists.specialist_of(generalist, OWN)


def bias_of(generalist):
    """`[classes]` float64, the last weight of that shape, or 0."""
    found = [w for w in generalist.weights if w.shape == (generalists.CLASSES,)]
    return np.float64(found[-1]) if found else np.zeros(generalists.CLASSES)


def tolerance(z):
    """bfloat16 keeps 8 bits."""
    return 0.05 * np.abs(z).max()


@pytest.mark.parametrize("kind", generalists.ALL)
def test_own_logits_are_the_generalists(kind):
    _, _, x, z, specialist = made(kind)
    logits = tf.cast(specialist(x), tf.float64)
    assert logits.shape == (len(z), 4)
    np.testing.assert_array_equal(logits[:, :3], z[:, OWN])
    assert specialist.classes == OWN and specialist.num_classes == 7
    assert specialist.output_shape == (None, 4)


@pytest.mark.parametrize("kind", generalists.ALL)
def test_the_dustbin_is_the_tangent_of_the_log_sum_exp(kind):
    """At features of 0, where the others' logits are their biases b.

    With z = b + W h: logsumexp(b) + softmax(b) (z - b).
    """
    generalist, _, x, z, specialist = made(kind)
    b, z = bias_of(generalist)[OTHERS], z[:, OTHERS]
    total = np.log(np.exp(b).sum())
    expected = total + (z - b) @ np.exp(b - total)
    half = "16" in kind or kind == "images"
    np.testing.assert_allclose(
        tf.cast(specialist(x)[:, 3], tf.float64),
        expected,
        atol=tolerance(z) if half else 1e-5,
    )
    # The log-sum-exp is convex: its tangent is below.
    slack = tolerance(z) if half else 1e-5
    assert (expected <= np.log(np.exp(z).sum(-1)) + slack).all()


@pytest.mark.parametrize("kind", generalists.ALL)
def test_the_generalist_is_left_alone(kind):
    generalist, before, _, _, specialist = made(kind)
    theirs = {id(v) for v in generalist.variables}
    assert not theirs & {id(v) for v in specialist.variables}
    own = nets.values(specialist)
    for variable in specialist.trainable_weights:
        variable.assign(variable + 1)
    for old, new in zip(before, nets.values(generalist), strict=True):
        np.testing.assert_array_equal(old, new)
    # Subtracting again would round: other tests share the specialist.
    for variable, value in zip(specialist.weights, own, strict=True):
        variable.assign(value)
    assert specialist.trainable_weights and not specialist.compiled


@pytest.mark.parametrize("kind", ["Sequential", "nested", "no bias", "words"])
def test_full_softmax_has_all_classes(kind):
    generalist, x = generalists.of_kind(kind)
    specialist = specialists.specialist_of(generalist, OWN, full_softmax=True)
    z = np.float64(generalist(x))
    np.testing.assert_array_equal(specialist(x), z)
    logits = np.float64(specialist.corrected_logits(x))
    np.testing.assert_array_equal(logits[:, :3], z[:, OWN])
    total = np.log(np.exp(z[:, OTHERS]).sum(-1))
    np.testing.assert_allclose(logits[:, 3], total, atol=1e-6)


def test_frozen_layers_stay_frozen_but_for_the_last():
    generalist = generalists.sequential()
    generalist.trainable = False
    specialist = specialists.specialist_of(generalist, OWN)
    assert [len(w.shape) for w in specialist.trainable_weights] == [2, 1]
    assert [w.shape[-1] for w in specialist.trainable_weights] == [4, 4]


def test_regularisers_and_names_are_kept():
    generalist, _ = generalists.of_kind("no bias")
    specialist = specialists.specialist_of(generalist, OWN, name="letters")
    assert specialist.name == "letters"
    kernel = np.float64(specialist.net.layers[-1].kernel)
    np.testing.assert_allclose(
        specialist.losses, [0.01 * (kernel**2).sum()], rtol=1e-5
    )


def test_dropout_draws_when_it_trains():
    generalist, x = generalists.of_kind("images")
    specialist = specialists.specialist_of(generalist, OWN)
    assert not np.array_equal(specialist(x, training=True), specialist(x))
    np.testing.assert_array_equal(specialist(x), specialist(x))


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(7)

    def call(self, inputs):
        return self.dense(inputs)


class OfTheUsers(keras.layers.Layer):
    """Its configuration does not tell `width`."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def call(self, inputs):
        return inputs * self.width


def model_of(*layers, shape=(5,)):
    return keras.Sequential([keras.Input(shape), *layers])


def head_used_twice():
    given, head = keras.Input((7,)), keras.layers.Dense(7)
    return keras.Model(given, head(head(given)))


def two_outputs():
    given = keras.Input((5,))
    return keras.Model(given, [keras.layers.Dense(7)(given) for _ in "ab"])


def called(model):
    model(np.ones((1, 5), "float32"))
    return model


def quantized():
    model = model_of(keras.layers.Dense(7))
    model.layers[0].quantize("int8")
    return model


BAD = {
    "no model": (lambda: "net", "be a keras.Model that"),
    "layer": (lambda: keras.layers.Dense(7), "be a keras.Model that"),
    "unbuilt": (
        lambda: keras.Sequential([keras.layers.Dense(7)]),
        "be a keras.Model that is built",
    ),
    "subclass": (lambda: called(Subclass()), "build the specialist's net your"),
    "relu": (lambda: model_of(keras.layers.Dense(7, "relu")), "without activ"),
    "relu after": (
        lambda: model_of(keras.layers.Dense(7), keras.layers.ReLU()),
        "without activation",
    ),
    "softmax": (
        lambda: model_of(keras.layers.Dense(7, "softmax")),
        r"kdtf\.logits_of\(generalist\)",
    ),
    "softmax after": (
        lambda: model_of(keras.layers.Dense(7), keras.layers.Softmax()),
        r"kdtf\.logits_of\(generalist\)",
    ),
    "head used twice": (head_used_twice, "one keras.layers.Dense"),
    "two outputs": (two_outputs, "one output|one keras.layers.Dense"),
    "frames": (
        lambda: model_of(keras.layers.Dense(7), shape=(3, 5)),
        r"\[batch, classes\]",
    ),
    "one class": (lambda: model_of(keras.layers.Dense(1)), "two or more"),
    "quantized": (quantized, "before it was quantized"),
    "layer of the user's": (
        lambda: model_of(OfTheUsers(2.0), keras.layers.Dense(7)),
        "get_config",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_generalist_that_cannot_be_copied(name):
    make, rule = BAD[name]
    with pytest.raises(ValueError, match=f"`generalist` must.*{rule}"):
        specialists.specialist_of(make(), [0])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("classes", c) for c in ([], [7], [-1], [1, 1], range(7), None, "1")),
        ("full_softmax", 1),
        ("full_softmax", None),
    ],
)
def test_bad_arguments(argument, value):
    given = {"classes": [1], argument: value}
    with pytest.raises(ValueError, match=f"`{argument}` must.*Received"):
        specialists.specialist_of(generalists.sequential(), **given)


@pytest.mark.parametrize("full_softmax", (False, True))
def test_initial_values_of_all_classes_do_not_matter(full_softmax):
    """Such as log-frequencies of the classes: a specialist has others."""
    shares = np.arange(1, 8) / 28
    initial = keras.initializers.Constant(np.log(shares))
    generalist = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(7, bias_initializer=initial)]
    )
    specialist = specialists.specialist_of(
        generalist, OWN, full_softmax=full_softmax
    )
    biases = np.float64(specialist.net.layers[-1].bias)
    if not full_softmax:
        others = np.delete(shares, OWN).sum()
        shares = np.append(shares[OWN], others)
    np.testing.assert_allclose(biases, np.log(shares), rtol=1e-6)

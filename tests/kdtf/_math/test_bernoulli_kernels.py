"""The losses of a sigmoid head against float64 numpy and their limits."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf import losses
from tests import reference
from tests.running import (
    MODES,
    as_float64,
    assert_close,
    random_logits,
    value_and_gradient,
)

TEMPERATURES = (0.5, 1.0, 4.0, 20.0, 1000.0)
SCALES = (0.1, 1.0, 100.0, 1e4)
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


def soft_loss(z, v, temperature):
    return losses.soft_loss(z, v, temperature=temperature, head="sigmoid")


def hard_loss(z, labels):
    return losses.hard_loss(z, labels, head="sigmoid")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", SCALES)
def test_soft_loss_and_gradient(mode, dtype, scale):
    z = random_logits(0, scale=scale, dtype=dtype)
    v = random_logits(1, scale=scale, dtype=dtype)
    z64, v64 = as_float64(z), as_float64(v)
    labels = z.shape[-1]
    for temperature in TEMPERATURES:
        value, gradient = value_and_gradient(soft_loss, mode, z, v, temperature)
        expected = reference.binary_soft_loss(z64, v64, temperature).mean(-1)
        assert value.dtype == np.float32
        assert_close(value, expected, 1e-5)
        expected = reference.binary_soft_gradient(z64, v64, temperature)
        # Subnormal in float16, which rounds to 6e-8 there.
        tiny = np.abs(expected / labels).max() < 3e-5
        if not (dtype == "float16" and tiny):
            assert_close(gradient, expected / labels, TOLERANCE[dtype])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("offset", (0.0, -12.0, 12.0))
def test_students_close_to_their_teacher(mode, offset):
    """At KL near 1e-11, and where p or 1 - p is tiny, no digits are lost."""
    v = random_logits(2, (50, 1)) + offset
    z = v + random_logits(3, (50, 1), scale=0.01)
    z64, v64 = as_float64(z), as_float64(v)
    for temperature in (1.0, 1000.0):
        value, gradient = value_and_gradient(soft_loss, mode, z, v, temperature)
        # p (1 - p) gap^2 / 2, up to the third order in the gap.
        p = reference.sigmoid(v64, temperature)
        q = reference.sigmoid(-v64, temperature)
        leading = p * q * np.square((z64 - v64) / temperature) / 2
        np.testing.assert_allclose(value, leading[:, 0], rtol=2e-2)
        expected = reference.binary_soft_gradient(z64, v64, temperature)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_agreement_gives_zero(mode):
    v = random_logits(4, scale=30.0)
    value, gradient = value_and_gradient(soft_loss, mode, v, v, 3.0)
    assert (value == 0).all() and (gradient == 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", SCALES)
def test_hard_loss_and_gradient(mode, dtype, scale):
    z = random_logits(5, scale=scale, dtype=dtype)
    rng = np.random.default_rng(6)
    labels = rng.choice([0.0, 1.0, 0.3, -1.0], size=z.shape)
    labels[2] = -1.0
    value, gradient = value_and_gradient(hard_loss, mode, z, labels)
    z64, y = as_float64(z), labels.astype(np.float32).astype(np.float64)
    assert_close(value, reference.binary_hard_loss(z64, y).mean(-1), 1e-6)
    expected = reference.binary_hard_gradient(z64, y) / z.shape[-1]
    assert_close(gradient, expected, TOLERANCE[dtype])
    assert value[2] == 0 and (gradient[labels < 0] == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_infinite_logits(mode):
    """A teacher that excludes an outcome; losses as their limits."""
    v = tf.constant([[np.inf, -np.inf, -np.inf, np.inf]])
    z = tf.constant([[np.inf, -np.inf, 0.0, 0.0]])
    value, gradient = value_and_gradient(soft_loss, mode, z, v, 1.0)
    np.testing.assert_allclose(value, [2 * np.log(2) / 4], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0, 0, 0.125, -0.125]], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_labels_that_are_none_and_infinite_logits_of_a_student(mode):
    z = tf.constant([[0.5], [0.5], [-np.inf], [np.inf]])
    y = np.array([[5.0], [np.nan], [0.0], [1.0]])
    value, _ = value_and_gradient(hard_loss, mode, z, y)
    assert np.isnan(value[:2]).all() and (value[2:] == 0).all()


def test_one_label_is_a_softmax_over_two_classes():
    z, v = random_logits(7, (20, 1)), random_logits(8, (20, 1))
    y = np.random.default_rng(9).integers(-1, 2, 20)
    pairs = [tf.concat([t * 0.0, t], -1) for t in (z, v)]
    arguments = {"temperature": 2.5, "soft_weight": 0.6, "hard_weight": 0.3}
    np.testing.assert_allclose(
        losses.distillation_loss(z, v, y, head="sigmoid", **arguments),
        losses.distillation_loss(*pairs, y, **arguments),
        rtol=1e-5,
        atol=1e-7,
    )


def test_second_and_third_derivatives():
    """By finite differences of the first, in float64."""
    z = tf.constant(np.random.default_rng(10).normal(size=(3, 4)))
    v = tf.constant(np.random.default_rng(11).normal(size=(3, 4)))
    y = np.array([[0.0, 1.0, -1.0, 0.4]] * 3)

    def loss(z):
        return losses.distillation_loss(
            z,
            v,
            y,
            temperature=1.7,
            soft_weight=0.6,
            hard_weight=0.4,
            head="sigmoid",
        )

    def derivative(function):
        def derived(z):
            with tf.GradientTape() as tape:
                tape.watch(z)
                value = tf.reduce_sum(function(z))
            return tape.gradient(value, z)

        return derived

    # Elementwise: the gradient of the sum of a gradient is its diagonal.
    function = loss
    for tolerance in (1e-7, 1e-6, 1e-5):
        step = 1e-5
        change = function(z + step) - function(z - step)
        analytic = derivative(function)(z)
        if function is loss:
            analytic = tf.reduce_sum(analytic, -1)
        np.testing.assert_allclose(
            analytic, change / (2 * step), atol=tolerance
        )
        function = derivative(function)


def test_no_gradient_to_teacher_and_labels():
    z, v, y = (random_logits(seed) for seed in (12, 13, 14))
    with tf.GradientTape() as tape:
        tape.watch([v, y])
        value = soft_loss(z, v, 2.0) + hard_loss(z, y)
    assert tape.gradient(value, [v, y]) == [None, None]


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_of_a_student_that_is_sure_and_right(mode):
    """q - y would be 0 or noise where 1 - q is 1e-9."""
    z = tf.constant([[20.0, -20.0]])
    _, gradient = value_and_gradient(hard_loss, mode, z, np.array([[1.0, 0.0]]))
    expected = np.array([[-1.0, 1.0]]) * reference.sigmoid(-20.0) / 2
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)

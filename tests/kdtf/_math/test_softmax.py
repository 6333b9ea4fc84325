"""kdtf._math.softmax against float64 numpy."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf._math import softmax
from tests import reference


@pytest.mark.parametrize("temperature", (0.5, 1.0, 20.0, 1000.0))
@pytest.mark.parametrize("scale", (1e-3, 1.0, 1e4))
@pytest.mark.parametrize("jit_compile", (False, True))
def test_tempered_log_softmax(temperature, scale, jit_compile):
    z = np.random.default_rng(0).normal(size=(4, 7)).astype("f") * scale
    function = tf.function(
        softmax.tempered_log_softmax, jit_compile=jit_compile
    )
    actual = function(z, temperature)
    expected = reference.log_softmax(z, temperature)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-6)


def test_half_precision_becomes_float32_and_float64_stays():
    for dtype, expected in (
        (tf.float16, tf.float32),
        (tf.bfloat16, tf.float32),
        (tf.float32, tf.float32),
        (tf.float64, tf.float64),
    ):
        values = tf.ones((2,), dtype)
        assert softmax.at_least_float32(values).dtype == expected


def test_log_weighted_mean_exp():
    logs = np.log(np.random.default_rng(1).uniform(0.1, 1, (3, 4, 5)))
    weights = [0.2, 0.3, 0.5]
    actual = softmax.log_weighted_mean_exp(list(logs), weights)
    expected = np.log(np.average(np.exp(logs), axis=0, weights=weights))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_log_weighted_mean_exp_far_below_underflow():
    logs = [tf.constant([-1e4, -np.inf]), tf.constant([-1e4, -np.inf])]
    actual = softmax.log_weighted_mean_exp(logs, [0.5, 0.5])
    np.testing.assert_array_equal(actual, [-1e4, -np.inf])

"""kdtf._math.softmax against float64 numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf._math import softmax
from tests import nets, reference


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


@pytest.mark.parametrize("shape", ((2,), (2, 1), (2, 3), (2, 3, 1)))
def test_sample_weights_line_up_with_frames(shape):
    given = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    actual = softmax.entry_weights(tf.zeros((2, 3, 4)), given)
    per_frame = given.reshape(2, -1)
    np.testing.assert_array_equal(actual, np.broadcast_to(per_frame, (2, 3)))


def test_no_weights_and_no_mask_weigh_nothing():
    assert softmax.entry_weights(tf.zeros((2, 4)), None) is None


def test_too_many_axes_of_weights():
    with pytest.raises(ValueError, match=r"`sample_weight`.*at most 1 axes"):
        softmax.entry_weights(tf.zeros((2, 4)), np.ones((2, 3)))


def test_mean_over_entries_counts_all_but_the_masked():
    values = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    weights = tf.constant([[1.0, 0.0], [2.0, 1.0]])
    logits = tf.zeros((2, 2, 3))
    # (1 + 6 + 4) / 4: an entry of weight 0 counts, as in Keras.
    assert float(softmax.mean_over_entries(values, weights, logits)) == 2.75
    assert float(softmax.mean_over_entries(values, None, logits)) == 2.5
    x = np.ones((2, 2, 3), np.float32)
    x[1, 1] = 0
    masked = keras.layers.Masking()(x)
    weights = softmax.entry_weights(masked, None)
    np.testing.assert_array_equal(weights, [[1, 1], [1, 0]])
    # (1 + 2 + 3) / 3 valid entries.
    assert float(softmax.mean_over_entries(values, weights, masked)) == 2.0


def test_mean_over_no_entries_is_0():
    empty = tf.zeros((0,)), None, tf.zeros((0, 4))
    assert float(softmax.mean_over_entries(*empty)) == 0.0


def test_class_count():
    assert softmax.class_count(nets.linear()) == 4
    assert softmax.class_count(lambda x: x) is None
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    assert softmax.class_count(unbuilt) is None

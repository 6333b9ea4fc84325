"""What layers return is seen, and nothing of the looking stays."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf._training.observing import observed


def layer_and_model():
    layer = keras.layers.Dense(2, name="hidden")
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.ReLU()])
    return layer, model


def test_all_calls_are_seen_and_vars_are_as_before():
    layer, model = layer_and_model()
    before = dict(vars(layer))
    x = np.ones((1, 3), np.float32)
    with observed([layer, layer]) as calls:
        model(x)
        model(2 * x)
    assert vars(layer) == before
    expected = [layer(x), layer(2 * x)]
    np.testing.assert_array_equal(calls[id(layer)], expected)
    model(x)
    assert len(calls[id(layer)]) == 2


def test_vars_are_as_before_after_an_error():
    layer, model = layer_and_model()
    before = dict(vars(layer))
    with pytest.raises(ValueError), observed([layer]):
        model(np.ones((1, 4), np.float32))
    assert vars(layer) == before


def test_a_call_that_is_an_attribute_already_is_put_back():
    layer, model = layer_and_model()
    vars(layer)["call"] = own = lambda x: 2.0 * x
    with observed([layer]) as calls:
        model(np.ones((1, 3), np.float32))
    assert vars(layer)["call"] is own
    np.testing.assert_array_equal(calls[id(layer)], np.full((1, 1, 3), 2.0))


def test_contexts_within_each_other_both_see():
    layer, model = layer_and_model()
    with observed([layer]) as outer:
        with observed([layer]) as inner:
            model(np.ones((1, 3), np.float32))
        model(np.ones((1, 3), np.float32))
    assert (len(outer[id(layer)]), len(inner[id(layer)])) == (2, 1)
    assert "call" not in vars(layer)


def test_threads_that_take_turns_see_their_own_calls():
    """As replicas do, the first of which leaves while the second one is in."""
    layer, model = layer_and_model()
    model(np.zeros((1, 3), np.float32))
    turns = [threading.Event() for _ in range(2)]
    seen = {}

    def first():
        with observed([layer]) as calls:
            turns[0].set()
            turns[1].wait(10)
            model(np.ones((1, 3), np.float32))
        seen["first"] = len(calls[id(layer)])

    def second():
        turns[0].wait(10)
        with observed([layer]) as calls:
            turns[1].set()
            threads[0].join(10)
            model(np.ones((1, 3), np.float32))
            model(np.ones((1, 3), np.float32))
        seen["second"] = len(calls[id(layer)])

    threads = [threading.Thread(target=each) for each in (first, second)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert seen == {"first": 1, "second": 2}
    assert "call" not in vars(layer)


def test_what_a_recomputed_layer_gives_is_differentiated():
    """Within a recomputed layer no tape records."""
    with keras.RematScope("full"):
        layer = keras.layers.Dense(2, "relu", name="hidden")
    model = keras.Sequential([keras.Input((3,)), layer])
    with tf.GradientTape() as tape:
        with observed([layer]) as calls:
            model(np.ones((4, 3), np.float32))
        [output] = calls[id(layer)]
        total = tf.reduce_sum(output)
    gradient = tape.gradient(total, layer.kernel.value)
    positive = np.array(output) > 0
    np.testing.assert_allclose(gradient, np.ones((3, 4)) @ positive)


def test_a_quantized_layer_is_seen():
    layer, model = layer_and_model()
    model.quantize("int8")
    with observed([layer]) as calls:
        model(np.ones((1, 3), np.float32))
    assert len(calls[id(layer)]) == 1

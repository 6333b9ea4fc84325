"""kdtf._training.gradient_registry: graphs go, their gradients are right."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

import kdtf
from kdtf._training import compile_policy, gradient_registry
from tests import nets


@tf.custom_gradient
def tripled(x):
    """3 x, with a gradient that only its own function can give."""
    return 3 * x, lambda upstream: 7 * upstream


def make_traced():
    """A function of two such operations, and a weak reference to its graph."""
    twice = gradient_registry.held_by_graph(lambda x: tripled(tripled(x)))
    traced = tf.function(twice, autograph=False).get_concrete_function(
        tf.TensorSpec([2])
    )
    return traced, weakref.ref(traced.graph)


def test_a_graph_goes_with_its_function():
    before = set(ops.gradient_registry.list())
    traced, graph = make_traced()
    assert len(set(ops.gradient_registry.list()) - before) == 2
    gc.collect()
    assert graph() is not None
    del traced
    gc.collect()
    assert graph() is None
    assert set(ops.gradient_registry.list()) <= before


def check_gradient(traced):
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = traced(x)
    np.testing.assert_array_equal(y, [9, 18])
    np.testing.assert_array_equal(tape.gradient(y, x), [49, 49])


def test_gradients_of_a_traced_function():
    traced, _ = make_traced()
    gc.collect()
    check_gradient(traced)


def test_gradients_through_a_loop():
    step = gradient_registry.held_by_graph(tripled)

    @tf.function(autograph=False)
    def looped(x):
        return tf.while_loop(
            lambda i, _: i < 2,
            lambda i, x: (i + 1, step(x)),
            (0, x),
            maximum_iterations=2,
        )[1]

    check_gradient(looped)


def test_without_that_registry_all_is_as_it_was(monkeypatch):
    class Other:
        """One that knows as much, and keeps it elsewhere."""

        register = ops.gradient_registry.register
        lookup = ops.gradient_registry.lookup

    monkeypatch.setattr(ops, "gradient_registry", Other())
    traced, _ = make_traced()
    check_gradient(traced)


def train(jit_compile, **kwargs):
    """Trains a student, whose activations have gradients of their own too."""
    student, teacher = (nets.linear(activation="swish") for _ in range(2))
    distiller = kdtf.Distiller(student, teacher, temperature=2.0)
    distiller.compile("adam", jit_compile=jit_compile, **kwargs)
    x = np.ones((8, nets.FEATURES), np.float32)
    y = np.zeros(8, int)
    distiller.fit(x, y, validation_data=(x, y), batch_size=2, verbose=0)
    assert distiller.train_function is not None


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
def test_nothing_of_a_distiller_is_left(jit_compile, steps):
    if compile_policy.on_gpu():  # a loss that is traced once for all models
        train(jit_compile, steps_per_execution=steps)
    gc.collect()
    before = set(ops.gradient_registry.list())
    train(jit_compile, steps_per_execution=steps)
    gc.collect()
    assert set(ops.gradient_registry.list()) <= before

"""Runs functions of logits eagerly, as graphs and under XLA."""

import numpy as np
import pytest
import tensorflow as tf

MODES = ("eager", "graph", "xla")
# For tests that take XLA seconds to compile.
SLOW_MODES = (
    "eager",
    "graph",
    pytest.param("xla", marks=pytest.mark.slow),
)


def run(function, mode, *args):
    """`function` of tensors: eager, as a graph, or compiled by XLA."""
    if mode == "eager":
        return function(*args)
    return tf.function(function, jit_compile=mode == "xla")(*args)


def value_and_gradient(function, mode, logits):
    """A loss `[...]` and the gradient of its sum by the logits."""

    def both(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(logits)
        return value, tape.gradient(value, logits)

    value, gradient = run(both, mode, logits)
    return value.numpy(), tf.cast(gradient, tf.float64).numpy()


def random_logits(seed, shape=(6, 10), scale=3.0, dtype="float32"):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return tf.cast(values, dtype)


def as_float64(tensor):
    return tf.cast(tensor, tf.float64).numpy()


def assert_close(actual, expected, tolerance):
    """Equal to `tolerance` of the largest magnitude that is expected."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)

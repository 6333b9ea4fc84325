"""Runs functions of logits eagerly, as graphs and under XLA."""

import functools

import numpy as np
import tensorflow as tf

MODES = ("eager", "graph", "xla")


def run(function, mode, *args):
    """`function` of tensors: eager, as a graph, or compiled by XLA.

    Compiling takes seconds, so a function that comes again is not compiled
    again for other values: give what varies in `args`, not in a closure.
    """
    if mode == "eager":
        return function(*args)
    return _compiled(function, mode)(
        *tf.nest.map_structure(tf.convert_to_tensor, args)
    )


@functools.lru_cache(maxsize=16)
def _compiled(function, mode):
    return tf.function(function, jit_compile=mode == "xla")


def value_and_gradient(function, mode, logits, *others):
    """A loss `[...]` and the gradient of its sum by the logits."""
    value, gradient = run(_with_gradient(function), mode, logits, *others)
    return value.numpy(), tf.cast(gradient, tf.float64).numpy()


@functools.lru_cache(maxsize=16)
def _with_gradient(function):
    def both(logits, *others):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(logits, *others)
        return value, tape.gradient(value, logits)

    return both


def random_logits(seed, shape=(6, 10), scale=3.0, dtype="float32"):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return tf.cast(values, dtype)


def as_float64(tensor):
    return tf.cast(tensor, tf.float64).numpy()


def assert_close(actual, expected, tolerance):
    """Equal to `tolerance` of the largest magnitude that is expected."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)

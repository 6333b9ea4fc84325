"""Graphs that go once nobody needs them, whatever gradients are in them.

TensorFlow registers the gradient of every `tf.custom_gradient` that it traces
until the process ends, and with it the whole graph: tens of MB for each model
that was trained and dropped (github.com/tensorflow/tensorflow/issues/97697).
There are such gradients in the losses of kdtf, in some activations, and in
every optimizer of Keras.
"""

import functools
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops


def held_by_graph(function):
    """A function in whose trace the graph holds the gradients, not TensorFlow.

    Args:
      function: that is called, in the end, by a `tf.function`.

    Returns:
      The function of the same arguments.
    """

    @functools.wraps(function)
    def call(*arguments, **keywords):
        found = function(*arguments, **keywords)
        if not tf.executing_eagerly():
            for op in tf.compat.v1.get_default_graph().get_operations():
                if op.type == "IdentityN":  # as each of them ends
                    _let_graph_hold(op)
        return found

    return call


class _Gradient:
    """A gradient, as the graph that it belongs to holds it."""

    def __init__(self, function):
        self.function = function


def _let_graph_hold(op):
    """Has the registry hold the gradient of an operation no longer.

    The registry has no public name. Where it is not what is expected here, all
    stays as TensorFlow left it.
    """
    registered = getattr(ops.gradient_registry, "_registry", {})
    name = op.node_def.attr["_gradient_op_type"].s.decode()
    held = getattr(op.graph, "_kdtf_gradients", {})
    if name in held or "type" not in registered.get(name, {}):
        return
    gradient = _Gradient(registered[name]["type"])
    weakly = weakref.ref(gradient)
    registered[name]["type"] = lambda *operands: weakly().function(*operands)
    op.graph._kdtf_gradients = {**held, name: gradient}
    weakref.finalize(gradient, registered.pop, name, None).atexit = False

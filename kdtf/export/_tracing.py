"""A student as a program of TensorFlow, and what it is made to do in it.

While it is traced, layers of the student compute in another precision, or
unroll their loop. They are the student's own layers, and are as they were
afterwards: so it works for subclasses of `keras.Model` too, and copies no
weight.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private

_HALVES = ("float16", "bfloat16")
_TABLES = (
    tf.lookup.StaticHashTable,
    tf.lookup.StaticVocabularyTable,
    tf.lookup.experimental.DenseHashTable,
    tf.lookup.experimental.MutableHashTable,
)


def traced(serve: Callable[[Any], Any], specs: Any) -> Any:
    """A concrete function of `serve`, on inputs as `specs` tell."""
    function = tf.function(serve, input_signature=[specs], autograph=False)
    # TensorFlow would trace the `tf.function` itself once more to save it.
    return function.get_concrete_function()


def traced_in_float32(
    student: keras.Model, serve: Callable[[Any], Any], specs: Any
) -> Any:
    """As `traced`, within `in_float32`.

    Args:
      student: the `keras.Model` that `serve` calls.
      serve: function of an input in the structure of `specs`.
      specs: structure of `tf.TensorSpec`.

    Raises:
      ValueError: if code of the student asks for half precision.
    """
    with in_float32(student) as switched:
        program = traced(serve, specs)
    if switched:
        _check_float32(student, program)
    return program


@contextlib.contextmanager
def in_float32(student: keras.Model) -> Iterator[list[keras.Layer]]:
    """Has layers of half precision compute in float32, and yields them."""
    halves = [
        layer
        for layer in keras_private.all_layers(student)
        if layer.compute_dtype in _HALVES
    ]
    with (
        keras_private.computing_in_float32(halves),
        _constants_in_float32(halves),
    ):
        yield halves


@contextlib.contextmanager
def _constants_in_float32(layers: list[keras.Layer]) -> Iterator[None]:
    """Has layers that normalise keep what they were given in float32.

    Keras casts it when they are built or adapted.
    """
    own = [
        (layer, layer.mean, layer.variance)
        for layer in layers
        if isinstance(layer, keras.layers.Normalization) and layer.built
    ]
    try:
        for layer, *_ in own:
            exact = keras.layers.Normalization(
                axis=layer.axis,
                mean=layer.input_mean,
                variance=layer.input_variance,
                dtype="float32",
            )
            exact.build(layer.get_build_config()["input_shape"])
            exact.set_weights(layer.get_weights())
            exact.finalize_state()
            layer.mean, layer.variance = exact.mean, exact.variance
        yield
    finally:
        for layer, mean, variance in own:
            layer.mean, layer.variance = mean, variance


def module_of(student: keras.Model, program: Any) -> tf.Module:
    """What a SavedModel of a concrete function must hold, each part once."""
    # `keras.export.ExportArchive` would write every variable twice.
    module = tf.Module()
    module.serve = program
    module.student_variables = program.variables
    module.tables = [
        value
        for layer in keras_private.all_layers(student)
        for value in _tables(list(vars(layer).values()))
    ]
    return module


def _tables(value: Any) -> Iterator[Any]:
    """The lookup tables of a layer's attribute, in lists and dicts, too."""
    if isinstance(value, _TABLES):
        yield value
    # Not Keras's flatten, which sorts the keys of a dict.
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, list | tuple | dict):
        for each in inner:
            yield from _tables(each)


@contextlib.contextmanager
def for_devices(student: keras.Model, *, unroll: bool) -> Iterator[None]:
    """Has recurrent layers use what devices have.

    Args:
      student: a built `keras.Model`.
      unroll: whether they are to be a chain of steps, and not a loop.
    """
    layers = [
        layer
        for layer in keras_private.all_layers(student)
        if isinstance(layer, keras.layers.RNN)
    ]
    own = [dict(vars(layer)) for layer in layers]
    for layer in layers:
        layer.unroll = layer.unroll or unroll
        if hasattr(layer, "use_cudnn"):  # an operation of NVIDIA's GPUs alone
            layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, before in zip(layers, own, strict=True):
            layer.unroll = before["unroll"]
            if "use_cudnn" in before:
                layer.use_cudnn = before["use_cudnn"]


def _check_float32(student: keras.Model, program: Any) -> None:
    """Raises if a concrete function has operations of half precision.

    That it reads variables of half precision and casts them does not count.
    """
    halves = [tf.as_dtype(name).as_datatype_enum for name in _HALVES]
    found = sorted(
        {node.op for node in nodes(program) if node.attr["T"].type in halves}
    )
    if found:
        raise ValueError(
            "`distiller_or_student` must be able to compute in float32: some "
            "of its code asks for half precision, whatever the dtype policy "
            "of its layers (let it use `self.compute_dtype`). To export it as "
            "it is, set dtype=None of kdtf.export_student. Received: "
            f"{student.name!r}, with the operations {', '.join(found)}"
        )


def nodes(program: Any) -> Iterator[Any]:
    """All nodes of a concrete function and of the functions that it calls."""
    graph = program.graph.as_graph_def()
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def

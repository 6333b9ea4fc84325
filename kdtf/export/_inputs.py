"""What a served student takes: shapes, dtypes and stable names."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kdtf import _models

# Keras counts the tensors and layers that a process has made.
_MADE_BY_KERAS = re.compile(r"(keras_tensor|input|input_layer)(_\d+)?")
_HALVES = ("float16", "bfloat16")


def specs_of(student: Any, batch_size: int | None) -> Any:
    """Returns `tf.TensorSpec`s in the structure of the student's input.

    Each has the key of its input in the signature as its name: the key in a
    dict, or the name that a `keras.Input` was given; else "x", "x_1", ...

    Args:
      student: a built `keras.Model`.
      batch_size: int, or None for any.

    Raises:
      ValueError: if it is no built `keras.Model`.
    """
    _require_built(student)
    specs = keras.tree.map_structure(
        lambda spec: tf.TensorSpec(
            (batch_size, *spec.shape[1:]), spec.dtype, spec.name
        ),
        _models.input_specs(student),
    )
    leaves = keras.tree.flatten_with_path(specs)
    keys = _unique_keys([_given_key(path, spec) for path, spec in leaves])
    named = [
        tf.TensorSpec(spec.shape, spec.dtype, key)
        for (_, spec), key in zip(leaves, keys, strict=True)
    ]
    return keras.tree.pack_sequence_as(specs, named)


def in_float32(specs: Any) -> Any:
    """The same specs, of which those of half precision are float32."""
    return keras.tree.map_structure(
        lambda spec: (
            tf.TensorSpec(spec.shape, tf.float32, spec.name)
            if spec.dtype.name in _HALVES
            else spec
        ),
        specs,
    )


def _require_built(student: Any) -> None:
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`distiller_or_student` must be a Distiller or a built "
            "keras.Model: call it on data, or give it a keras.Input, first. "
            f"Received: {student!r}"
        )
    if isinstance(student, _models.MadeOfModels):
        _require_built(student.input_model)
    elif not hasattr(student, "inputs"):
        _require_shapes(student)


def _require_shapes(student: keras.Model) -> None:
    """Raises unless Keras has recorded what a subclass was built on."""
    if "input_shape" not in (student.get_build_config() or {}):
        raise ValueError(
            "`distiller_or_student` must be built by Keras, which then knows "
            "the shape of its input: do not set `built`, but call the model on "
            "a batch, or its `build(input_shape)`; or make a functional model "
            f"of it. Received: {student.name!r}, of whose input nothing is "
            "known"
        )


def _given_key(path: Sequence[Any], spec: tf.TensorSpec) -> str | None:
    """The name that a user gave to an input, as TensorFlow can keep it."""
    in_dict = path and isinstance(path[-1], str)
    name = path[-1] if in_dict else spec.name
    if name is None or (not in_dict and _MADE_BY_KERAS.fullmatch(name)):
        return None
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name[:1].isalpha() else f"arg_{name}"


def _unique_keys(given: Sequence[str | None]) -> list[str]:
    """The names that were given, and others in order, each of them once."""
    taken = {name for name in given if name is not None}
    seen: set[str] = set()
    keys = []
    for name in given:
        if name is None or name in seen:
            base, count = name or "x", 0
            name = base
            while name in taken or name in seen:
                count += 1
                name = f"{base}_{count}"
        seen.add(name)
        keys.append(name)
    return keys

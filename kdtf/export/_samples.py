"""Representative data of a student's input, checked and cut into examples."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Example = dict[str, np.ndarray]

_WHAT = "`representative_data` must be"


def examples_of(data: Any, specs: Any) -> list[Example]:
    """The examples of representative data, each as a batch of one.

    Args:
      data: structure of arrays `[examples, ...]`, or a finite
        `tf.data.Dataset` of batches of x, (x, y) or (x, y, sample_weight).
      specs: structure of `tf.TensorSpec` of the student's input, with names.

    Returns:
      A list of dicts from the name of an input to an array `[1, ...]` of its
      dtype.

    Raises:
      ValueError: if there is none, or one that the student cannot take.
    """
    examples: list[Example] = []
    for x in _batches(data):
        arrays = _arrays(x, specs)
        count = len(next(iter(arrays.values())))
        examples.extend(
            {key: array[i : i + 1] for key, array in arrays.items()}
            for i in range(count)
        )
    if not examples:
        raise ValueError(
            f"{_WHAT} at least one example, better some hundred that are like "
            "those to come. Received: none"
        )
    return examples


def _batches(data: Any) -> Iterator[Any]:
    if not isinstance(data, tf.data.Dataset):
        yield data
        return
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"{_WHAT} finite: take a few hundred examples with "
            "dataset.take(batches). Received: an infinite tf.data.Dataset"
        )
    for element in data.as_numpy_iterator():
        yield keras.utils.unpack_x_y_sample_weight(element)[0]


def _arrays(x: Any, specs: Any) -> Example:
    """Arrays `[examples, ...]` by the name of their input."""
    values = _in_order(x, specs)
    leaves = keras.tree.flatten(specs)
    arrays = {
        spec.name: _array(value, spec)
        for value, spec in zip(values, leaves, strict=True)
    }
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"{_WHAT} as many examples for every input. Received: {counts}"
        )
    return arrays


def _in_order(x: Any, specs: Any) -> list:
    """What belongs to each spec, in their order."""
    if isinstance(specs, tf.TensorSpec):
        if not isinstance(x, dict | list | tuple) or not _is_structure(x):
            return [x]
    elif isinstance(specs, dict):
        if isinstance(x, dict) and set(x) == set(specs):
            return [
                leaf
                for key in sorted(specs)  # as Keras flattens a dict
                for leaf in _in_order(x[key], specs[key])
            ]
    elif isinstance(x, list | tuple) and len(x) == len(specs):
        pairs = zip(x, specs, strict=True)
        return [leaf for part, spec in pairs for leaf in _in_order(part, spec)]
    names = [spec.name for spec in keras.tree.flatten(specs)]
    is_one = isinstance(specs, tf.TensorSpec)
    structure = "one array" if is_one else f"a {type(specs).__name__}"
    raise ValueError(
        f"{_WHAT} {structure} for the student's input {', '.join(names)}, or a "
        f"tf.data.Dataset of batches of that. Received: {_said(x)}"
    )


def _is_structure(x: Any) -> bool:
    """Whether it holds arrays, and is not one of nested lists of numbers."""
    return isinstance(x, dict) or any(
        isinstance(leaf, np.ndarray | tf.Tensor) for leaf in x
    )


def _array(value: Any, spec: tf.TensorSpec) -> np.ndarray:
    """An array `[examples, ...]` in the shape and dtype of a spec."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        array = np.empty(0, object)
    dtype = spec.dtype.as_numpy_dtype
    wanted = f"{spec.dtype.name} [examples{_dimensions(spec)}]"
    given = f"{array.dtype} {list(array.shape)}"
    fits = array.ndim == spec.shape.rank and spec.shape[1:].is_compatible_with(
        array.shape[1:]
    )
    if not fits or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(
            f"{_WHAT} {wanted} for the input {spec.name!r}, in batches. "
            f"Received: {given}"
        )
    array = array.astype(dtype)
    if spec.dtype.is_floating and not np.isfinite(array).all():
        raise ValueError(
            f"{_WHAT} finite numbers: leave out examples that have NaN or "
            f"infinity. Received: {given} with such values for the input "
            f"{spec.name!r}"
        )
    return array


def _dimensions(spec: tf.TensorSpec) -> str:
    return "".join(f", {size}" for size in spec.shape[1:])


def _said(x: Any) -> str:
    if isinstance(x, dict):
        return f"a dict with the keys {list(x)}"
    if isinstance(x, list | tuple):
        return f"a {type(x).__name__} of {len(x)}"
    return f"a {type(x).__name__}"

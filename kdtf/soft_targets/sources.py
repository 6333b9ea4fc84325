"""The data that `write` and `join` take, as a `tf.data.Dataset`."""

import contextlib
import inspect

import keras
import numpy as np
import tensorflow as tf

_TAKEN = (
    "a tf.data.Dataset, a keras.utils.PyDataset, arrays x, (x, y) or "
    "(x, y, sample_weight), or a function of a range of examples"
)
_DEFAULT_BATCH = 32  # Keras's


def batches(data, batch_size):
    """The data in batches, as a teacher gets them.

    Args:
      data: see `kdtf.SoftTargets.write`.
      batch_size: int, of arrays; None for 32.

    Raises:
      ValueError: if the data are of another kind, or endless.
    """
    if _is_batched_already(data):
        if batch_size is not None:
            raise ValueError(
                "`batch_size` must not be given for data that come in batches "
                f"already. Received: batch_size={batch_size!r} and a "
                f"{type(data).__name__}"
            )
        return dataset(data)
    return dataset(data).batch(batch_size or _DEFAULT_BATCH)


def dataset(data):
    """The data, batched or not as they came: arrays as single examples.

    Args:
      data: see `kdtf.SoftTargets.join`.

    Raises:
      ValueError: as `batches`.
    """
    if isinstance(data, keras.utils.PyDataset):
        return _of_py_dataset(data)
    if isinstance(data, tf.data.Dataset):
        return data
    return tf.data.Dataset.from_tensor_slices(_arrays(data))


def is_function(data):
    """Whether data are a function of a range of examples."""
    kinds = tf.data.Dataset | keras.utils.PyDataset
    return callable(data) and not isinstance(data, kinds)


def of_range(function, first, last):
    """Some examples of data that are given by a function.

    Args:
      function: from two ints, `first` and `last`, to a `tf.data.Dataset` of the
        single examples first, first + 1, ..., last - 1.
      first: int.
      last: int.

    Returns:
      That data set, which fails if it turns out to have another length.

    Raises:
      ValueError: if it is no such function, or the data set tells another
        length.
    """
    received = None
    if not _takes_two(function):
        received = "which does not take two arguments"
    elif not isinstance(found := function(first, last), tf.data.Dataset):
        received = f"which returned {_kind(found)}"
    if received:
        raise ValueError(
            "`dataset` must be a function (first, last) that returns a "
            "tf.data.Dataset of the single examples first to last - 1. "
            f"Received: {function!r}, {received}"
        )
    length = int(found.cardinality())
    if length not in (tf.data.UNKNOWN_CARDINALITY, last - first):
        endless = length == tf.data.INFINITE_CARDINALITY
        raise ValueError(
            "`dataset` must be a function (first, last) that returns the "
            "single examples first to last - 1, not in batches. Received: of "
            f"the range ({first}, {last}), of {last - first} examples, a data "
            f"set of {'infinitely many' if endless else length}"
        )
    return found.apply(tf.data.experimental.assert_cardinality(last - first))


def _takes_two(function):
    try:
        inspect.signature(function).bind(0, 1)
    except TypeError:
        return False
    except ValueError:
        pass  # a built-in one, which does not tell
    return True


def _is_batched_already(data):
    return isinstance(data, tf.data.Dataset | keras.utils.PyDataset)


def _arrays(data):
    """Arrays of one length, in the structure they came in."""
    arrays = [part for part in tf.nest.flatten(data) if part is not None]
    if not arrays or not all(hasattr(a, "__array__") for a in arrays):
        raise ValueError(
            f"`dataset` must be {_TAKEN}. A Python generator can be read once "
            "only: wrap a function that makes one by "
            f"tf.data.Dataset.from_generator. Received: {_kind(data)}"
        )
    shapes = [np.shape(array) for array in arrays]
    if len({shape[:1] for shape in shapes}) != 1 or () in shapes:
        raise ValueError(
            "`dataset` must be arrays whose first axis is the same. "
            f"Received: arrays of the shapes {shapes}"
        )
    data = tf.nest.map_structure(_array, data)
    # A list is several inputs, as in Keras, and not x, y and sample weights.
    return (_tuples(data),) if isinstance(data, list) else _tuples(data)


def _array(array):
    """An array as tf.data takes it, if TensorFlow has its dtype."""
    if array is None or tf.is_tensor(array):
        return array
    array = np.asarray(array)
    received = array.dtype.name
    if array.dtype.hasobject:
        others = (v for v in array.flat if not isinstance(v, str | bytes))
        found = next(others, array)
        if found is array:
            return array
        received = f"objects, such as the {type(found).__name__} {found!r:.60}"
    else:
        with contextlib.suppress(TypeError):
            tf.as_dtype(array.dtype)
            return array
    raise ValueError(
        "`dataset` must be arrays of numbers, bools or strings, of a dtype "
        "that TensorFlow has: array.astype('float32') for numbers in a table "
        "of objects, padded rows where their lengths differ. "
        f"Received: an array of {received}"
    )


def _kind(data):
    structured = isinstance(data, list | tuple | dict)
    inner = [type(p).__name__ for p in tf.nest.flatten(data)[:3]]
    return f"a {type(data).__name__}" + (f" of {inner}" if structured else "")


def _of_py_dataset(data):
    """The batches of a PyDataset in the order of their indices."""
    count = data.num_batches
    if count is None or count < 1:
        received = "one that has none" if count == 0 else "one without end"
        raise ValueError(
            "`dataset` must be finite and not empty. Received: a "
            f"{type(data).__name__}, {received}"
        )
    first = [_element(data, index) for index in range(min(count, 2))]
    _require_one_structure(first, data)
    spec = tf.nest.map_structure(_spec, *first)

    def read():
        for index in range(count):
            element = _element(data, index)
            _require_fit(element, spec, index)
            yield element

    found = tf.data.Dataset.from_generator(read, output_signature=spec)
    if len(spec) == 2 and _has_weights_alone(data):
        found = found.map(_without_labels)
    return found.apply(tf.data.experimental.assert_cardinality(count))


def _require_one_structure(first, data):
    try:
        tf.nest.assert_same_structure(first[0], first[-1])
    except (TypeError, ValueError) as error:
        found = [
            tf.nest.map_structure(lambda array: array.dtype.name, element)
            for element in first
        ]
        raise ValueError(
            "`dataset` must have batches of one structure. Received: a "
            f"{type(data).__name__}, whose first two batches hold {found[0]} "
            f"and {found[1]}"
        ) from error


def _element(data, index):
    """Batch `index`, of arrays, without None, which no generator may yield."""
    parts = keras.utils.unpack_x_y_sample_weight(data[index])
    kept = tuple(part for part in parts if part is not None)
    return _tuples(tf.nest.map_structure(np.asarray, kept))


def _require_fit(element, spec, index):
    specs, arrays = tf.nest.flatten(spec), tf.nest.flatten(element)
    if len(specs) != len(arrays) or not all(
        s.shape.is_compatible_with(a.shape) and s.dtype == a.dtype
        for s, a in zip(specs, arrays, strict=True)
    ):
        raise ValueError(
            "`dataset` must have batches like its first two. Where shapes "
            "differ in other axes, make it a tf.data.Dataset by from_generator "
            f"with an output_signature. Received: as batch {index} "
            f"{[f'{a.dtype.name} {list(a.shape)}' for a in arrays]}, at first "
            f"{[f'{s.dtype.name} {list(s.shape)}' for s in specs]}"
        )


@tf.autograph.experimental.do_not_convert
def _without_labels(x, sample_weight):
    return x, None, sample_weight


def _has_weights_alone(data):
    return keras.utils.unpack_x_y_sample_weight(data[0])[1] is None


def _tuples(structure):
    """The structure with its lists as tuples: tf.data stacks what is a list."""
    if isinstance(structure, dict):
        return {key: _tuples(part) for key, part in structure.items()}
    if type(structure) in (list, tuple):
        return tuple(_tuples(part) for part in structure)
    return structure


def _spec(*arrays):
    """What fits all of them: None for an axis whose length differs."""
    shapes = [array.shape[1:] for array in arrays]
    common = tf.TensorShape(shapes[0])
    for shape in shapes[1:]:
        common = common.most_specific_compatible_shape(tf.TensorShape(shape))
    return tf.TensorSpec([None, *common], arrays[0].dtype)

"""A data set on disk, of which any example can be read.

A stream gives its examples in its own order: a specialist of a few classes
would read all of them for the few it needs. Written once, for all specialists,
they lie in files of equal rows, which are mapped into memory and read where
they are needed only.

The folder has a file of raw rows for each array of an example, and for texts,
whose lengths differ, one of their bytes and one of where each begins; a
manifest tells what they hold.
"""

import contextlib
import json
import math
import mmap
import os
import pathlib
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

from kdtf import _atomic, _disk
from kdtf.soft_targets import examples
from kdtf.specialists._structures import as_tuples

_MANIFEST = "manifest.json"
_FORMAT = "kdtf.specialists examples, version 1"
_BATCH_BYTES = 2**22
_TEXTS_AT_ONCE = 256


def write_examples(
    dataset: tf.data.Dataset, directory: str | os.PathLike
) -> tuple[Any, np.ndarray]:
    """Writes a data set to disk, for the `training_set`s of its specialists.

    The data set is read once, a batch at a time. The folder appears when all is
    written; of a run that is killed nothing remains that could be read.

    Args:
      dataset: finite `tf.data.Dataset` of single examples `(x, y)`: x a tensor,
        or several in tuples and dicts, each of one known shape, or a scalar
        string, such as an encoded image; y a scalar integer from 0, the class.
      directory: path of the folder to be made, on a local or mounted disk;
        nothing may be there.

    Returns:
      `(x, y)`, as `read_examples` returns.

    Raises:
      ValueError: if `dataset` is of another kind, empty or endless, or
        something is in the place of `directory`.

    Example:
      >>> x, y = kdtf.specialists.write_examples(dataset, "examples")
      >>> batches = kdtf.specialists.training_set(
      ...     (x, y), classes=[0, 2], batch_size=4, seed=0
      ... )
    """
    path = _disk.local(directory, "directory")
    _require_examples(dataset)
    if os.path.lexists(path):
        raise ValueError(
            "`directory` must be a new one: examples are never overwritten. "
            "`read_examples` reads those that are there. "
            f"Received: {directory}"
        )
    specs = tf.nest.flatten(dataset.element_spec)
    with _atomic.whole_directory(path) as scratch:
        with contextlib.ExitStack() as stack:
            files = [
                stack.enter_context(_Rows(scratch, index, spec))
                for index, spec in enumerate(specs)
            ]
            cases = _write(dataset.batch(_batch_size(specs)), files)
        content = {
            "format": _FORMAT,
            "cases": cases,
            "structure": _structure(dataset),
            "arrays": [[s.dtype.name, s.shape.as_list()] for s in specs],
        }
        (scratch / _MANIFEST).write_text(json.dumps(content) + "\n")
    return read_examples(path)


def read_examples(directory: str | os.PathLike) -> tuple[Any, np.ndarray]:
    """The examples that `write_examples` wrote, without reading them.

    Args:
      directory: path of the folder.

    Returns:
      `(x, y)` for `training_set`: x in the structure it had, of arrays
      `[cases, ...]` that are mapped into memory, read-only, and of `[cases]`
      for strings; y `[cases]` integers.

    Raises:
      ValueError: if the folder does not hold what was written.

    Example:
      >>> written = kdtf.specialists.write_examples(dataset, "examples")
      >>> x, y = kdtf.specialists.read_examples("examples")
      >>> x.shape, y.shape
      ((8, 4), (8,))
    """
    path = _disk.local(directory, "directory")
    try:
        content = json.loads((path / _MANIFEST).read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"{_MANIFEST} is of another format")
        arrays = [
            _read(path, index, content["cases"], *array)
            for index, array in enumerate(content["arrays"])
        ]
        x, y = as_tuples(content["structure"])
        return tf.nest.map_structure(arrays.__getitem__, x), arrays[y]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            "`directory` must hold examples as `write_examples` wrote them: if "
            "it does not any more, delete it and write them again. "
            f"Received: {directory} ({error})"
        ) from error


class Texts:
    """Strings, `[cases]`, whose bytes lie end to end in a file."""

    dtype = np.dtype(object)

    def __init__(self, characters: np.ndarray, bounds: np.ndarray) -> None:
        """Texts of `[bytes]` uint8 and `[cases + 1]` int64, their bounds."""
        self._characters = characters
        self._bounds = bounds
        self.shape = (len(bounds) - 1,)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """`[n]` array of bytes objects, of `[n]` integers."""
        bounds = zip(self._bounds[rows], self._bounds[rows + 1], strict=True)
        found = [self._characters[i:j].tobytes() for i, j in bounds]
        return np.array(found, object)


class _Rows:
    """Writes the rows of one array of the examples."""

    def __init__(self, path: pathlib.Path, index: int, spec: Any) -> None:
        self._paths = _paths(path, index)
        self._is_text = spec.dtype == tf.string
        self._end = 0

    def __enter__(self) -> "_Rows":
        with contextlib.ExitStack() as stack:
            rows, bounds = self._paths
            self._rows: BinaryIO = stack.enter_context(open(rows, "wb"))
            if self._is_text:
                self._bounds = stack.enter_context(open(bounds, "wb"))
                self._bounds.write(np.int64(0).tobytes())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def write(self, batch: np.ndarray) -> None:
        """Appends `[n, ...]`."""
        if not self._is_text:
            self._rows.write(batch.tobytes())
            return
        self._rows.write(b"".join(batch.tolist()))
        ends = self._end + np.cumsum([len(text) for text in batch.tolist()])
        self._bounds.write(ends.astype(np.int64).tobytes())
        self._end = int(ends[-1])


def _write(batches: tf.data.Dataset, files: list[_Rows]) -> int:
    """Writes all batches; returns how many examples they had."""
    cases = 0
    for batch in examples.prompt(batches).as_numpy_iterator():
        parts = tf.nest.flatten(batch)
        if parts[-1].min() < 0:
            raise ValueError(
                "`dataset` must have classes from 0 as y; leave out examples "
                f"without a label. Received: {parts[-1].min()}"
            )
        for file, part in zip(files, parts, strict=True):
            file.write(part)
        cases += len(parts[-1])
    if not cases:
        raise ValueError(
            "`dataset` must be finite and not empty. Received: an empty one"
        )
    return cases


def _read(
    path: pathlib.Path, index: int, cases: int, dtype: str, shape: list[int]
) -> Any:
    """One array of the examples; ValueError if its files cannot be right."""
    rows, bounds = _paths(path, index)
    if tf.as_dtype(dtype) == tf.string:
        ends = _mapped(bounds, np.int64, (cases + 1,))
        if ends[0] != 0 or (np.diff(ends) < 0).any():
            raise ValueError(f"{bounds.name} is damaged")
        return Texts(_mapped(rows, np.uint8, (int(ends[-1]),)), ends)
    return _mapped(rows, tf.as_dtype(dtype).as_numpy_dtype, (cases, *shape))


def _mapped(path: pathlib.Path, dtype: Any, shape: tuple) -> np.ndarray:
    """A file as an array, read where it is looked at."""
    dtype = np.dtype(dtype)
    expected, found = math.prod(shape) * dtype.itemsize, path.stat().st_size
    if expected != found:
        raise ValueError(f"{path.name} has {found} bytes, not {expected}")
    if not found:
        return np.zeros(shape, dtype)
    with open(path, "rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # Rows are read in random order: what follows one is not needed soon.
    pages.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(pages, dtype).reshape(shape)


def _paths(path: pathlib.Path, index: int) -> tuple[pathlib.Path, pathlib.Path]:
    """The files of rows and, for texts, of their bounds."""
    return path / f"{index}.rows", path / f"{index}.bounds"


def _structure(dataset: tf.data.Dataset) -> Any:
    """The structure of an example, with an array's number in each place."""
    spec = dataset.element_spec
    return tf.nest.pack_sequence_as(spec, range(len(tf.nest.flatten(spec))))


def _batch_size(specs: list[Any]) -> int:
    if any(spec.dtype == tf.string for spec in specs):
        return _TEXTS_AT_ONCE
    case = sum(s.shape.num_elements() * s.dtype.size for s in specs)
    return max(1, _BATCH_BYTES // case)


def _require_examples(dataset: Any) -> None:
    """Raises ValueError if a data set is not one of examples `(x, y)`."""
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "`dataset` must be a tf.data.Dataset; arrays need not be written. "
            f"Received: a {type(dataset).__name__}"
        )
    spec = dataset.element_spec
    is_pair = isinstance(spec, tuple) and len(spec) == 2
    y: Any = spec[1] if is_pair else None
    is_scalar = isinstance(y, tf.TensorSpec) and y.shape.rank == 0
    if not is_scalar or not y.dtype.is_integer:
        raise ValueError(
            "`dataset` must have single examples (x, y), y a scalar integer: "
            "`map` and `unbatch` make them. "
            f"Received: {spec}"
        )
    specs = tf.nest.flatten(spec)
    if not all(map(_can_be_stored, specs)) or _structure(dataset) != as_tuples(
        json.loads(json.dumps(_structure(dataset)))
    ):
        raise ValueError(
            "`dataset` must have as x tensors, in tuples or dicts of str, each "
            "of one known shape, not empty, or a scalar string: pad or resize "
            "what differs, or make it a string by tf.io.serialize_tensor. "
            f"Received: {spec[0]}"
        )
    if int(dataset.cardinality()) in (0, tf.data.INFINITE_CARDINALITY):
        raise ValueError(
            "`dataset` must be finite and not empty. "
            f"Received: cardinality {int(dataset.cardinality())}"
        )


def _can_be_stored(spec: Any) -> bool:
    if not isinstance(spec, tf.TensorSpec):
        return False
    if spec.dtype == tf.string:
        return spec.shape.rank == 0
    kinds = ("is_bool", "is_integer", "is_floating", "is_complex")
    is_number = any(getattr(spec.dtype, kind) for kind in kinds)
    return is_number and bool(spec.shape.num_elements())  # None if not known

"""Correlations of predictions, from one pass over them.

Beside the matrix `[classes, classes]` of float32 there is a block of
predictions and a tile of the matrix in memory, whatever the number of cases.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from kdtf._types import TensorLike
from kdtf.soft_targets import examples

Probabilities: TypeAlias = TensorLike | Iterable[TensorLike]

ROWS = 1024  # cases of a block: enough for BLAS to be fast
TILE = 2048  # rows and columns of the matrix that one product makes
# How far a row's sum may be from 1: bfloat16 keeps 3 digits.
_SUM_TOLERANCE = 1e-2
# A standard deviation below this part of a class's mean, or of that of a
# uniform prediction, is rounding in float32.
_LEAST_DEVIATION = 1e-6


class Correlations(NamedTuple):
    """How probabilities vary together, over the cases.

    Attributes:
      matrix: `[classes, classes]` float32 array; 0 in rows and columns of
        classes whose probability does not vary.
      deviations: `[classes]` float32 array of standard deviations; 0 for those
        classes.
    """

    matrix: np.ndarray
    deviations: np.ndarray

    @property
    def varying(self) -> np.ndarray:
        """`[classes]` bool array: the probability is not the same always."""
        return self.deviations > 0


def blocks(probabilities: Probabilities) -> Iterator[np.ndarray]:
    """Yields probabilities in blocks that do not depend on the batches.

    Args:
      probabilities: `[cases, classes]` array, or an iterable of such batches.

    Yields:
      `[ROWS, classes]` float32 array, the last with fewer rows. The next block
      overwrites it; the receiver may, too.

    Raises:
      ValueError: if they are of another form, endless, or no probabilities.
    """
    block, filled, any_yet = None, 0, False
    for batch in _batches(probabilities):
        if block is None:
            block = np.empty((ROWS, batch.shape[1]), np.float32)
        _check_classes(batch, block.shape[1])
        start = 0
        while start < len(batch):
            rows = batch[start : start + ROWS - filled]
            start += len(rows)
            block[filled : filled + len(rows)] = rows
            _check_rows(block[filled : filled + len(rows)])
            filled += len(rows)
            if filled == ROWS:
                yield block
                filled, any_yet = 0, True
    if block is not None and filled:
        yield block[:filled]
    elif not any_yet:
        raise ValueError(
            "`probabilities` must hold at least one case. Received: none; a "
            "generator can be read only once"
        )


def correlations(probabilities: Probabilities) -> Correlations:
    """Correlates the classes' probabilities, in one pass.

    Args:
      probabilities: as in `blocks`.

    Returns:
      `Correlations`; those of a million cases within about 1e-6 of float64.

    Raises:
      ValueError: as `blocks`.
    """
    mean, scatter = _scatter(probabilities)
    deviations = np.sqrt(np.diagonal(scatter))
    least = _LEAST_DEVIATION * np.maximum(mean, 1 / len(mean))
    deviations[deviations < least] = 0
    inverse = np.zeros_like(deviations)
    np.divide(1, deviations, out=inverse, where=deviations > 0)
    scatter *= inverse
    scatter *= inverse[:, None]
    return Correlations(scatter, deviations)


def _scatter(probabilities: Probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and covariance of the cases.

    The scatter S = sum of (p - mean)(p - mean)' of two parts of a and b rows is
    (Chan, Golub, LeVeque 1983), with d the difference of their means,

        S = S_a + S_b + a b / (a + b) d d'.

    About a centre that is sqrt(a / (a + b)) d from its own mean, the second
    part has just the last two terms, so that one product gives both. Only
    products of centred values are added: on the diagonal nothing cancels, and
    the errors elsewhere are small beside the deviations, even if the cases
    are sorted by class.
    """
    seen, mean, scatter = 0, np.zeros(0), np.zeros((0, 0), np.float32)
    for block in blocks(probabilities):
        rows, classes = block.shape
        if not seen:
            mean = np.zeros(classes)
            scatter = np.zeros((classes, classes), np.float32)
        block_mean = block.mean(axis=0, dtype=np.float64)
        difference = block_mean - mean
        total = seen + rows
        block -= (block_mean - np.sqrt(seen / total) * difference).astype(
            np.float32
        )
        _add_products(block, scatter)
        mean += difference * (rows / total)
        seen = total
    _mirror(scatter)
    scatter /= np.float32(seen)
    return mean, scatter


def _tiles(classes: int) -> Iterator[tuple[slice, slice]]:
    """Yields the tiles of the upper triangle, row by row."""
    starts = range(0, classes, TILE)
    for row in starts:
        for column in starts[row // TILE :]:
            yield slice(row, row + TILE), slice(column, column + TILE)


def _add_products(block: np.ndarray, scatter: np.ndarray) -> None:
    """Adds block' block to the upper triangle of `scatter`, in place."""
    for rows, columns in _tiles(len(scatter)):
        scatter[rows, columns] += block[:, rows].T @ block[:, columns]


def _mirror(matrix: np.ndarray) -> None:
    """Copies the upper triangle's tiles to the lower one, in place."""
    for rows, columns in _tiles(len(matrix)):
        if rows != columns:
            matrix[columns, rows] = matrix[rows, columns].T


def _batches(probabilities: Probabilities) -> Iterator[np.ndarray]:
    """Yields the batches as arrays of numbers."""
    data: Any = probabilities
    if hasattr(data, "shape"):
        data = [data]
    if isinstance(data, tf.data.Dataset) and (
        data.cardinality() == tf.data.INFINITE_CARDINALITY
    ):
        raise ValueError(
            "`probabilities` must end. Received: an endless tf.data.Dataset; "
            "take a part of it by `.take(batches)`"
        )
    if not isinstance(data, Iterable):
        raise ValueError(
            f"`probabilities` must be {_FORM}. "
            f"Received: a {type(data).__name__}"
        )
    if isinstance(data, tf.data.Dataset):
        data = examples.prompt(data)
    for batch in data:
        yield _numbers(batch)


_FORM = (
    "an array [cases, classes] of probabilities, or an iterable of such "
    "batches without labels"
)


def _numbers(batch: Any) -> np.ndarray:
    """A batch as an array of numbers."""
    kind = type(batch).__name__
    if hasattr(batch, "__array__") or hasattr(batch, "__array_interface__"):
        array = np.asarray(batch)
        kind = f"batch of shape {array.shape} and dtype {array.dtype}"
        # Types that NumPy does not know, such as bfloat16, can be cast only.
        if array.ndim == 2 and np.can_cast(
            array.dtype, np.float64, casting="same_kind"
        ):
            return array
    raise ValueError(f"`probabilities` must be {_FORM}. Received: a {kind}")


def _check_classes(batch: np.ndarray, classes: int) -> None:
    if batch.shape[1] < 2 or batch.shape[1] != classes:
        raise ValueError(
            "`probabilities` must be of at least 2 classes, as many in every "
            f"batch. Received: {classes} classes, and a batch of shape "
            f"{batch.shape}"
        )


def _check_rows(rows: np.ndarray) -> None:
    """Refuses what is no probability: logits, logarithms, NaN."""
    smallest, sums = rows.min(), rows.sum(axis=1)
    worst = sums[np.argmax(np.abs(sums - 1))]  # NaN, if there is one
    if not (smallest >= 0 and abs(worst - 1) <= _SUM_TOLERANCE):
        raise ValueError(
            "`probabilities` must not be negative and sum to 1 in every row. "
            f"Received: a smallest value of {smallest:.4g} and a row with the "
            f"sum {worst:.4g}; of logits take tf.nn.softmax"
        )

"""What a specialist trains on: its own classes more often than they occur.

The paper (section 5) trains a specialist on examples of its classes and, as
many, of all others, which are one class to it, the dustbin. The functions here
draw such batches, and undo afterwards what that does to the dustbin's logit.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf._types import Tensor
from kdtf.specialists import _checks, rows
from kdtf.specialists._structures import as_tuples

# Batches are made several at a time, up to this many and this many bytes: a
# call of Python costs as much as a small batch.
_MOST_AT_ONCE = 16
_BYTES_AT_ONCE = 2**21
_LARGEST = 2**31 - 1


def training_set(
    data: tuple[Any, npt.ArrayLike],
    classes: npt.ArrayLike,
    *,
    batch_size: int,
    seed: int,
    share: float = 0.5,
    dustbin: bool = True,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Endless batches for the specialist of some classes.

    Of the examples, `share` are of the specialist's classes, and the others of
    all other classes; how they divide among the classes of either kind is as in
    the data. Both are drawn in passes without replacement, each in an order of
    its own, and every batch has its due number of both, up to one. Only the
    examples that are drawn are read.

    What a batch holds depends on `seed` and the number of the step alone: a
    training that goes on with `first_step=k` sees what one that was never
    stopped sees from its step k on.

    Args:
      data: pair `(x, y)`. x is an array `[cases, ...]`, or several in a tuple
        or dict: NumPy, a memory map, or anything with `shape`, `dtype` and
        indexing by an array of increasing integers, such as a data set of
        h5py. y is `[cases]`, the class of each case as an integer from 0. For a
        `tf.data.Dataset` see `write_examples`.
      classes: `[own]` integers, the specialist's classes: at least one, each
        once, not all.
      batch_size: int.
      seed: int, not negative. Give each specialist another.
      share: float between 0 and 1, the share of the specialist's classes.
      dustbin: whether labels are the specialist's: the position in `classes`,
        and `len(classes)`, the dustbin, for all other classes. If False they
        stay as they are, for a specialist with the full softmax.
      first_step: int, how many batches to leave out.

    Returns:
      An endless `tf.data.Dataset` of `(x, labels)`, `[batch_size, ...]` in x's
      structure and dtypes, and `[batch_size]` int64. It begins anew whenever it
      is iterated: for `fit` with epochs give `steps_per_epoch`.

    Raises:
      ValueError: if `data` is not such a pair, `classes` are no set of some
        classes that occur in y, or another argument is not as described.

    Example:
      >>> batches = kdtf.specialists.training_set(
      ...     (x, y), classes=[0, 2], batch_size=4, seed=0
      ... )
      >>> images, labels = next(iter(batches))
      >>> int((labels.numpy() == 2).sum())  # in the dustbin
      2
    """
    x, labels = _checked_data(data)
    own, own_rows = _checked_classes(classes, labels)
    _require_share("share", share)
    _checks.integer("batch_size", batch_size, 1, _LARGEST)
    _checks.integer("seed", seed, 0)
    _checks.flag("dustbin", dustbin)
    _checks.integer("first_step", first_step, 0, _LARGEST)
    rows_at = rows.Rows(own_rows, len(labels), float(share), int(seed))
    arrays = tf.nest.flatten(x)
    together = _batches_at_once(arrays, batch_size)
    order = np.argsort(own)
    increasing = own[order]

    def draw(step: np.ndarray) -> list[np.ndarray]:
        drawn, is_own = rows_at(int(step) * batch_size, together * batch_size)
        y = labels[drawn].astype(np.int64)
        if dustbin:
            place = order[np.searchsorted(increasing, y[is_own])]
            y = np.full(len(y), len(own))
            y[is_own] = place
        return [*(_taken(array, drawn) for array in arrays), y]

    batches = tf.data.Dataset.counter(first_step, together).map(
        _in_graph(draw, x, together, batch_size)
    )
    return batches.unbatch().prefetch(tf.data.AUTOTUNE)


def dustbin_correction(own_share: float, share: float = 0.5) -> float:
    """What calibrates the dustbin of a specialist for the natural classes.

    In the batches of `training_set` a case of class c has the probability
    p'(c) = p(c) w(c): w = share / own_share for the specialist's classes, and
    w = (1 - share) / (1 - own_share) for the others. How a class looks, p(x|c),
    is not changed, so that p'(c|x) is proportional to p(c|x) w(c). w is one
    number for all of the specialist's classes and one for all in the dustbin,
    whose probability is their sum. So a specialist that has learned p' gives p,
    exactly, with

        log (w of its own / w of the dustbin)
          = log [share (1 - own_share) / ((1 - share) own_share)]

    added to its dustbin's logit, or, of a full softmax, to the logits of all
    classes that are not its own.

    Args:
      own_share: float between 0 and 1, the natural share of the specialist's
        classes: in the data, `np.isin(y, classes).mean()`.
      share: float between 0 and 1, as `training_set` had it.

    Returns:
      A float; positive where the classes were drawn more often than they occur.

    Raises:
      ValueError: if one of the two is not between 0 and 1.

    Example:
      >>> round(kdtf.specialists.dustbin_correction(0.04), 4)  # log 24
      3.1781
    """
    _require_share("own_share", own_share)
    _require_share("share", share)
    own, drawn = float(own_share), float(share)
    return (
        math.log(drawn) + math.log1p(-own) - math.log1p(-drawn) - math.log(own)
    )


def fitted_dustbin_shift(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """What to add to the dustbin's logit, fitted to held-out cases.

    It minimises their mean cross-entropy, which is convex in this one number b:
    its slope is the mean predicted probability of the dustbin less the
    dustbin's share of the labels. `kdtf.output_bias.match_prior` solves that
    for several classes; for one the solution lies between two known bounds, so
    that it is found to the last digits whatever the logits.

    Args:
      logits: `[cases, own + 1]` finite array, a specialist's logits with the
        dustbin last, on cases as frequent as they will be, or on those that
        will be routed to it.
      labels: `[cases]` integer array, the specialist's labels, `own` for the
        dustbin.

    Returns:
      A float.

    Raises:
      ValueError: if `logits` is not a finite `[cases, own + 1]` array, `labels`
        does not have one of its classes a case, or all or none of them are the
        dustbin, where no number is the best one.

    Example:
      >>> logits = [[0.0, 2.0], [1.0, 0.0], [3.0, 1.0], [0.0, 0.0]]
      >>> shift = kdtf.specialists.fitted_dustbin_shift(logits, [1, 0, 0, 1])
      >>> shifted = np.array(logits) + [0.0, shift]
      >>> tf.nn.softmax(shifted).numpy().mean(axis=0).round(6).tolist()
      [0.5, 0.5]
    """
    z, y = np.asarray(logits, np.float64), np.asarray(labels)
    if z.ndim != 2 or z.shape[1] < 2 or not np.isfinite(z).all():
        raise ValueError(
            "`logits` must be finite, of shape [cases, own + 1]. "
            f"Received: logits of shape {z.shape}"
        )
    dustbin = z.shape[1] - 1
    fits = y.shape == z.shape[:1] and y.dtype.kind in "iu"
    if not fits or not ((y >= 0) & (y <= dustbin)).all():
        raise ValueError(
            f"`labels` must hold one integer from 0 to {dustbin} a case, for "
            f"logits of shape {z.shape}. "
            f"Received: {y.dtype.name} of shape {y.shape}"
        )
    count = int((y == dustbin).sum())
    if not 0 < count < len(y):
        raise ValueError(
            "`labels` must hold cases of the dustbin and others: without one "
            "of both no shift is the best. "
            f"Received: {count} of the dustbin among {len(y)}"
        )
    own = z[:, :-1]
    peak = own.max(-1, keepdims=True)
    log_sums = peak[:, 0] + np.log(np.exp(own - peak).sum(-1))
    return _shift_to(count, z[:, -1] - log_sums)


def _shift_to(count: int, log_odds: np.ndarray) -> float:
    """b with sum sigmoid(log_odds + b) = count, by bisection to the last digit.

    The bounds put all terms below, or above, their mean at the solution.
    """
    middle = math.log(count) - math.log(len(log_odds) - count)
    low, high = middle - log_odds.max(), middle - log_odds.min()
    while low < (b := (low + high) / 2) < high:
        t = log_odds + b
        log_tails = -np.abs(t) - np.log1p(np.exp(-np.abs(t)))
        # Whole ones are counted apart, and tails alone are scaled, so that no
        # digits of the tails are lost.
        ones = int((t > 0).sum()) - count
        tails = np.exp(log_tails - (0 if ones else log_tails.max()))
        excess = np.where(t > 0, -tails, tails).sum() + ones
        low, high = (low, b) if excess > 0 else (b, high)
    return float(b)


def _checked_data(data: Any) -> tuple[Any, np.ndarray]:
    """x, with its lists as tuples and its arrays as such, and y."""
    if isinstance(data, tf.data.Dataset):
        raise ValueError(
            "`data` must be a pair (x, y) of arrays, of which any case can be "
            "read: make one of a tf.data.Dataset, once for all specialists, by "
            f"kdtf.specialists.write_examples. Received: {data}"
        )
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            "`data` must be a pair (x, y) of arrays. "
            f"Received: a {type(data).__name__}"
        )
    y = np.asarray(data[1])
    if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y) or y.min() < 0:
        least = f" with {y.min()}" if y.size and y.dtype.kind in "iu" else ""
        raise ValueError(
            "y of `data` must be [cases] integers from 0, the classes; leave "
            "out cases without a label. "
            f"Received: {y.dtype.name} of shape {y.shape}{least}"
        )
    x = tf.nest.map_structure(_checked_array, as_tuples(data[0]))
    lengths = [array.shape[0] for array in tf.nest.flatten(x)]
    if set(lengths) != {len(y)}:
        raise ValueError(
            "x and y of `data` must have the same number of cases. "
            f"Received: {lengths} and {len(y)}"
        )
    return x, y


def _checked_array(array: Any) -> Any:
    """An array as it is; as NumPy's if that takes no copy."""
    if hasattr(array, "toarray"):
        raise ValueError(
            "x of `data` must be dense: give x.toarray(), or fewer features "
            "where that does not fit into memory. "
            f"Received: a {type(array).__name__} of shape {array.shape}"
        )
    # A column of pandas takes what is in brackets for labels of rows.
    of_pandas = hasattr(array, "iloc")
    if of_pandas or tf.is_tensor(array) or isinstance(array, np.ndarray):
        array = np.asarray(array)
    parts = ("shape", "dtype", "__getitem__")
    is_array = all(hasattr(array, part) for part in parts)
    # tf.data crashes where it takes arrays without elements apart.
    if not is_array or not array.shape or 0 in array.shape[1:]:
        raise ValueError(
            "x of `data` must be an array [cases, ...], or several in a tuple "
            "or dict, and no other axis empty. "
            f"Received: {_kind(array)}"
        )
    try:
        tf.as_dtype(array.dtype)
    except TypeError as error:
        raise ValueError(
            "x of `data` must be of a dtype that TensorFlow has. "
            f"Received: {array.dtype}"
        ) from error
    if isinstance(array, np.ndarray) and array.dtype.hasobject:
        for value in array.flat:
            if not isinstance(value, str | bytes):
                raise ValueError(
                    "x of `data` must be strings where it is of objects. "
                    f"Received: {value!r}"
                )
    return array


def _kind(array: Any) -> str:
    shape = getattr(array, "shape", None)
    name = type(array).__name__
    return repr(array) if shape is None else f"{name} of shape {shape}"


def _checked_classes(
    classes: npt.ArrayLike, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The classes, and the rows of their cases, `[own]` int64 each."""
    own = _checks.class_set("classes", classes, int(y.max()) + 1)
    is_own = np.isin(y, own)
    rows_of_own = np.flatnonzero(is_own)
    unknown = np.setdiff1d(own, y[rows_of_own])
    if len(unknown):
        raise ValueError(
            "`classes` must be classes that have cases in `data`. "
            f"Received: {unknown.tolist()}, which have none"
        )
    if is_own.all():
        raise ValueError(
            "`classes` must leave some classes of `data` out, for the dustbin. "
            f"Received: all {len(own)} that it has"
        )
    return own, rows_of_own


def _require_share(name: str, share: Any) -> None:
    is_number = isinstance(share, numbers.Real) and not isinstance(share, bool)
    if not is_number or not 0 < share < 1:
        raise ValueError(
            f"`{name}` must be a number between 0 and 1, neither of them. "
            f"Received: {name}={share!r}"
        )


def _batches_at_once(arrays: list[Any], batch_size: int) -> int:
    """How many batches to make at a time; one where no size is known."""
    dtypes = [np.dtype(array.dtype) for array in arrays]
    if any(dtype.hasobject for dtype in dtypes):
        return 1
    case = sum(
        math.prod(array.shape[1:]) * dtype.itemsize
        for array, dtype in zip(arrays, dtypes, strict=True)
    )
    fitting = _BYTES_AT_ONCE // max(1, case * batch_size)
    return min(max(1, fitting), _MOST_AT_ONCE)


def _taken(array: Any, drawn: np.ndarray) -> np.ndarray:
    """Rows of an array, as TensorFlow reads them: in the native byte order."""
    if isinstance(array, np.ndarray):
        part = array[drawn]
    else:
        # Others, such as h5py's, want them increasing, each once.
        distinct, place = np.unique(drawn, return_inverse=True)
        part = np.asarray(array[distinct])[place]
    if part.dtype.kind in "SUTO":
        return part.astype(object)
    return part.astype(part.dtype.newbyteorder("="), copy=False)


def _in_graph(
    draw: Callable[[np.ndarray], list[np.ndarray]],
    x: Any,
    together: int,
    batch_size: int,
) -> Callable[[Tensor], tuple[Any, Tensor]]:
    """A function of `draw` as tf.data calls it: several batches of (x, y)."""
    arrays = tf.nest.flatten(x)
    dtypes = [*(tf.as_dtype(array.dtype) for array in arrays), tf.int64]
    shapes = [*(array.shape[1:] for array in arrays), ()]

    @tf.autograph.experimental.do_not_convert
    def several(step: Tensor) -> tuple[Any, Tensor]:
        # Stateful, as tf.data takes it, it runs once at a time: the order of a
        # pass, which may be long, is drawn once.
        parts = tf.numpy_function(draw, [step], dtypes)
        *drawn, y = [
            tf.reshape(part, (together, batch_size, *shape))
            for part, shape in zip(parts, shapes, strict=True)
        ]
        return tf.nest.pack_sequence_as(x, drawn), y

    return several

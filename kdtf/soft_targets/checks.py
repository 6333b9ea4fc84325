"""What `SoftTargets.write` refuses before it writes anything."""

import tensorflow as tf

from kdtf import _atomic
from kdtf.soft_targets import examples
from kdtf.soft_targets import format as store_format


def require_options(dtype, top_k, views, augment, shards, batch_size):
    """Raises ValueError if an option of `write` cannot be right."""
    if dtype not in store_format.DTYPES:
        raise ValueError(
            f"`dtype` must be one of {store_format.DTYPES}. "
            f"Received: dtype={dtype!r}"
        )
    counts = {"views": views, "shards": shards}
    for name, count in (("top_k", top_k), ("batch_size", batch_size)):
        if count is not None:
            counts[name] = count
    for name, count in counts.items():
        if type(count) is not int or count < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. "
                f"Received: {name}={count!r}"
            )
    if views > 1 and augment is None:
        raise ValueError(
            "`augment` must be given for several views: without it they are "
            f"all the same. Received: views={views}, augment=None"
        )


def require_length(dataset):
    """The number of batches, None if unknown; ValueError if it cannot be."""
    count = int(dataset.cardinality())
    if count == tf.data.UNKNOWN_CARDINALITY:
        return None
    if count < 1:
        endless = count == tf.data.INFINITE_CARDINALITY
        what = "an infinite data set" if endless else "an empty one"
        raise ValueError(
            f"`dataset` must be finite and not empty. Received: {what}"
        )
    return count


def require_steady(dataset, augment, starts):
    """Raises ValueError if data are not the same each time they are read.

    Args:
      dataset: as it was given, in batches, to tell what is not the same.
      augment: what its examples are changed by, or None.
      starts: what `examples.start` found, with `augment`, in two readings.
    """
    (x, first), (_, second) = starts
    if x is None:
        raise ValueError(
            "`dataset` must be finite and not empty. Received: an empty one"
        )
    if first == second:
        return
    if augment is not None and _is_steady(dataset):
        raise ValueError(
            "`augment` must be stateless: make all that is random of its "
            "`seed`, by tf.random.stateless_uniform and the like. Received: "
            "one that changed the same examples to others when called again"
        )
    raise ValueError(
        "`dataset` must give the same examples in the same order each time it "
        "is read. Shuffle (and augment at random) what `join` returns, or give "
        "`shuffle` a seed and reshuffle_each_iteration=False. Received: a data "
        "set whose first examples are others when it is read again"
    )


def _is_steady(dataset):
    return len({examples.start(dataset)[1] for _ in range(2)}) == 1


def require_top_k(top_k, classes):
    """Raises ValueError if there are not more than `top_k` classes."""
    if top_k is not None and top_k >= classes:
        raise ValueError(
            f"`top_k` must be below the number of classes, {classes}. "
            f"Received: top_k={top_k}"
        )


def require_same(directory, before, now):
    """Raises ValueError if two `Identity`s differ, and names what does."""
    differing = [
        f"{name} {getattr(before, name)} there and {getattr(now, name)} now"
        for name in before.__dataclass_fields__
        if getattr(before, name) != getattr(now, name)
    ]
    if differing:
        raise ValueError(
            "`directory` must be another one for soft targets of another "
            "teacher, other data or other options: they are never overwritten. "
            "Delete it if they are not needed any more. "
            f"Received: {directory} with {', '.join(differing)}"
        )


def require_store_or_empty(directory):
    """Raises ValueError if a directory holds something else already."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(
            "`directory` must be a directory. "
            f"Received: {directory}, which is a file"
        )
    found = sorted(
        p.name
        for p in directory.iterdir()
        if not p.name.endswith(_atomic.SCRATCH)
    )
    if found and store_format.UNFINISHED not in found:
        raise ValueError(
            "`directory` must be new, empty, or hold soft targets. "
            f"Received: {directory}, which holds {found[:3]}"
        )

"""What `SoftTargets.write` refuses before it writes anything."""

import tensorflow as tf

from kdtf import _atomic
from kdtf.soft_targets import examples, sources
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
        require_count(name, count)
    if views > store_format.MAX_VIEWS:
        raise ValueError(
            f"`views` must be at most {store_format.MAX_VIEWS}. "
            f"Received: views={views}"
        )
    if views > 1 and augment is None:
        raise ValueError(
            "`augment` must be given for several views: without it they are "
            f"all the same. Received: views={views}, augment=None"
        )


def require_sizes(number, batch_size):
    """Raises ValueError if a function of a range lacks what tells its batches.

    Args:
      number: int, of all examples, or None.
      batch_size: int, or None.
    """
    for name, value in (("examples", number), ("batch_size", batch_size)):
        if value is None:
            raise ValueError(
                f"`{name}` must be given for a `dataset` that is a function "
                "of a range of examples (first, last), which cannot tell it. "
                f"Received: {name}=None"
            )
        require_count(name, value)


def require_no_number(number):
    """Raises ValueError if a number was given for data that tell it."""
    if number is not None:
        raise ValueError(
            "`examples` must be None unless `dataset` is a function of a range "
            f"of examples (first, last). Received: examples={number!r}"
        )


def require_range(data, number, known):
    """Raises ValueError if a function does not give the examples of its range.

    It is asked for two of them alone: one that is known, and the last one.

    Args:
      data: function (first, last).
      number: int, of all examples.
      known: a batched data set that begins as the data do.
    """

    def alone(position):
        one = sources.of_range(data, position, position + 1)
        return examples.checksums_of(one.batch(1))

    found = examples.checksums_of(known)
    last = len(found) - 1
    if alone(last) != found[last:]:
        raise ValueError(
            "`dataset` must be a function (first, last) that returns the same "
            "example at a position, whatever the range. Received: one whose "
            f"example {last} is another in the range (0, {last + 1}) than in "
            f"({last}, {last + 1})"
        )
    alone(number - 1)


def require_share(shard_index, shard_count, batches, shards):
    """Raises ValueError if there is no such share of a store's shards.

    Args:
      shard_index: int, or None.
      shard_count: int, or None.
      batches: int, of a view; None if it is not known.
      shards: int, how many there may be, of all views.
    """
    if shard_index is None and shard_count is None:
        return
    if batches is None:
        raise ValueError(
            "`dataset` must tell its length, for `shard_index` and "
            "`shard_count`, which say who writes what: if you know it, "
            "dataset.apply(tf.data.experimental.assert_cardinality(batches)). "
            "Received: a data set of unknown length"
        )
    if type(shard_count) is not int or not 1 <= shard_count <= shards:
        raise ValueError(
            "`shard_count` must be a positive integer, at most the number of "
            f"shards of all views, {shards}, or a process would have nothing "
            "to write: give more `shards`, or start fewer processes. "
            f"Received: shard_count={shard_count!r}"
        )
    if type(shard_index) is not int or not 0 <= shard_index < shard_count:
        raise ValueError(
            "`shard_index` must be an integer from 0, below `shard_count`. "
            f"Received: shard_index={shard_index!r}, shard_count={shard_count}"
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
        for name in before.content()
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
    own = {store_format.UNFINISHED, store_format.MANIFEST}
    if found and own.isdisjoint(found):
        raise ValueError(
            "`directory` must be new, empty, or hold soft targets. "
            f"Received: {directory}, which holds {found[:3]}"
        )


def require_count(name, value):
    if type(value) is not int or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r}"
        )

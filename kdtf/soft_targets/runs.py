"""Which shards are read together, and what is in them."""

import bisect
import dataclasses

import tensorflow as tf

from kdtf.soft_targets import shards as shard_files


@dataclasses.dataclass(frozen=True)
class Run:
    """Shards of one view that follow one another.

    Attributes:
      view: int.
      paths: list of str, the files.
      first: int, position of the first example in the data set.
      examples: int.
      first_batch: int, position of the first batch that was written.
      batches: int, number of those.
    """

    view: int
    paths: list
    first: int
    examples: int
    first_batch: int
    batches: int


def stack(runs):
    """Runs of one shard as one `Run` of tensors, whose first axis is theirs."""
    columns = {
        field.name: [getattr(run, field.name) for run in runs]
        for field in dataclasses.fields(Run)
    }
    view, paths = (tf.constant(columns.pop(name)) for name in ("view", "paths"))
    positions = {n: tf.constant(c, tf.int64) for n, c in columns.items()}
    return Run(view=view, paths=paths, **positions)


def pick(stacked, index):
    """One of what `stack` returned: a `Run` of scalars, and `paths` `[1]`."""
    names = [field.name for field in dataclasses.fields(Run)]
    return Run(**{name: getattr(stacked, name)[index] for name in names})


def of_worker(directory, manifest, index, count):
    """A worker's shards, as list of a `Run` for each view.

    Args:
      directory: `pathlib.Path` of the store.
      manifest: its `Manifest`.
      index: int, of the worker; None for all shards.
      count: int, of the workers; None for all shards.

    Raises:
      ValueError: if there is no such worker, or there are too many.
    """
    if index is None and count is None:
        shards = range(len(manifest.shards(0)))
        # No need to know where each of them begins.
        return _run(directory, manifest, shards, 0, manifest.examples)
    ranges = _ranges(directory, manifest)
    shards = share(ranges, index, count)
    first, last = ranges[shards[0]][0], ranges[shards[-1]][1]
    return _run(directory, manifest, shards, first, last)


def one_by_one(directory, manifest, index, count):
    """A worker's shards, as list of what `of_worker` returns, for each shard.

    Args and errors are those of `of_worker`.
    """
    ranges = _ranges(directory, manifest)
    return [
        _run(directory, manifest, range(shard, shard + 1), *ranges[shard])
        for shard in share(ranges, index, count)
    ]


def _run(directory, manifest, shards, first, last):
    """A `Run` for each view: the examples `first` to `last` - 1."""
    identity = manifest.identity
    first_batch, end = (
        min(manifest.batches, identity.first_batch_of(shard))
        for shard in (shards.start, shards.stop)
    )
    return [
        Run(
            view=view,
            paths=[str(directory / identity.shard(view, i)) for i in shards],
            first=first,
            examples=last - first,
            first_batch=first_batch,
            batches=end - first_batch,
        )
        for view in range(identity.views)
    ]


def share(ranges, index, count):
    """The shards of one of several workers: range of int.

    They follow one another, every shard is one worker's, each worker has one at
    least, and their examples are about as even as whole shards allow.

    Args:
      ranges: list of (first, last), the examples of each shard.
      index: int or None, as `of_worker` has it.
      count: int or None.

    Raises:
      ValueError: if there is no such worker, or there are too many.
    """
    if index is None and count is None:
        return range(len(ranges))
    _require_worker(index, count, len(ranges))
    total, begins = ranges[-1][1], [first for first, _ in ranges]
    bounds = [0]
    for worker in range(1, count):
        even = bisect.bisect_left(begins, worker * total / count)
        at_most = len(ranges) - (count - worker)
        bounds.append(min(max(even, bounds[-1] + 1), at_most))
    bounds.append(len(ranges))
    return range(bounds[index], bounds[index + 1])


def _ranges(directory, manifest):
    """The examples of each shard, in every view: list of (first, last).

    They are first, first + 1, ..., last - 1. A store of version 2 does not
    tell: its first view is read.
    """
    found = manifest.ranges(0)
    if found is not None:
        return found
    found, first = [], 0
    for index, name in enumerate(manifest.shards(0)):
        path, identity = directory / name, manifest.identity
        last = first + shard_files.look_at(path, identity, 0, index).examples
        found.append((first, last))
        first = last
    return found


def _require_worker(index, count, shards):
    received = f"shard_index={index!r}, shard_count={count!r}"
    if type(count) is not int or count < 1:
        raise ValueError(
            "`shard_count` must be a positive integer, the number of workers, "
            f"and go with `shard_index`. Received: {received}"
        )
    if type(index) is not int or not 0 <= index < count:
        raise ValueError(
            "`shard_index` must be the number of this worker, from 0 to "
            f"`shard_count` - 1. Received: {received}"
        )
    if count > shards:
        raise ValueError(
            f"`shard_count` must be at most the number of shards, {shards}: "
            "let fewer workers read, or write the soft targets in more "
            f"`shards`. Received: {received}"
        )

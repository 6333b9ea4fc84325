"""A data set with its stored soft targets: all of it, or a worker's part."""

import functools
import itertools
import math

import tensorflow as tf

from kdtf.soft_targets import examples, pairs, runs, sources


def join(directory, manifest, data, *, augment, worker, interleave, seed):
    """See `kdtf.SoftTargets.join`.

    Args:
      directory: `pathlib.Path` of the store.
      manifest: its `Manifest`.
      data: the data that were written.
      augment: function or None.
      worker: `shard_index` and `shard_count`.
      interleave: int or None.
      seed: int or None.
    """
    if manifest.identity.views > 1 and augment is None:
        raise ValueError(
            "`augment` must be the function that the soft targets were "
            f"written with, for {manifest.identity.views} views. "
            "Received: augment=None"
        )
    _require_order(data, interleave, seed)
    if interleave is None:
        group = runs.of_worker(directory, manifest, *worker)
        joined, length = _in_order(manifest, data, group, augment)
    else:
        groups = runs.one_by_one(directory, manifest, *worker)
        joined, length = _interleaved(
            manifest, data, groups, augment, interleave, seed
        )
    if worker[1] in (None, 1):
        joined = pairs.with_length(joined, length)
    else:
        joined = _without_length(joined)
    policy = tf.data.experimental.AutoShardPolicy
    options = tf.data.Options()
    # By files, workers would pair their labels with others' targets.
    options.experimental_distribute.auto_shard_policy = (
        policy.DATA if worker == (None, None) else policy.OFF
    )
    return joined.with_options(options).prefetch(tf.data.AUTOTUNE)


def _without_length(part):
    """A worker's part, which does not tell its length.

    Keras ends an epoch after as many batches as a data set says it has: workers
    whose parts differ would wait for each other for ever. Of unknown length,
    data end when those of all workers have.
    """
    if int(part.cardinality()) == tf.data.UNKNOWN_CARDINALITY:
        return part
    return part.take_while(lambda *_: True)


def _require_order(data, interleave, seed):
    """Raises ValueError if the data cannot be read in that order."""
    if interleave is None:
        if seed is not None:
            raise ValueError(
                "`seed` must go with `interleave`, whose order it gives. "
                f"Received: seed={seed!r}, interleave=None"
            )
        return
    if type(interleave) is not int or interleave < 1:
        raise ValueError(
            "`interleave` must be a positive integer, the number of shards to "
            f"read at once. Received: interleave={interleave!r}"
        )
    if seed is not None and not (
        type(seed) is int and -(2**63) <= seed < 2**63
    ):
        raise ValueError(
            "`seed` must be an integer of 64 bits or None. "
            f"Received: seed={seed!r}"
        )
    if not sources.is_function(data):
        raise ValueError(
            "`dataset` must be a function (first, last) -> tf.data.Dataset for "
            "`interleave`: other data can be read from their start alone. "
            f"Received: interleave={interleave} and a {type(data).__name__}"
        )


def _in_order(manifest, data, group, augment):
    """The joined data of some shards, one view after another, and the length.

    Args:
      group: list of `runs.Run`, of the same shards of every view.
    """
    part, views = group[0], len(group)
    dataset, batched = _examples(manifest, data, part)
    if batched:
        size = examples.batch_size(dataset)
    else:
        size = _together(manifest, dataset)
        dataset = dataset.batch(size)
    joined = functools.reduce(
        tf.data.Dataset.concatenate,
        [pairs.of_run(manifest, dataset, run, size, augment) for run in group],
    )
    if batched:
        return joined, views * pairs.batches(manifest, part, size)
    return joined.unbatch(), views * part.examples


def _interleaved(manifest, data, groups, augment, interleave, seed):
    """The joined data of shards in orders of their own, and the length.

    The order of the shards is another one in every epoch.

    Args:
      groups: list of lists of `runs.Run`, of each shard those of every view.
    """
    # The function takes integers, and the pipeline has a tensor in their place:
    # that chooses among the data sets that the function gave for every shard.
    datasets = [_examples(manifest, data, group[0])[0] for group in groups]
    spec = _common_spec(datasets)
    variants = tf.stack([tf.data.experimental.to_variant(d) for d in datasets])
    size = _together(manifest, datasets[0])
    views, stacked = len(groups[0]), runs.stack(list(itertools.chain(*groups)))

    @tf.autograph.experimental.do_not_convert
    def read(index):
        dataset = tf.data.experimental.from_variant(
            variants[index // views], spec
        )
        run = runs.pick(stacked, index)
        dataset = dataset.batch(size)
        return pairs.of_run(manifest, dataset, run, size, augment).unbatch()

    count = len(groups) * views
    joined = (
        tf.data.Dataset.range(count)
        .shuffle(count, seed)
        .interleave(
            read,
            cycle_length=interleave,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    )
    return joined, views * sum(group[0].examples for group in groups)


def _common_spec(datasets):
    """The element spec of all data sets; ValueError if they differ."""
    specs = [dataset.element_spec for dataset in datasets]
    for spec in specs:
        if spec != specs[0]:
            raise ValueError(
                "`dataset` must be a function whose data sets have the same "
                "element_spec for every range, for `interleave`. "
                f"Received: {specs[0]} and {spec}"
            )
    return specs[0]


def _examples(manifest, data, part):
    """The data of a part, and whether they are in batches.

    Args:
      part: `runs.Run`.
    """
    if sources.is_function(data):
        first, last = part.first, part.first + part.examples
        return _of_range(manifest, data, first, last), False
    dataset = sources.dataset(data)
    batched = examples.is_batched(dataset, manifest.identity.examples)
    if None in manifest.entries:
        _require_written_batches(manifest, dataset, batched)
    elif batched:
        size = examples.batch_size(dataset)
        batches = math.ceil(manifest.examples / size)
        _require_length(manifest, dataset, batches, f"batches of {size}")
    else:
        _require_length(manifest, dataset, manifest.examples, "examples")
    return _cut(manifest, dataset, batched, part), batched


def _together(manifest, dataset):
    """How many single examples are joined at once."""
    if None in manifest.entries:  # each was a batch of its own
        return 1
    return pairs.at_once(manifest, dataset, batched=False)


def _of_range(manifest, function, first, last):
    """The data set of some examples that a function gives."""
    if None in manifest.entries and manifest.examples != manifest.batches:
        raise ValueError(
            "`dataset` must be the data set of the batches that were written, "
            "since the length of their soft targets differs from batch to "
            "batch: a function gives single examples. "
            f"Received: the function {function!r}"
        )
    dataset = sources.of_range(function, first, last)
    if examples.is_batched(dataset, manifest.identity.examples):
        raise ValueError(
            "`dataset` must be a function (first, last) that returns a data "
            "set of single examples. Received: one that returned batches, of "
            f"{dataset.element_spec}"
        )
    return dataset


def _cut(manifest, dataset, batched, part):
    """The examples of a part, or the batches that were written, of a data set.

    All that is before them is read and dropped.
    """
    if part.examples == manifest.examples:
        return dataset
    if None in manifest.entries:
        return _slice(dataset, part.first_batch, part.batches, manifest.batches)
    ends = (part.first, part.examples, manifest.examples)
    if not batched:
        return _slice(dataset, *ends)
    size = examples.batch_size(dataset)
    return _slice(dataset.unbatch(), *ends).batch(size)


def _slice(dataset, first, length, total):
    """So many elements from `first` on."""
    dataset = dataset.skip(first)
    # After the last one, what is too much must be noticed.
    return dataset if first + length == total else dataset.take(length)


def _require_length(manifest, dataset, length, unit):
    found = int(dataset.cardinality())
    if found not in (length, int(tf.data.UNKNOWN_CARDINALITY)):
        infinite = int(tf.data.INFINITE_CARDINALITY)
        received = "infinitely many" if found == infinite else found
        raise ValueError(
            "`dataset` must be the one that was written, of "
            f"{manifest.examples} examples, which is {length} {unit}. "
            f"Received: {received} {unit}"
        )


def _require_written_batches(manifest, dataset, batched):
    """Raises ValueError if data cannot be in the batches that were written.

    A row of targets is as long as the longest of its batch was, and its example
    was padded to it: neither can be told from the example alone.
    """
    batches, received = manifest.batches, None
    if not batched and manifest.examples != batches:
        received = "single examples"
    found = int(dataset.cardinality())
    if found not in (batches, int(tf.data.UNKNOWN_CARDINALITY)):
        received = received or f"{found} batches"
    if received:
        raise ValueError(
            f"`dataset` must be in the {batches} batches that were written: "
            "the length of their soft targets differs from batch to batch. "
            f"Received: {received}"
        )

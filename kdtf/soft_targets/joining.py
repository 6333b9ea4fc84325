"""A data set zipped with its stored soft targets, every example checked."""

import functools
import math

import keras
import tensorflow as tf

from kdtf._training import targets
from kdtf.soft_targets import examples, sources
from kdtf.soft_targets import format as store_format


def join(directory, manifest, data, augment):
    """See `kdtf.SoftTargets.join`.

    Args:
      directory: `pathlib.Path` of the store.
      manifest: its `Manifest`.
      data: the data that were written.
      augment: function or None.
    """
    identity = manifest.identity
    if identity.views > 1 and augment is None:
        raise ValueError(
            "`augment` must be the function that the soft targets were "
            f"written with, for {identity.views} views. "
            "Received: augment=None"
        )
    dataset = sources.dataset(data)
    batched = examples.is_batched(dataset, identity.examples)
    if None in manifest.entries:
        _require_written_batches(manifest, dataset, batched)
        join_batches = _join_written_batches
    else:
        join_batches = _join_batches
    if batched:
        joined = join_batches(directory, manifest, dataset, augment)
    else:
        count = manifest.examples
        _require_length(manifest, dataset, count, "examples")
        together = examples.at_once(dataset, batched=False)
        batches = dataset.batch(together)
        joined = join_batches(directory, manifest, batches, augment).unbatch()
        joined = _with_length(joined, identity.views * count)
    options = tf.data.Options()
    # By files, workers would pair their labels with others' targets.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return joined.with_options(options).prefetch(tf.data.AUTOTUNE)


def _join_batches(directory, manifest, dataset, augment):
    """`join` of batches of any size: all examples' targets have one shape."""
    count = manifest.examples
    size = examples.batch_size(dataset)
    length = math.ceil(count / size)
    _require_length(manifest, dataset, length, f"batches of {size}")
    chunk = size * max(1, examples.at_once(dataset, batched=True) // size)
    views = []
    for view in range(manifest.identity.views):
        shown = examples.view(dataset, view, augment)
        shown = _in_chunks(_with_length(shown, length), size, chunk)
        stored = _records(directory, manifest, view).batch(16)
        stored = stored.map(_decoder(store_format.decode, manifest))
        stored = stored.rebatch(chunk)
        stored = _with_length(stored, math.ceil(count / chunk))
        positions = tf.data.Dataset.range(0, count, chunk)
        placed = tf.data.Dataset.zip((stored, positions))
        joined = _zip(shown, placed, manifest)
        whole = count % size == 0  # then the batch axis is static
        views.append(_in_chunks(joined, chunk, size, whole))
    joined = functools.reduce(tf.data.Dataset.concatenate, views)
    return _with_length(joined, len(views) * length)


def _join_written_batches(directory, manifest, dataset, augment):
    """`join` of the batches that were written, each with its own shape."""
    length = manifest.batches
    views = []
    for view in range(manifest.identity.views):
        shown = _with_length(examples.view(dataset, view, augment), length)
        stored = _records(directory, manifest, view)
        stored = stored.map(_decoder(store_format.decode_one, manifest))
        placed = _with_length(stored, length).scan(
            tf.constant(0, tf.int64), _counted
        )
        views.append(_zip(shown, placed, manifest))
    joined = functools.reduce(tf.data.Dataset.concatenate, views)
    return _with_length(joined, len(views) * length)


def _records(directory, manifest, view):
    paths = [str(directory / name) for name in manifest.shards(view)]
    return tf.data.TFRecordDataset(paths)


def _decoder(decode, manifest):
    return tf.autograph.experimental.do_not_convert(
        functools.partial(
            decode, fields=manifest.fields(), identity=manifest.identity
        )
    )


@tf.autograph.experimental.do_not_convert
def _counted(position, stored):
    """The next position; what is stored, and its own."""
    rows = tf.size(stored["checksum"], tf.int64)
    return position + rows, (stored, position)


def _zip(shown, placed, manifest):
    # In this order: the first one's end or excess is seen.
    return tf.data.Dataset.zip((shown, placed)).map(
        functools.partial(_attach, identity=manifest.identity),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _in_chunks(dataset, size, chunk, drop_remainder=False):
    """Batches of `size` as batches of `chunk`."""
    if size == chunk:
        return dataset
    return dataset.rebatch(chunk, drop_remainder=drop_remainder)


def _with_length(dataset, length):
    return dataset.apply(tf.data.experimental.assert_cardinality(length))


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


@tf.autograph.experimental.do_not_convert
def _attach(element, placed, *, identity):
    """A batch with its soft targets, if it is the one they were written for.

    Args:
      element: the batch, as the data set gives it.
      placed: what the store has for it, a dict, and the position of its first
        example in the data set.
      identity: `Identity` of the store.

    Returns:
      The batch, with a dict as y.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(element)
    stored, position = dict(placed[0]), tf.cast(placed[1], tf.int64)
    found = examples.checksums(x)
    _require_checksums(found, stored.pop("checksum"), position)
    joined = _targets(stored, identity)
    if isinstance(y, dict):
        joined = {**y, **joined}
    elif y is not None:
        joined = {"labels": y, **joined}
    return keras.utils.pack_x_y_sample_weight(x, joined, sample_weight)


def _targets(stored, identity):
    """What is added to y, under the keys of `kdtf._training.targets`."""
    logits = tf.cast(stored["logits"], tf.float32)
    if "tail" in stored:
        classes = tf.cast(stored["classes"], tf.int32)
        parts = (logits, classes, stored["tail"])
        found = dict(zip(targets.TOP_KEYS, parts, strict=True))
    else:
        found = {"teacher_logits": logits}
    keys = [targets.head_key(identity.head)]
    if identity.temperature is not None:
        keys.append(targets.temperature_key(identity.temperature))
    for key in keys:
        # The key tells it; as the value any number per example will do.
        found[key] = tf.zeros(tf.shape(logits)[:1])
    return found


def _require_checksums(found, stored, position):
    """Fails where an example is not the one that the teacher saw."""
    sizes = (tf.size(found), tf.size(stored))
    same_size = tf.debugging.Assert(
        sizes[0] == sizes[1],
        [
            tf.strings.format(
                "`dataset` must have the examples that were written, in "
                "batches of one size, or in those that were written. "
                "Received: a batch of {} where the soft targets are {}",
                sizes,
            )
        ],
    )
    with tf.control_dependencies([same_size] if same_size is not None else []):
        same = tf.equal(found, stored)
    first = tf.argmin(tf.cast(same, tf.int32))
    tf.debugging.Assert(
        tf.reduce_all(same),
        [
            tf.strings.format(
                "`dataset` must be the one that was written, in the same order "
                "(and with the same padding and `augment`). Received: as "
                "example {} one of checksum {} where that of the soft targets "
                "is {}",
                (position + first, found[first], stored[first]),
            )
        ],
    )

"""Batches next to what is stored for them, every example checked."""

import functools
import math

import keras
import tensorflow as tf

from kdtf._training import targets
from kdtf.soft_targets import examples
from kdtf.soft_targets import format as store_format

_BUFFER = 2**18  # bytes that are read from a file at once
_BYTES = 4  # of a number that is joined, at most


def of_run(manifest, dataset, run, size, augment):
    """The batches of some shards with their soft targets.

    Args:
      manifest: `Manifest` of the store.
      dataset: a `tf.data.Dataset` of the run's examples: in batches of `size`
        or, if the targets differ in shape from batch to batch, in the batches
        that were written.
      run: `runs.Run`.
      size: int.
      augment: function or None.

    Returns:
      A `tf.data.Dataset` of the same batches, with a dict as y.
    """
    shown = examples.view(dataset, run.view, augment, first=run.first)
    shown = with_length(shown, batches(manifest, run, size))
    records = _records(run.paths)
    if None in manifest.entries:
        stored = records.map(_decoder(store_format.decode_one, manifest))
        stored = with_length(stored, run.batches)
        placed = stored.scan(tf.cast(run.first, tf.int64), _counted)
        return _zip(shown, placed, manifest)
    together = at_once(manifest, dataset, batched=True)
    chunk = size * max(1, together // size)
    rows = _quotient(manifest.examples, manifest.batches)
    stored = records.batch(_quotient(together, rows))
    stored = stored.map(_decoder(store_format.decode, manifest))
    stored = stored.rebatch(chunk)
    stored = with_length(stored, _quotient(run.examples, chunk))
    end = run.first + run.examples
    positions = tf.data.Dataset.range(run.first, end, chunk)
    placed = tf.data.Dataset.zip((stored, positions))
    if size == chunk:
        return _zip(shown, placed, manifest)
    joined = _zip(shown.rebatch(chunk), placed, manifest)
    # Where all batches are whole, the batch axis is static.
    return joined.rebatch(size, drop_remainder=run.examples % size == 0)


def at_once(manifest, dataset, *, batched):
    """How many examples are joined by one operation; see `examples.at_once`.

    Of many classes the soft targets are far larger than the examples.
    """
    fields = manifest.fields().values()
    targets_bytes = sum(_BYTES * math.prod(field.shape) for field in fields)
    return examples.at_once(dataset, batched=batched, beside=targets_bytes)


def batches(manifest, run, size):
    """How many batches `of_run` gives: int, of tensors a scalar tensor."""
    if None in manifest.entries:
        return run.batches
    return _quotient(run.examples, size)


def with_length(dataset, length):
    """The data set, which fails if it has another length."""
    return dataset.apply(tf.data.experimental.assert_cardinality(length))


def _quotient(count, size):
    return -(-count // size)


def _records(paths):
    """The records of some files, one after the other.

    As `tf.data.TFRecordDataset`, which makes a data set of each file by a
    function: to set that up takes as long, each epoch, as to read 400 batches.
    """
    records = tf.raw_ops.TFRecordDataset(
        filenames=paths, compression_type="", buffer_size=_BUFFER
    )
    return tf.data.experimental.from_variant(
        records, tf.TensorSpec([], tf.string)
    )


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
    stored, position = dict(placed[0]), placed[1]
    found = examples.checksums(x)
    _require_checksums(found, stored.pop("checksum"), position)
    joined = _targets(stored, identity)
    if isinstance(y, dict):
        _require_none_yet(y)
        joined = {**y, **joined}
    elif y is not None:
        joined = {"labels": y, **joined}
    return keras.utils.pack_x_y_sample_weight(x, joined, sample_weight)


def _require_none_yet(y):
    """Raises ValueError if y, a dict, holds soft targets already."""
    found = [key for key in targets.KEYS if key != "labels" and key in y]
    if found:
        raise ValueError(
            "`dataset` must be the one that was written, without soft targets: "
            "those of another store would be lost. To learn from several "
            "teachers write the soft targets of their kdtf.Ensemble. Received: "
            f"a data set whose y holds {found}"
        )


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

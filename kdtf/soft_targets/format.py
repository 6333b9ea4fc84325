"""The format of soft targets on disk.

A store is a folder with a manifest and, for every view of the data, shards:
TFRecord files, whose framing has checksums of its own. A record is a
`tf.train.Example` with the targets of one batch; its features are the raw bytes
of little-endian arrays, one row per example, and of the record's origin, which
ties it to its store and to its place there.

While a store is being written it has an `unfinished.json` instead of a
manifest, and shards appear in order, each by one rename.
"""

import dataclasses
import hashlib
import json

import numpy as np
import tensorflow as tf

VERSION = 2
MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"

DTYPES = ("float16", "float32", "bfloat16")
MAX_CLASSES = 2**31

_ORIGIN = "origin"
_TAG_BYTES = 8


@dataclasses.dataclass(frozen=True)
class Identity:
    """What makes two stores the same: teacher, data and options.

    Attributes:
      teacher: hash of the teacher's weights, and of what else names it.
      examples: list of str, dtype and shape of one example.
      start: hash of the first examples, as the teacher saw them.
      batches: int, number of batches of one view; None if it was not known
        before they were read.
      dtype: one of `DTYPES`.
      top_k: int, or None for all classes.
      temperature: float, or None if the targets do not depend on it.
      views: int.
      shards: int, number of shards of one view; if the number of batches was
        not known, after so many the shards double in size.
      head: str, "softmax" or "sigmoid".
    """

    teacher: str
    examples: list
    start: str
    batches: int | None
    dtype: str
    top_k: int | None
    temperature: float | None
    views: int
    shards: int
    head: str

    def shard(self, view, index):
        """File name of a shard."""
        return f"view{view:03d}-shard{index:05d}.tfrecord"

    def first_batch_of(self, shard):
        """The first batch of a shard; `batches` for the one after the last.

        Without a known end, shards grow with what is there already: a killed
        run loses at most one part in `shards`, and files stay few.
        """
        if self.batches is not None:
            return shard * self.batches // self.shards
        doublings, index = divmod(shard, self.shards)
        return (self.shards + index) * 2**doublings - self.shards

    def tag(self):
        """Bytes by which every record tells whose it is."""
        text = json.dumps(dataclasses.asdict(self)).encode()
        return hashlib.sha256(text).digest()[:_TAG_BYTES]


def fields(identity, classes, entries):
    """What a record holds of every example.

    Args:
      identity: `Identity`.
      classes: int.
      entries: list of int, the axes between batch and classes; None for one
        whose length differs from batch to batch.

    Returns:
      Dict from feature to (dtype, shape of one example).
    """
    stored = tf.as_dtype(identity.dtype)
    checksum = {"checksum": (tf.int32, [])}
    if identity.top_k is None:
        return {**checksum, "logits": (stored, [*entries, classes])}
    return {
        **checksum,
        "logits": (stored, [*entries, identity.top_k]),
        "classes": (_class_dtype(classes), [*entries, identity.top_k]),
        "tail": (tf.float32, entries),
    }


def encode(arrays, tag, place):
    """A record of a batch.

    Args:
      arrays: dict from feature to numpy array, as `fields` describes them.
      tag: bytes, the `Identity.tag`.
      place: list of int: view, batch, and the lengths of the axes between
        batch and classes.
    """
    parts = {n: array.tobytes() for n, array in arrays.items()}
    parts[_ORIGIN] = tag + np.int32(place).tobytes()
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[part]))
        for name, part in parts.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def decode(records, fields, tag):
    """The batches of records as one: dict from feature to `[batch, ...]`.

    Args:
      records: `[records]` string tensor.
      fields: what `fields` returned, without an axis whose length differs.
      tag: the `Identity.tag` of the store.

    Raises:
      tf.errors.InvalidArgumentError: if a record is another store's.
    """
    parts, _ = _of_this_store(records, fields, tag)
    return {
        name: tf.reshape(
            tf.io.decode_raw(tf.strings.reduce_join(parts[name]), dtype),
            [-1, *shape],
        )
        for name, (dtype, shape) in fields.items()
    }


def decode_one(record, fields, tag):
    """The batch of one record, whose axes may have lengths of its own.

    Args:
      record: scalar string tensor.
      fields: what `fields` returned.
      tag: as in `decode`; raises as it does.
    """
    parts, origins = _of_this_store(record[None], fields, tag)
    place = tf.strings.substr(origins[0], _TAG_BYTES, 2**30)
    lengths = tf.io.decode_raw(place, tf.int32)[2:]
    rows = tf.strings.length(parts["checksum"][0]) // tf.int32.size
    arrays = {}
    for name, (dtype, shape) in fields.items():
        own = [lengths[i] if n is None else n for i, n in enumerate(shape)]
        flat = tf.io.decode_raw(parts[name][0], dtype)
        arrays[name] = tf.ensure_shape(
            tf.reshape(flat, [rows, *own]), [None, *shape]
        )
    return arrays


def origins(records):
    """Whose records these are, and where they belong.

    Args:
      records: list of bytes.

    Yields:
      A record's tag, its place as a list of int (both as in `encode`), and its
      number of examples.
    """
    parts = _strings(records, (_ORIGIN, "checksum"))
    columns = (parts[_ORIGIN].numpy(), parts["checksum"].numpy())
    for origin, checksum in zip(*columns, strict=True):
        place = np.frombuffer(origin[_TAG_BYTES:], np.int32).tolist()
        yield origin[:_TAG_BYTES], place, len(checksum) // tf.int32.size


def _of_this_store(records, fields, tag):
    """The features and the origins of records, all as strings."""
    parts = _strings(records, (_ORIGIN, *fields))
    own = tf.debugging.Assert(
        tf.reduce_all(tf.strings.substr(parts[_ORIGIN], 0, _TAG_BYTES) == tag),
        [
            "`directory` must hold the shards that were written there: delete "
            "it and write the soft targets again. Received: a shard of another "
            "store"
        ],
    )
    # Before the arrays are shaped, which fails for another store's.
    with tf.control_dependencies([own] if own is not None else []):
        parts = {name: tf.identity(part) for name, part in parts.items()}
    return parts, parts.pop(_ORIGIN)


def _strings(records, names):
    """Some features of records: dict to `[records]`, "" for what is absent."""
    one = tf.io.FixedLenFeature([], tf.string, default_value="")
    return tf.io.parse_example(records, dict.fromkeys(names, one))


def _class_dtype(classes):
    """The smallest integer dtype that counts to `classes`."""
    sizes = ((2**8, tf.uint8), (2**16, tf.uint16), (MAX_CLASSES, tf.int32))
    return next(dtype for limit, dtype in sizes if classes <= limit)

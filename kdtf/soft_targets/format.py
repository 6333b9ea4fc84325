"""The format of soft targets on disk.

A store is a folder with a manifest and, for every view of the data, shards:
TFRecord files, whose framing has checksums of its own. A record is a
`tf.train.Example` with the targets of one batch; its features are the raw bytes
of little-endian arrays, one row per example, and of the record's origin, which
ties it to its store and to its place there.

While a store is being written it has an `unfinished.json` instead of a
manifest, and each shard appears whole.

Version 3 counts the examples of each shard, has class ids of 24 bits, and
places of 64; stores of version 2 are still read.
"""

import dataclasses
import hashlib
import json
from typing import NamedTuple

import numpy as np
import tensorflow as tf

VERSION = 3
READABLE = (2, VERSION)
MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"

DTYPES = ("float16", "float32", "bfloat16")
MAX_CLASSES = 2**31
MAX_VIEWS = 2**16  # see `examples.seeds`

_ORIGIN = "origin"
_TAG_BYTES = 8


class Field(NamedTuple):
    """One array of a record.

    Attributes:
      dtype: tf.DType of its numbers in memory.
      shape: list of int, of one example.
      width: int, bytes of a number on disk: as many as the dtype has, or the
        lowest 3 of an int32.
    """

    dtype: tf.DType
    shape: list
    width: int


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
      version: int, one of `READABLE`; no part of what is compared.
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
    version: int = dataclasses.field(default=VERSION, compare=False)

    def content(self):
        """Dict of all but the version, which a file tells by itself."""
        content = dataclasses.asdict(self)
        del content["version"]
        return content

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
        text = json.dumps(self.content())
        if self.version > 2:
            text = f"version {self.version} {text}"
        return hashlib.sha256(text.encode()).digest()[:_TAG_BYTES]

    @property
    def place_dtype(self):
        """Of the numbers that tell a record's place: "int32" or "int64"."""
        return "int32" if self.version == 2 else "int64"


def fields(identity, classes, entries):
    """What a record holds of every example.

    Args:
      identity: `Identity`.
      classes: int.
      entries: list of int, the axes between batch and classes; None for one
        whose length differs from batch to batch.

    Returns:
      Dict from feature to `Field`.
    """
    stored = tf.as_dtype(identity.dtype)
    checksum = {"checksum": _field(tf.int32, [])}
    if identity.top_k is None:
        return {**checksum, "logits": _field(stored, [*entries, classes])}
    shape = [*entries, identity.top_k]
    dtype, width = _class_dtype(classes, identity.version)
    return {
        **checksum,
        "logits": _field(stored, shape),
        "classes": Field(dtype, shape, width),
        "tail": _field(tf.float32, entries),
    }


def encode(arrays, fields, tag, place):
    """A record of a batch.

    Args:
      arrays: dict from feature to numpy array.
      fields: what `fields` returned.
      tag: bytes, the `Identity.tag`.
      place: list of int: view, batch, and the lengths of the axes between
        batch and classes.
    """
    example = tf.train.Example()
    features = example.features.feature
    for name, field in fields.items():
        part = _bytes(arrays[name], field.width)
        features[name].bytes_list.value.append(part)
    origin = tag + np.int64(place).tobytes()
    features[_ORIGIN].bytes_list.value.append(origin)
    return example.SerializeToString(deterministic=True)


def decode(records, fields, identity):
    """The batches of records as one: dict from feature to `[batch, ...]`.

    Args:
      records: `[records]` string tensor.
      fields: what `fields` returned, without an axis whose length differs.
      identity: `Identity` of the store.

    Raises:
      tf.errors.InvalidArgumentError: if a record is another store's.
    """
    parts, _ = _of_this_store(records, fields, identity.tag())
    return {
        name: tf.reshape(
            _numbers(tf.strings.reduce_join(parts[name]), field),
            [-1, *field.shape],
        )
        for name, field in fields.items()
    }


def decode_one(record, fields, identity):
    """The batch of one record, whose axes may have lengths of its own.

    Args:
      record: scalar string tensor.
      fields: what `fields` returned.
      identity: as in `decode`; raises as it does.
    """
    parts, origins = _of_this_store(record[None], fields, identity.tag())
    place = tf.strings.substr(origins[0], _TAG_BYTES, 2**30)
    lengths = tf.io.decode_raw(place, identity.place_dtype)[2:]
    lengths = tf.cast(lengths, tf.int32)
    rows = tf.strings.length(parts["checksum"][0]) // tf.int32.size
    arrays = {}
    for name, field in fields.items():
        shape = field.shape
        own = [lengths[i] if n is None else n for i, n in enumerate(shape)]
        flat = _numbers(parts[name][0], field)
        arrays[name] = tf.ensure_shape(
            tf.reshape(flat, [rows, *own]), [None, *shape]
        )
    return arrays


def logits(record, dtype):
    """The logits of one record, scalar string tensor: a flat numpy array."""
    content = _strings(record[None], ["logits"])["logits"][0]
    return tf.io.decode_raw(content, dtype).numpy()


def origins(records, identity):
    """Where records of a store belong.

    Args:
      records: list of bytes.
      identity: `Identity` of the store.

    Yields:
      A record's place as a list of int (as in `encode`), None for a record of
      another store; and its number of examples.
    """
    tag, parts = identity.tag(), _strings(records, (_ORIGIN, "checksum"))
    columns = (parts[_ORIGIN].numpy(), parts["checksum"].numpy())
    for origin, checksum in zip(*columns, strict=True):
        place = None
        if origin[:_TAG_BYTES] == tag:
            place = np.frombuffer(origin[_TAG_BYTES:], identity.place_dtype)
            place = place.tolist()
        yield place, len(checksum) // tf.int32.size


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


def _field(dtype, shape):
    return Field(dtype, shape, dtype.size)


def _class_dtype(classes, version):
    """The dtype that class ids are read as, and their bytes on disk."""
    found = (
        (2**8, tf.uint8, 1),
        (2**16, tf.uint16, 2),
        (2**24 if version > 2 else 0, tf.int32, 3),
        (MAX_CLASSES, tf.int32, 4),
    )
    return next((dtype, n) for limit, dtype, n in found if classes <= limit)


def _bytes(array, width):
    """The lowest `width` bytes of each number."""
    if array.itemsize == width:
        return array.tobytes()
    rows = np.ascontiguousarray(array).reshape(-1, 1).view(np.uint8)
    return rows[:, :width].tobytes()


def _numbers(content, field):
    """What `_bytes` were made of, flat, from a scalar string."""
    if field.width == field.dtype.size:
        return tf.io.decode_raw(content, field.dtype)
    rows = tf.reshape(tf.io.decode_raw(content, tf.uint8), [-1, field.width])
    missing = field.dtype.size - field.width
    return tf.bitcast(tf.pad(rows, [[0, 0], [0, missing]]), field.dtype)

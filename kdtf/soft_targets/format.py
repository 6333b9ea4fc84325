"""The format of soft targets on disk.

A store is a folder with a manifest and, for every view of the data, shards:
TFRecord files, whose framing has checksums of its own. A record is a
`tf.train.Example` with the targets of one batch; its features are the raw bytes
of little-endian arrays, one row per example.

While a store is being written it has an `unfinished.json` instead of a
manifest, and shards appear in order, each by one rename.
"""

import dataclasses
import hashlib
import json

import tensorflow as tf

from kdtf import _atomic

VERSION = 1
MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"

DTYPES = ("float16", "float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Identity:
    """What makes two stores the same: teacher, data and options.

    Attributes:
      teacher: hash of the teacher's weights.
      examples: list of str, dtype and shape of one example.
      first_batch: hash of the first batch, as the teacher saw it.
      batches: int, number of batches of one view.
      dtype: one of `DTYPES`.
      top_k: int, or None for all classes.
      temperature: float, or None if the targets do not depend on it.
      views: int.
      shards: int, number of shards of one view.
    """

    teacher: str
    examples: list
    first_batch: str
    batches: int
    dtype: str
    top_k: int | None
    temperature: float | None
    views: int
    shards: int

    def shard(self, view, index):
        """File name of a shard."""
        return f"view{view:03d}-shard{index:05d}-of-{self.shards:05d}.tfrecord"

    def first_batch_of(self, shard):
        """The first batch of a shard; `batches` for the one after the last."""
        return shard * self.batches // self.shards


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a finished store holds.

    Attributes:
      identity: `Identity`.
      classes: int.
      entries: list of int, the axes between batch and classes.
      examples: int, number of examples.
      bytes: dict from file name to size.
    """

    identity: Identity
    classes: int
    entries: list
    examples: int
    bytes: dict

    def fields(self):
        """Dict from a record's feature to (dtype, shape of one example)."""
        return fields(self.identity, self.classes, self.entries)


def fields(identity, classes, entries):
    """Dict from a record's feature to (dtype, shape of one example)."""
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


def encode(arrays):
    """A record of a batch.

    Args:
      arrays: dict from feature to numpy array, as `fields` describes them.
    """
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[array.tobytes()])
        )
        for name, array in arrays.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def decode(records, fields):
    """The batches of records as one: dict from feature to `[batch, ...]`.

    Args:
      records: `[records]` string tensor.
      fields: what `fields` returned.
    """
    parsed = tf.io.parse_example(
        records, {name: tf.io.FixedLenFeature([], tf.string) for name in fields}
    )
    return {
        name: tf.reshape(
            tf.io.decode_raw(tf.strings.reduce_join(parsed[name]), dtype),
            [-1, *shape],
        )
        for name, (dtype, shape) in fields.items()
    }


def write_manifest(directory, manifest):
    """Commits a store: from now on it can be opened."""
    _atomic.write_whole(
        directory / MANIFEST, _text(dataclasses.asdict(manifest))
    )
    (directory / UNFINISHED).unlink(missing_ok=True)


def read_manifest(directory):
    """The `Manifest` of a finished store.

    Raises:
      ValueError: if there is none, it is damaged, or a newer version of kdtf
        wrote it.
    """
    content = _read(directory, MANIFEST)
    identity = Identity(**content.pop("identity"))
    return Manifest(identity=identity, **content)


def write_identity(directory, identity):
    """Records what an unfinished store is going to hold."""
    _atomic.write_whole(
        directory / UNFINISHED, _text(dataclasses.asdict(identity))
    )


def read_identity(directory):
    """The `Identity` of an unfinished store; raises as `read_manifest`."""
    return Identity(**_read(directory, UNFINISHED))


def _text(content):
    """JSON with version and checksum; the same content gives the same text."""
    content = {"format": "kdtf.SoftTargets", "version": VERSION, **content}
    return json.dumps({**content, "sha256": _sha256(content)}, indent=2) + "\n"


def _sha256(content):
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read(directory, name):
    path = directory / name
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
        version = content["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path) from error
    if isinstance(version, int) and version > VERSION:
        raise ValueError(
            f"`directory` must hold soft targets of format version {VERSION} "
            f"or older; a newer kdtf reads them. Received: {directory}, of "
            f"version {version}"
        )
    content = {
        key: value
        for key, value in content.items()
        if key not in ("format", "version", "sha256")
    }
    if _text(content) != text:
        raise _damaged(path)
    return content


def _damaged(path):
    return ValueError(
        "`directory` must hold soft targets as they were written: delete it "
        f"and write them again. Received: {path}, which is damaged"
    )


def _class_dtype(classes):
    """The smallest integer dtype that counts to `classes`."""
    sizes = ((2**8, tf.uint8), (2**16, tf.uint16), (2**31, tf.int32))
    return next(dtype for limit, dtype in sizes if classes <= limit)

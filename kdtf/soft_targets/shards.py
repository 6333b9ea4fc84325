"""Shards: one file of records each, written whole, and looked at again."""

import contextlib
import dataclasses

import tensorflow as tf

from kdtf import _atomic, _disk
from kdtf.soft_targets import examples
from kdtf.soft_targets import format as store_format

_BYTES_AT_ONCE = 2**26  # of records that are looked at


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a shard holds. It can be sent from one process to another.

    Attributes:
      name: str, of the file.
      batches: int.
      examples: int.
      entries: list of int, the axes between batch and classes; None for one
        whose length differs.
      size: int, bytes of the file.
      sha256: str, of the file.
    """

    name: str
    batches: int
    examples: int
    entries: list
    size: int
    sha256: str


def common_entries(found):
    """The axes between batch and classes of all: None for those that differ.

    Args:
      found: iterable of lists of int or None, at least one, of one length.
    """
    axes = zip(*found, strict=True)
    return [n[0] if len(set(n)) == 1 else None for n in axes]


@contextlib.contextmanager
def writing(path):
    """Yields a function that appends a record to a shard, whole at the end.

    If another process has put the shard there meanwhile, that one stays.
    """
    with contextlib.ExitStack() as stack:
        with clear_errors(path):
            scratch = stack.enter_context(
                _atomic.whole_file(path, replace=False)
            )
            writer = tf.io.TFRecordWriter(str(scratch))

        def put(record):
            with clear_errors(path):
                writer.write(record)

        try:
            yield put
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                writer.close()
            raise
        with clear_errors(path):
            writer.close()
            stack.close()  # gives the file its name


@contextlib.contextmanager
def clear_errors(path):
    """Says of what cannot be written where it is, and what to do."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"Soft targets could not be written to {path}: "
            f"{_disk.reason(error)}. Shards that are complete there are kept: "
            "make room, or make it writable, and write again with the same "
            "arguments."
        ) from error


def look_at(path, identity, view, index):
    """Reads a shard again.

    Args:
      path: of the shard.
      identity: `Identity` of the store.
      view: int.
      index: int, of the shard in its view.

    Returns:
      `Summary`.

    Raises:
      ValueError: if it is damaged, another store's, or in another's place.
    """
    first, end = (identity.first_batch_of(index + i) for i in (0, 1))
    rows, entries = 0, []
    for place, examples_of_batch in _records(path, identity, end - first):
        batch = first + len(entries)
        if place is None or place[:2] != [view, batch] or batch == end:
            raise _refusal(path, "which was not written there")
        rows += examples_of_batch
        entries.append(place[2:])
    known = identity.batches is not None
    if not entries or (known and len(entries) < end - first):
        raise _refusal(path, "which is not complete")
    return summary(path, rows, entries)


def first_logits(path, identity):
    """The logits of a store's first batch, flat, in a shard that has them.

    None for any other: what is wrong with a shard, `look_at` tells.
    """
    records = tf.data.TFRecordDataset(str(path)).take(1)
    with contextlib.suppress(tf.errors.OpError):
        for record in examples.prompt(records):
            [(place, _)] = store_format.origins(record[None], identity)
            if place and place[:2] == [0, 0]:
                return store_format.logits(record, identity.dtype)
    return None


def summary(path, rows, entries):
    """`Summary` of a shard that is there.

    Args:
      path: of the shard.
      rows: int, examples.
      entries: list of what `Summary.entries` is, of every batch.
    """
    with clear_errors(path):
        size, sha256 = path.stat().st_size, _disk.sha256(path)
    return Summary(
        path.name, len(entries), rows, common_entries(entries), size, sha256
    )


def _records(path, identity, most):
    """Yields what `format.origins` does of each record of a shard.

    Args:
      path: of the shard.
      identity: `Identity` of the store.
      most: int, how many records it should have at most.
    """
    records = tf.data.TFRecordDataset(str(path))
    try:
        # A batch of logits of many classes may take 100 MB.
        size = path.stat().st_size // most
        records = records.batch(min(64, max(1, _BYTES_AT_ONCE // (size + 1))))
        for some in examples.prompt(records):
            yield from store_format.origins(some, identity)
    except (OSError, tf.errors.OpError) as error:
        raise _refusal(
            path, f"which is damaged ({_disk.reason(error)})"
        ) from error


def _refusal(path, what):
    return ValueError(
        "`directory` must hold the shards that were written there: delete that "
        f"file and write the soft targets again. Received: {path}, {what}"
    )

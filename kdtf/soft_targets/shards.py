"""Shards: one file of records each, written whole, and looked at again."""

import contextlib
import dataclasses

import tensorflow as tf

from kdtf import _atomic, _disk
from kdtf.soft_targets import examples
from kdtf.soft_targets import format as store_format


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a shard, or several, were found to hold.

    Attributes:
      batches: int.
      examples: int.
      entries: list of int, the axes between batch and classes; None for one
        whose length differs.
    """

    batches: int
    examples: int
    entries: list

    def __add__(self, other):
        return Summary(
            self.batches + other.batches,
            self.examples + other.examples,
            [
                a if a == b else None
                for a, b in zip(self.entries, other.entries, strict=True)
            ],
        )


@contextlib.contextmanager
def writing(path):
    """Yields a function that appends a record to a shard, whole at the end."""
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(_atomic.whole_file(path))
        with clear_errors(path):
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
    own, found = identity.tag(), None
    for tag, place, rows in _origins(path):
        batch = first + (found.batches if found else 0)
        if tag != own or place[:2] != [view, batch] or batch == end:
            raise _refusal(path, "which was not written there")
        one = Summary(1, rows, place[2:])
        found = one if found is None else found + one
    known = identity.batches is not None
    if found is None or (known and found.batches < end - first):
        raise _refusal(path, "which is not complete")
    return found


def _origins(path):
    records = tf.data.TFRecordDataset(str(path)).batch(64)
    try:
        for some in examples.prompt(records):
            yield from store_format.origins(some)
    except tf.errors.OpError as error:
        raise _refusal(
            path, f"which is damaged ({_disk.reason(error)})"
        ) from error


def _refusal(path, what):
    return ValueError(
        "`directory` must hold the shards that were written there: delete that "
        f"file and write the soft targets again. Received: {path}, {what}"
    )

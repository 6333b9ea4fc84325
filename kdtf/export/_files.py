"""Files that could not be written, in sentences."""

import contextlib
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from kdtf import _disk


@contextlib.contextmanager
def named_failures(
    path: pathlib.Path, argument: str, what: str
) -> Iterator[None]:
    """Says what a path that could not be written lacks.

    Args:
      path: what is written.
      argument: str, name of the argument that it was given as.
      what: str, what is written there.

    Raises:
      ValueError: in place of an error of the disk.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow has one error for a full disk and for full memory.
        if _disk.lacks_room(error):
            rule = (
                f"must be on a disk with room for {what}: make room and "
                "export again; what was there is as it was"
            )
        else:
            rule = "must be writable"
        raise ValueError(
            f"`{argument}` {rule}. "
            f"Received: {argument}={str(path)!r} ({_disk.reason(error)})"
        ) from error

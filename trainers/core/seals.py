"""Checksums of what a run has written, and the refusal of what has changed.

A folder is sealed before it is renamed to its place; a JSON file carries its
own checksum. What has none, from an earlier version or published in parts, is
read as it is.
"""

import contextlib
import hashlib
import json

import tensorflow as tf

from kdtf import _disk
from trainers.core import run_directory
from trainers.core.errors import FlagsError

_KEY = "sha256"
_CHANGED = "its checksum is another one"
# What json, NumPy, h5py and TensorFlow raise for a damaged file.
_UNREADABLE = (OSError, ValueError, KeyError, tf.errors.OpError)


@contextlib.contextmanager
def opened(folder, *, delete=None, may_lack=()):
    """Checks a sealed folder; names one without a seal if it cannot be read.

    Args:
      folder: `pathlib.Path` of a folder.
      delete: what must be deleted to make it anew, None for the folder.
      may_lack: names of files that may have been removed since.

    Raises:
      FlagsError: if a file has changed or is missing, or the block cannot read
        one that has no checksum.
    """
    delete = delete or folder
    if not (folder / _disk.SEAL).exists():
        with named(folder, delete=delete):
            yield
        return
    with named(folder, delete=delete):
        changed = _disk.changed(folder, may_lack)
        if changed is not None:
            raise ValueError(f"{changed}: {_CHANGED}")
    yield


@contextlib.contextmanager
def store_refusals():
    """Makes what a store of soft targets refuses a `FlagsError`."""
    try:
        yield
    except ValueError as error:
        raise FlagsError(str(error)) from error


@contextlib.contextmanager
def named(path, *, delete, errors=_UNREADABLE):
    """Makes what the block raises for a damaged file a `FlagsError` about it.

    Args:
      path: what is read, for the message.
      delete: what must be deleted to make it anew, for the message.
      errors: tuple of exception classes that mean damage.
    """
    try:
        yield
    except FlagsError:
        raise
    except errors as error:
        raise FlagsError(
            f"Files of a run must be as the run wrote them: delete {delete} to "
            f"make it anew, and run again. Received: {path} "
            f"({_disk.reason(error)})"
        ) from error


def write_json(path, value):
    """Writes a dict as `run_directory.write_json` does, with its checksum."""
    checksum = _sha256(json.dumps(value).encode())
    run_directory.write_json(path, {**value, _KEY: checksum})


def read_json(path):
    """The dict of a JSON file.

    Args:
      path: `pathlib.Path`; a file without a checksum is read as it is.

    Raises:
      ValueError: if it is no JSON, or its checksum is another one.
      OSError: if it cannot be read.
    """
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it is not a dict")
    checksum = value.pop(_KEY, None)
    if checksum not in (None, _sha256(json.dumps(value).encode())):
        raise ValueError(_CHANGED)
    return value


def _sha256(content):
    return hashlib.sha256(content).hexdigest()

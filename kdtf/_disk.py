"""Disks: what is not one, what fills up, and bytes that change on them."""

import errno
import hashlib
import io
import json
import os
import pathlib
import re

SEAL = "checksums.json"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_NODES = re.compile(r"\{\{[^}]*\}\}\s*|\s*\[Op:\w+\].*")
# A quota, and the largest file that is allowed, end like the disk itself.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def local(path: str | os.PathLike[str], argument: str) -> pathlib.Path:
    """A path on a disk, local or mounted, as an absolute `pathlib.Path`.

    It stays the same where the working directory changes. And Python would
    make a folder "gs:" of "gs://bucket" without a word.

    Args:
      path: str or path-like.
      argument: name of the argument that it was given as.

    Raises:
      ValueError: if it is no path, or one of a remote store.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(
            f"`{argument}` must be a path, a string or path-like. "
            f"Received: {argument}={path!r}"
        )
    # A `pathlib.Path` has made one slash of the two.
    if _SCHEME.match(os.fsdecode(path)):
        raise ValueError(
            f"`{argument}` must be a path on a local or mounted disk. Of a "
            "remote store, mount the bucket (by a FUSE driver, such as "
            "gcsfuse) and give the path there, or use a local disk and copy. "
            f"Received: {argument}={str(path)!r}"
        )
    return pathlib.Path(os.fsdecode(path)).absolute()


def write_weights(model, path):
    """Writes a model's weights as `keras.Model.save_weights` does.

    HDF5 writes to memory, and Python to disk: where HDF5 cannot finish a file,
    since the disk is full, it crashes the process when it closes the file.

    Args:
      model: a built `keras.Model`.
      path: path of the file; in a folder that is written whole.

    Raises:
      OSError: if there is no room for it.
    """
    file = _WeightsInMemory()
    model.save_weights(file)
    pathlib.Path(path).write_bytes(file.getbuffer())


class _WeightsInMemory(io.BytesIO):
    def __str__(self):
        return "memory.weights.h5"  # Keras looks at how the name ends


def reason(error):
    """What an error says in its first line, without TensorFlow's nodes.

    Args:
      error: an OSError, or one of `tf.errors`.
    """
    if getattr(error, "strerror", None):
        path = f": {error.filename}" if error.filename else ""
        return error.strerror + path
    said = _NODES.sub("", getattr(error, "message", None) or str(error))
    return said.partition("\n")[0]


def lacks_room(error):
    """Whether an error of Python or TensorFlow tells of a full disk."""
    said = reason(error)
    return any(os.strerror(number) in said for number in _NO_ROOM)


def sha256(path):
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder):
    """Writes the checksums of all files of a folder into it.

    Args:
      folder: `pathlib.Path` of a folder of files.
    """
    checksums = {path.name: sha256(path) for path in folder.iterdir()}
    text = json.dumps(dict(sorted(checksums.items())), indent=2)
    (folder / SEAL).write_text(text + "\n")


def changed(folder, may_lack=()):
    """Name of a file that is not as it was sealed; None if there is none.

    Args:
      folder: `pathlib.Path` of a folder that was sealed.
      may_lack: names of files that may have been removed since.
    """
    try:
        checksums = dict(json.loads((folder / SEAL).read_bytes()))
    except (OSError, ValueError, TypeError):
        return SEAL
    for name, checksum in checksums.items():
        path = folder / name
        if name in may_lack and not path.exists():
            continue
        if not path.is_file() or sha256(path) != checksum:
            return name
    return None

"""Folders and files written whole or not at all.

Each is made next to its place, under a name that nobody reads, and moved there
by one rename, so that a reader sees the old or the new, never a part.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil

SCRATCH = ".scratch"

_AT_FDCWD = -100  # paths relative to the working directory, as everywhere
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def whole_directory(path, *, replace=False):
    """Yields a scratch folder that becomes `path` when the block ends.

    Args:
      path: path of the folder; what a killed run left next to it is removed.
      replace: whether `path` may exist; it is then exchanged for the new one.

    Raises:
      OSError: if the folder cannot be made, or exists and `replace` is False.
        `path` is then as it was.

    Example:
      >>> with kdtf._atomic.whole_directory("export") as scratch:
      ...     count = (scratch / "labels.txt").write_text("cat, dog")
    """
    path = pathlib.Path(path)
    scratch = _fresh_scratch(path)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        if replace and path.exists():
            _exchange(scratch, path)
        else:
            os.rename(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def whole_file(path):
    """Yields a scratch file's path, which becomes `path` when the block ends.

    Args:
      path: path of the file, in a folder that exists; an older one is replaced.
    """
    scratch = _fresh_scratch(pathlib.Path(path))
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_whole(path, content):
    """Writes a file of text or bytes, in place of an older one.

    Args:
      path: path of the file, in a folder that exists.
      content: str (written as UTF-8) or bytes.
    """
    content = content.encode() if isinstance(content, str) else content
    with whole_file(path) as scratch:
        scratch.write_bytes(content)


def _fresh_scratch(path):
    """Where `path` is made; what a killed run left there is removed."""
    scratch = path.with_name(path.name + SCRATCH)
    if scratch.is_dir():
        shutil.rmtree(scratch)
    return scratch


def _exchange(new, old):
    """Swaps two folders at once, which `os.rename` cannot do."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (os.fsencode(os.path.abspath(p)) for p in (new, old))
    new_path, old_path = paths
    failed = libc.renameat2(
        _AT_FDCWD, new_path, _AT_FDCWD, old_path, _RENAME_EXCHANGE
    )
    if failed:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(old))

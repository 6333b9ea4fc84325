"""Folders and files written whole or not at all.

Each is made next to its place, under a name of its own that nobody reads, and
moved there by one rename, so that a reader sees the old or the new, never a
part. Through a symbolic link, what it points to is written.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import glob
import os
import pathlib
import shutil
import time
import uuid

SCRATCH = ".scratch"  # how the names end

_MARKER = "kdtf-scratch"  # in each of our scratch folders, and in no user's
_BOOT = "/proc/sys/kernel/random/boot_id"
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
    path = _real(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(path) as scratch:
        scratch.mkdir()
        yield scratch
        if replace and path.exists():
            _exchange(scratch, path)
        else:
            os.rename(scratch, path)


@contextlib.contextmanager
def whole_file(path, *, replace=True):
    """Yields a scratch file's path, which becomes `path` when the block ends.

    Several processes may write the same file at once: each has a scratch file
    of its own.

    Args:
      path: path of the file, in a folder of the library's or a script's own
        that exists.
      replace: whether an older file is replaced; else it stays, without an
        error, and the new one is dropped: the first process wins.
    """
    path = _real(path)
    with _scratch(path) as scratch:
        yield scratch
        if replace:
            os.replace(scratch, path)
        else:
            _put_if_free(scratch, path)


def write_whole(path, content, *, replace=True):
    """Writes a file of text or bytes.

    Args:
      path: path of the file, in a folder that exists.
      content: str (written as UTF-8) or bytes.
      replace: see `whole_file`.
    """
    content = content.encode() if isinstance(content, str) else content
    with whole_file(path, replace=replace) as scratch:
        scratch.write_bytes(content)


def remove_directory(path):
    """Removes a folder, of which nobody ever sees a part."""
    path = _real(path)
    with _scratch(path) as scratch:
        os.rename(path, scratch)


def require_writable(path):
    """Raises OSError if a folder could not be written whole at `path`."""
    path = _real(path)
    with _scratch(path) as scratch:
        scratch.mkdir()
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def remove_scratch(directory):
    """Removes what killed runs left in a folder, on whichever machine.

    Only when nothing in it needs to be written any more: where the locks of a
    shared disk do not reach from machine to machine, a run that is alive may
    lose its scratch file, and finds that its file is there already.

    Args:
      directory: `pathlib.Path` of a folder of the library's own.
    """
    for folder in directory.glob(f"*{SCRATCH}"):
        _remove_if_stale(folder, patience=0)


def _real(path):
    """Where a path leads to, which may not exist yet."""
    return pathlib.Path(os.path.realpath(path))


@contextlib.contextmanager
def _scratch(path):
    """Yields a free path, in a scratch folder that is removed at the end.

    That folder is next to `path`, and locked while it is in use. Those of
    killed runs are not, and are removed.
    """
    for folder in path.parent.glob(f"{glob.escape(path.name)}.*{SCRATCH}"):
        _remove_if_stale(folder)
    name = f"{path.name}.{_machine()}-{uuid.uuid4().hex[:12]}{SCRATCH}"
    folder = path.with_name(name)
    folder.mkdir()
    lock = os.open(folder, os.O_RDONLY)
    try:
        # Marked after it is locked: a marker without a lock means a killed run.
        # Where the file system has no locks, nothing is ever called stale.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / _MARKER).touch()
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_stale(folder, patience=24 * 3600):
    """Removes a scratch folder that nobody writes any more.

    That a lock is free proves it for this machine alone, since it started. Of
    others, which may share the disk but not its locks, a folder is stale when
    nothing was written to it for `patience` seconds.
    """
    with contextlib.suppress(OSError):  # the other process has removed it
        is_near = f".{_machine()}-" in folder.name
        if not (folder / _MARKER).is_file():
            return
        if not is_near and _age(folder) < patience:
            return
        lock = os.open(folder, os.O_RDONLY)
        try:
            # Refused, an OSError too, where a process is writing there.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(lock)


def _age(folder):
    """Seconds since something in a folder was written."""
    written = [path.stat().st_mtime for path in (folder, *folder.iterdir())]
    return time.time() - max(written)


@functools.cache
def _machine():
    """What names this machine since it started; all its containers share it."""
    with contextlib.suppress(OSError):
        return pathlib.Path(_BOOT).read_text().strip()[:8]
    return uuid.uuid4().hex[:8]


def _put_if_free(scratch, path):
    """Gives a file its name, unless another has it."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links here, or the scratch file is gone
        if not path.exists():
            os.rename(scratch, path)


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

"""The run directory, which belongs to one set of flags, and what is in it."""

import dataclasses
import fcntl
import json
import os
import pathlib
import subprocess
from importlib import metadata

import kdtf
from kdtf import _atomic
from trainers.core import strategies

EXPORT = "export"  # where a run directory has its SavedModel

_FLAGS_FILE = "flags.txt"
# From device and inode of each run directory of this process to its lock, which
# the process holds to its end.
_locks: dict[tuple[int, int], int] = {}


def write_json(path, value):
    """Writes `value` as indented JSON, whole."""
    _atomic.write_whole(path, json.dumps(value, indent=2) + "\n")


def open_run_directory(run_dir, settings):
    """Makes a run directory, or resumes one that has the same settings.

    It belongs to this process until that ends, or to the first of several
    workers: the others look at what that has made.

    Args:
      run_dir: path of the directory; made where it does not exist.
      settings: dict from flag to value: the flags that results depend on.

    Returns:
      `pathlib.Path` of the directory.

    Raises:
      ValueError: if another process uses the directory, or if it holds
        something else, belongs to a run with other flags (names them and both
        values), or cannot be written, `export/` in it included.
    """
    run_dir = pathlib.Path(run_dir)
    lines = [f"--{name}={value}" for name, value in sorted(settings.items())]
    if not strategies.is_chief():
        _require_of_chief(run_dir)
        require_same_flags("run_dir", run_dir, settings, all_of_them=True)
        return run_dir
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        _lock(run_dir)
        flags_file = run_dir / _FLAGS_FILE
        if not flags_file.exists():
            _require_empty(run_dir)
            _atomic.write_whole(flags_file, "\n".join(lines) + "\n")
        require_same_flags("run_dir", run_dir, settings, all_of_them=True)
        _require_exportable(run_dir / EXPORT)
    except OSError as error:
        raise ValueError(
            "--run_dir must be a directory that can be written. "
            f"Received: --run_dir={run_dir} ({error.strerror})"
        ) from error
    return run_dir


def _require_of_chief(run_dir):
    if not (run_dir / _FLAGS_FILE).exists():
        raise ValueError(
            "--run_dir must be on a disk that all workers share, as worker 0 "
            f"has made it. Received: --run_dir={run_dir}, without {_FLAGS_FILE}"
        )


def _lock(run_dir):
    """Keeps other trainers out, who would train on the same checkpoints."""
    lock = os.open(run_dir, os.O_RDONLY)
    status = os.fstat(lock)
    place = status.st_dev, status.st_ino
    if place in _locks:
        os.close(lock)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(
            "--run_dir must not be in use by another process: wait for it, or "
            f"take another directory. Received: --run_dir={run_dir}, in use"
        ) from None
    _locks[place] = lock


def _require_exportable(export):
    """Refuses now what could not be written hours later."""
    if export.exists() and not (export / "saved_model.pb").is_file():
        raise ValueError(
            f"--run_dir must be free to take a SavedModel as {EXPORT}/: move "
            "what is there elsewhere. Received: "
            f"--run_dir={export.parent}, whose {EXPORT} is no SavedModel"
        )
    _atomic.require_writable(export)


def leave_run_directory(run_dir):
    """Makes a directory anybody's again if its run has made nothing yet.

    Args:
      run_dir: `pathlib.Path` of an opened run directory.
    """
    found = [p.name for p in run_dir.iterdir()]
    if found == [_FLAGS_FILE] and strategies.is_chief():
        (run_dir / _FLAGS_FILE).unlink()


def _require_empty(run_dir):
    found = sorted(
        p.name
        for p in run_dir.iterdir()
        if not p.name.endswith(_atomic.SCRATCH)
    )
    if found:
        raise ValueError(
            "--run_dir must be new, empty, or a run's own directory. "
            f"Received: --run_dir={run_dir}, which holds {found[:3]}"
        )


def require_same_flags(flag, run_dir, settings, *, all_of_them=False):
    """Raises where a run directory was made with other flags.

    Args:
      flag: name of the flag that gave the directory.
      run_dir: `pathlib.Path` of the directory.
      settings: dict from flag to value, those that must be the same.
      all_of_them: whether the run must have no others.

    Raises:
      ValueError: if it is no run directory, or a flag differs (names it and
        both values).
    """
    flags_file = run_dir / _FLAGS_FILE
    if not flags_file.exists():
        raise ValueError(
            f"--{flag} must be a run directory. "
            f"Received: --{flag}={run_dir}, without {_FLAGS_FILE}"
        )
    before = _read_flags(flag, flags_file)
    now = {name: str(value) for name, value in settings.items()}
    names = before.keys() | now.keys() if all_of_them else now.keys()
    changes = [
        _change(name, before.get(name), now.get(name))
        for name in sorted(names)
        if before.get(name) != now.get(name) and not _is_untold(name, before)
    ]
    if changes:
        raise ValueError(
            f"--{flag} must be a directory of a run with the same flags; a run "
            "with other flags needs a directory of its own. Received: "
            f"--{flag}={run_dir} with {', '.join(changes)}"
        )


def _is_untold(name, before):
    """Whether it is a checksum that runs of older versions did not take."""
    return name.endswith("_digest") and name not in before


def _change(name, before, now):
    """How a flag differs; NAME_digest is a checksum of what a flag names."""
    named, _, what = name.rpartition("_")
    if what in ("digest", "digests"):
        return f"other contents of --{named} than before"
    return f"--{name}={before} before and --{name}={now} now"


def _read_flags(flag, flags_file):
    """Dict from flag to value, a string, of a run directory."""
    try:
        # Not `splitlines`, which takes other bytes for the end of a line, too.
        lines = flags_file.read_bytes().decode().removesuffix("\n").split("\n")
        return dict(line.removeprefix("--").split("=", 1) for line in lines)
    except ValueError as error:
        raise ValueError(
            f"--{flag} must be a run directory whose {_FLAGS_FILE} has a line "
            f"--name=value for each flag. Received: {flags_file} ({error})"
        ) from error


def about(run, evaluated_on):
    """What every experiment records of its run.

    Args:
      run: with an attribute `settings`, a dataclass with a `dataset`.
      evaluated_on: str, the name of the cases.

    Returns:
      Dict that JSON can hold.
    """
    return {
        "dataset": run.settings.dataset,
        "evaluated_on": evaluated_on,
        "commit": commit(),
        "versions": versions(),
        "settings": dataclasses.asdict(run.settings),
    }


def versions():
    """Dict of the versions that figures depend on."""
    names = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    found = {name: metadata.version(name) for name in names}
    return {"kdtf": kdtf.__version__, **found}


def commit():
    """The checkout's commit, with "+" where files differ from it, or None."""

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None

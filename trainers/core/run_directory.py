"""The run directory, which belongs to one set of flags, and what is in it."""

import dataclasses
import json
import os
import pathlib
import subprocess
from importlib import metadata

import kdtf
from kdtf import _atomic

_FLAGS_FILE = "flags.txt"


def write_json(path, value):
    """Writes `value` as indented JSON, whole."""
    _atomic.write_whole(path, json.dumps(value, indent=2) + "\n")


def open_run_directory(run_dir, settings):
    """Makes a run directory, or resumes one that has the same settings.

    Args:
      run_dir: path of the directory; made where it does not exist.
      settings: dict from flag to value: the flags that results depend on.

    Returns:
      `pathlib.Path` of the directory.

    Raises:
      ValueError: if the directory holds something else, belongs to a run
        with other flags (names them and both values), or cannot be written.
    """
    run_dir = pathlib.Path(run_dir)
    lines = [f"--{name}={value}" for name, value in sorted(settings.items())]
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        flags_file = run_dir / _FLAGS_FILE
        if not flags_file.exists():
            _require_empty(run_dir)
            _atomic.write_whole(flags_file, "\n".join(lines) + "\n")
    except OSError as error:
        raise ValueError(
            "--run_dir must be a directory that can be written. "
            f"Received: --run_dir={run_dir} ({error.strerror})"
        ) from error
    require_same_flags("run_dir", run_dir, settings, all_of_them=True)
    if not os.access(run_dir, os.W_OK):
        raise ValueError(
            "--run_dir must be a directory that can be written. "
            f"Received: --run_dir={run_dir} (read-only)"
        )
    return run_dir


def leave_run_directory(run_dir):
    """Makes a directory anybody's again if its run has made nothing yet.

    Args:
      run_dir: `pathlib.Path` of an opened run directory.
    """
    if [p.name for p in run_dir.iterdir()] == [_FLAGS_FILE]:
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
    lines = flags_file.read_text().splitlines()
    before = dict(line.removeprefix("--").split("=", 1) for line in lines)
    now = {name: str(value) for name, value in settings.items()}
    names = before.keys() | now.keys() if all_of_them else now.keys()
    changes = [
        f"--{n}={before.get(n)} before and --{n}={now.get(n)} now"
        for n in sorted(names)
        if before.get(n) != now.get(n)
    ]
    if changes:
        raise ValueError(
            f"--{flag} must be a directory of a run with the same flags; a run "
            "with other flags needs a directory of its own. Received: "
            f"--{flag}={run_dir} with {', '.join(changes)}"
        )


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

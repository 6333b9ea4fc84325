"""Forked processes that are struck, and how they ended.

A fork costs milliseconds where an import of TensorFlow costs seconds. It copies
no threads, so the process that forks must not have used TensorFlow, only
imported it.
"""

import contextlib
import dataclasses
import linecache
import multiprocessing
import os
import pathlib
import resource
import time
import traceback
from typing import Any

from absl import app

# From good to bad; of several, the worst counts.
SAME, NAMED, UNNAMED, LOST = OUTCOMES = ("same", "named", "unnamed", "lost")

_FORK = multiprocessing.get_context("fork")
_HANGS_AFTER = 120.0  # seconds
_LONGEST = 200  # characters of a message
_ROOT = pathlib.Path(__file__).resolve().parent.parent
_OURS = tuple(str(_ROOT / name) + os.sep for name in ("kdtf", "trainers"))


@dataclasses.dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
      struck: what struck it while it ran, a str, or None.
      finished: bool, whether the function returned.
      hung: bool, whether it had to be ended.
      value: what it returned.
      outcome: `SAME` if it returned; `NAMED` if it refused in a sentence, else
        `UNNAMED`.
      said: str, the error.
      cpu_seconds: float, that it took.
    """

    struck: str | None = None
    finished: bool = False
    hung: bool = False
    value: Any = None
    outcome: str = UNNAMED
    said: str = ""
    cpu_seconds: float = 0.0

    def __str__(self):
        end = "ended" if self.finished else self.said
        return f"{self.struck}: {end}" if self.struck else end


def run(function, folder, *, strike=None, after=0.0):
    """Calls a function of a folder in a fork.

    The time at which it is struck is that of its own CPU clock: the same point
    of its work whatever else the machine does.

    Args:
      function: its result must go through a pipe.
      folder: `pathlib.Path`; an error that names it, or a file in it, is told
        from one that does not.
      strike: function from the process's id to what struck it; None for none.
      after: float, CPU seconds until then.

    Returns:
      `End`.
    """
    ours, theirs = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_call, args=(theirs, function, folder))
    began = cpu_seconds()
    child.start()
    theirs.close()  # or a child that dies would be waited for
    struck = None
    if strike is not None and _still_runs(child, after):
        struck = strike(child.pid)
    report = {"said": "hung", "hung": True}
    if ours.poll(_HANGS_AFTER):
        try:
            report = ours.recv()
            child.join(_HANGS_AFTER)
        except EOFError:
            child.join()
            report = {"said": f"died with exit code {child.exitcode}"}
    child.kill()  # if it hangs
    child.join()
    return End(struck=struck, cpu_seconds=cpu_seconds() - began, **report)


def cpu_seconds():
    """What all forks that have ended have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _still_runs(child, after):
    """Waits for so many CPU seconds of a process, or for its end."""
    clock = ~child.pid << 3 | 2  # what `clock_getcpuclockid` makes of a pid
    deadline = time.monotonic() + _HANGS_AFTER
    while child.is_alive() and time.monotonic() < deadline:
        if time.clock_gettime(clock) >= after:
            return True
        time.sleep(0.001)
    return False


def _call(pipe, function, folder):
    """What the fork does."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        value = function(folder)
        report = {"finished": True, "value": value, "outcome": SAME}
    except BaseException as error:
        report = {
            "outcome": judge(error, folder),
            "said": describe(error, folder),
        }
    with contextlib.suppress(BrokenPipeError):
        pipe.send(report)


def judge(error, folder):
    """Whether an error tells its reader what is wrong: `NAMED` or `UNNAMED`.

    It does if kdtf or a trainer raised it on purpose, in words of its own, and
    it names the folder or a file in it. An error of Keras, HDF5, JSON or the
    operating system that merely passes through does not.

    Args:
      error: an exception that was raised.
      folder: `pathlib.Path`.
    """
    error = _cause(error)
    raised = traceback.extract_tb(error.__traceback__)
    if not raised:
        return UNNAMED
    where = raised[-1]
    on_purpose = (
        isinstance(error, ValueError | OSError | app.UsageError)
        and getattr(error, "errno", None) is None
        and where.filename.startswith(_OURS)
        and linecache.getline(where.filename, where.lineno)
        .lstrip()
        .startswith("raise ")
    )
    return NAMED if on_purpose and str(folder) in str(error) else UNNAMED


def describe(error, folder):
    """Kind, message and place of an error in a line.

    Args:
      error: an exception that was raised.
      folder: `pathlib.Path`; it is left out, as is the checkout's.
    """
    error = _cause(error)
    message = " ".join(str(error).split())
    for path in (folder, _ROOT):
        message = message.replace(str(path), "")
    raised = traceback.extract_tb(error.__traceback__)
    place = ""
    if raised:
        name = "/".join(pathlib.Path(raised[-1].filename).parts[-3:])
        place = f" ({name}, line {raised[-1].lineno})"
    return f"{type(error).__name__}: {message[:_LONGEST]}{place}"


def _cause(error):
    """What made absl exit, or the error itself."""
    if isinstance(error, SystemExit) and error.__context__ is not None:
        return error.__context__
    return error

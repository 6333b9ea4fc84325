"""Trials of faults: what is struck, when, and what is left of it."""

import dataclasses
import os
import pathlib
import random
import resource
import shutil
import signal
import tempfile

from benchmarks import fault_processes as processes
from benchmarks.fault_processes import LOST, OUTCOMES, SAME
from kdtf import _atomic

_MOST_STRIKES = 3  # in a trial: those after the first hit resumed runs


class Victim:
    """A task that faults must not harm.

    Attributes:
      name: str.
      always_readable: bool, whether at any moment the folder must hold either
        what it held before or what the task makes.
    """

    name: str
    always_readable = False

    def start(self, folder):
        """Makes what is there before the task is run."""

    def run(self, folder):
        """Runs the task to its end, from where an earlier run got to."""
        raise NotImplementedError

    def state(self, folder):
        """What the folder holds: a dict from a name to a hash."""
        raise NotImplementedError

    def make_files(self, folder):
        """Makes the files of which a byte is flipped."""
        self.run(folder)

    def use(self, folder):
        """Does with the files what a user would do next."""
        self.run(folder)


@dataclasses.dataclass(frozen=True)
class Task:
    """A victim, and what it does if nothing goes wrong.

    Attributes:
      victim: `Victim`.
      started: `pathlib.Path` of a folder as `Victim.start` leaves it.
      files: the same as `Victim.make_files` leaves it.
      before: what `Victim.state` returns before a run.
      after: the same after a run.
      cpu_seconds: float, that a run takes.
    """

    victim: Victim
    started: pathlib.Path
    files: pathlib.Path
    before: dict
    after: dict
    cpu_seconds: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of some faults.

    Attributes:
      faults: int, how many struck.
      outcome: one of `OUTCOMES`.
      said: list of str, what happened, one after another.
    """

    faults: int
    outcome: str
    said: list


def undisturbed(victim, folder):
    """Runs a victim twice.

    Args:
      victim: `Victim`.
      folder: `pathlib.Path` of an empty folder; the task needs it.

    Returns:
      `Task`.

    Raises:
      RuntimeError: if a run fails, or the two end in different states: a fault
        could not be told from chance.
    """
    started, files = folder / "started", folder / "files"
    started.mkdir()
    _must(victim.start, started)
    ends = []
    for name in ("first", "second"):
        shutil.copytree(started, folder / name)
        seconds = _must(victim.run, folder / name).cpu_seconds
        ends.append(_must(victim.state, folder / name).value)
    first, after = ends
    if first != after:
        raise RuntimeError(
            f"Two undisturbed runs of {victim.name!r} must end the same way. "
            f"Received: other {_differences(first, after)}"
        )
    shutil.copytree(started, files)
    _must(victim.make_files, files)
    before = _must(victim.state, started).value
    return Task(victim, started, files, before, after, seconds)


def run(task, kind, index, seed):
    """Runs one trial, in a folder of its own.

    Args:
      task: `Task`.
      kind: one of `KINDS`.
      index: int, of the trial.
      seed: int; what is drawn depends on victim, kind, index and seed alone.

    Returns:
      `Trial`.

    Raises:
      RuntimeError: if no fault struck, and yet the victim came to harm.
    """
    draw = random.Random(f"{seed} {task.victim.name} {kind} {index}")
    with tempfile.TemporaryDirectory() as folder:
        trial = KINDS[kind](task, pathlib.Path(folder, "trial"), draw)
    if not trial.faults and trial.outcome != SAME:
        raise RuntimeError(f"An undisturbed run came to harm: {trial.said}")
    return trial


def _by_signals(task, folder, draw):
    """SIGKILL, SIGINT or SIGTERM, at random moments."""

    def strike(pid):
        chosen = draw.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
        os.kill(pid, chosen)
        return chosen.name

    # What a process says while it is being ended is no report of a fault.
    return _struck(task, folder, draw, strike, judged=False)


def _by_full_disk(task, folder, draw):
    """From random moments on nothing more can be written."""

    def strike(pid):
        # No disk has to be filled: no file may grow, and `write` fails with
        # EFBIG, since Python ignores SIGXFSZ.
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        return "full disk"

    return _struck(task, folder, draw, strike, judged=True)


def _struck(task, folder, draw, strike, *, judged):
    """Runs a victim that is struck, then again to its end."""
    victim, outcomes, said, faults = task.victim, [SAME], [], 0
    shutil.copytree(task.started, folder)
    strikes = draw.randint(1, _MOST_STRIKES)
    while True:
        chosen = strike if faults < strikes else None
        after = draw.uniform(0, task.cpu_seconds)
        end = processes.run(victim.run, folder, strike=chosen, after=after)
        faults += bool(end.struck)
        said.append(f"{after:.2f} s, {end}" if end.struck else str(end))
        if judged or end.hung or not end.struck:
            outcomes.append(end.outcome)
        if end.finished or not end.struck:
            break
        if victim.always_readable:
            readable = [task.before, task.after]
            outcomes.append(_compared(victim, folder, readable, said))
    if end.finished:
        outcomes.append(_compared(victim, folder, [task.after], said))
    return Trial(faults, max(outcomes, key=OUTCOMES.index), said)


def _by_flipped_byte(task, folder, draw):
    """One byte of one finished file becomes another one."""
    victim = task.victim
    shutil.copytree(task.files, folder)
    said = [_flip(folder, draw)]
    end = processes.run(victim.use, folder)
    said.append(str(end))
    outcome = end.outcome
    if end.finished:
        outcome = _compared(victim, folder, [task.after], said)
    return Trial(1, outcome, said)


KINDS = {
    "signals": _by_signals,
    "full disk": _by_full_disk,
    "flipped byte": _by_flipped_byte,
}


def files(folder):
    """The `pathlib.Path`s of a folder's files, sorted.

    All but TensorBoard's logs, and what a killed process leaves under names
    that nobody reads.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and "tensorboard" not in path.parts
        and not any(p.endswith(_atomic.SCRATCH) for p in path.parts)
    )


def _flip(folder, draw):
    path = draw.choice([p for p in files(folder) if p.stat().st_size])
    content = bytearray(path.read_bytes())
    position = draw.randrange(len(content))
    content[position] ^= draw.randint(1, 255)
    path.write_bytes(content)
    return f"flipped byte {position} of {path.relative_to(folder)}"


def _compared(victim, folder, expected, said):
    """`SAME`, or `LOST` if a folder's state is none of those expected."""
    end = processes.run(victim.state, folder)
    if end.finished and end.value in expected:
        return SAME
    said.append(
        f"other {_differences(end.value, expected[-1])}"
        if end.finished
        else f"cannot be read: {end}"
    )
    return LOST


def _differences(one, other):
    names = sorted(one.keys() | other.keys())
    return ", ".join(n for n in names if one.get(n) != other.get(n))


def _must(function, folder):
    """The `processes.End` of what no fault disturbs."""
    end = processes.run(function, folder)
    if not end.finished:
        raise RuntimeError(f"An undisturbed process failed: {end}")
    return end

"""benchmarks.fault_trials: faults are counted as what they did.

The victims write files without TensorFlow: the tests have used it, and a fork
could not.
"""

import contextlib
import itertools
import os
import random
import time

import pytest

from benchmarks import fault_processes, fault_trials
from benchmarks.fault_processes import LOST, NAMED, SAME, UNNAMED, End
from benchmarks.fault_trials import Trial, Victim

CONTENT = "0123456789" * 3


def busy(seconds):
    """Faults strike by the CPU clock, which stands still in `time.sleep`."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


class Careful(Victim):
    """Writes slowly, under another name, and renames."""

    name = "careful"

    def run(self, folder):
        self.write(folder / "file.part")
        os.replace(folder / "file.part", folder / "file")

    def write(self, path):
        with path.open("w") as file:
            for character in CONTENT:
                file.write(character)
                file.flush()
                busy(0.005)

    def state(self, folder):
        return {p.name: p.read_text() for p in fault_trials.files(folder)}


class InPlace(Careful):
    """Takes a file that is there for a complete one."""

    name = "in place"

    def run(self, folder):
        if not (folder / "file").exists():
            self.write(folder / "file")


class Deaf(InPlace):
    """Does not mind that a file cannot be written."""

    name = "deaf"

    def write(self, path):
        with contextlib.suppress(OSError):
            super().write(path)


class Served(Careful):
    """Removes what is there before it writes."""

    name = "served"
    always_readable = True

    def start(self, folder):
        (folder / "file").write_text("old")

    def run(self, folder):
        (folder / "file").unlink(missing_ok=True)
        super().run(folder)

    def state(self, folder):
        found = super().state(folder)
        return {"file": found.get("file")}


@pytest.fixture
def trials(tmp_path):
    """Function from a victim and a kind to five `Trial`s with a fault."""

    def run(victim, kind):
        folder = tmp_path / f"{victim.name} {kind}"
        folder.mkdir()
        task = fault_trials.undisturbed(victim, folder)
        found = (fault_trials.run(task, kind, i, seed=0) for i in range(99))
        struck = (trial for trial in found if trial.faults)
        return list(itertools.islice(struck, 5))

    return run


def outcomes(trials):
    return {trial.outcome for trial in trials}


@pytest.mark.slow
def test_a_careful_victim_loses_nothing_to_signals(trials):
    assert outcomes(trials(Careful(), "signals")) == {SAME}


@pytest.mark.slow
def test_one_that_writes_in_place_is_counted_as_lost(trials):
    found = trials(InPlace(), "signals")
    assert LOST in outcomes(found)
    [lost, *_] = [trial for trial in found if trial.outcome == LOST]
    assert lost.said[-1] == "other file"


@pytest.mark.parametrize(("hung", "outcome"), ((True, UNNAMED), (False, SAME)))
def test_to_hang_is_no_way_to_end(tmp_path, monkeypatch, hung, outcome):
    ends = iter(
        (
            End(struck="SIGINT", hung=hung),
            End(finished=True, outcome=SAME),
            End(finished=True, outcome=SAME, value={}),  # of `state`
        )
    )
    monkeypatch.setattr(fault_processes, "run", lambda *_, **__: next(ends))
    task = fault_trials.Task(Careful(), tmp_path, tmp_path, {}, {}, 1.0)
    assert fault_trials.run(task, "signals", 0, seed=0).outcome == outcome


@pytest.mark.slow
def test_one_that_was_gone_for_a_moment_is_counted_as_lost(trials):
    assert LOST in outcomes(trials(Served(), "signals"))


@pytest.mark.slow
def test_a_full_disk_that_nobody_names(trials):
    """The operating system's words, and with room again nothing is lost."""
    found = trials(Careful(), "full disk")
    assert UNNAMED in outcomes(found)
    assert outcomes(found) <= {UNNAMED, SAME}  # after its last write
    assert all(trial.said[-1].endswith("ended") for trial in found)


@pytest.mark.slow
def test_a_full_disk_that_is_overheard_is_counted_as_lost(trials):
    assert LOST in outcomes(trials(Deaf(), "full disk"))


@pytest.mark.slow
def test_a_flipped_byte_that_nobody_sees_is_counted_as_lost(trials):
    assert outcomes(trials(InPlace(), "flipped byte")) == {LOST}


@pytest.mark.slow
def test_a_flipped_byte_that_is_written_again_changes_nothing(trials):
    assert outcomes(trials(Careful(), "flipped byte")) == {SAME}


def test_a_flipped_byte_is_one_byte(tmp_path):
    before = bytes(range(200))
    (tmp_path / "file").write_bytes(before)
    (tmp_path / "empty").touch()
    draw = random.Random(0)
    for _ in range(20):
        (tmp_path / "file").write_bytes(before)
        fault_trials._flip(tmp_path, draw)
        after = (tmp_path / "file").read_bytes()
        pairs = zip(before, after, strict=True)
        assert sum(a != b for a, b in pairs) == 1


@pytest.mark.slow
def test_a_trial_depends_on_seed_and_index_alone(tmp_path):
    (tmp_path / "task").mkdir()
    task = fault_trials.undisturbed(InPlace(), tmp_path / "task")

    def said(index, seed):
        return fault_trials.run(task, "flipped byte", index, seed).said

    assert said(0, 0) == said(0, 0)
    assert len({said(i, s)[0] for i in (0, 1) for s in (0, 1)}) == 4


def test_a_victim_whose_runs_differ_is_refused(tmp_path):
    class Clock(Careful):
        def state(self, folder):
            return {"file": time.monotonic_ns()}

    with pytest.raises(RuntimeError, match="'careful' must end the same way"):
        fault_trials.undisturbed(Clock(), tmp_path)


@pytest.mark.slow
def test_harm_without_a_fault_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(
        fault_trials.KINDS, "signals", lambda *_: Trial(0, NAMED, ["refused"])
    )
    task = fault_trials.undisturbed(InPlace(), tmp_path)
    with pytest.raises(RuntimeError, match="undisturbed run came to harm"):
        fault_trials.run(task, "signals", 0, 0)

"""benchmarks.fault_processes: how a process ended, and what its error says."""

import json
import os
import signal
import time

import numpy as np
import pytest

import kdtf
from benchmarks import fault_processes
from benchmarks.fault_processes import NAMED, SAME, UNNAMED
from kdtf import _atomic
from trainers.core import run_directory, seals


def raised(function, *args):
    """The exception that a call raises."""
    with pytest.raises(BaseException) as caught:
        function(*args)
    return caught.value


def test_a_result_comes_back(tmp_path):
    end = fault_processes.run(lambda folder: {"of": folder.name}, tmp_path)
    assert end.finished and end.outcome == SAME and end.struck is None
    assert end.value == {"of": tmp_path.name}


def test_a_process_that_dies_has_not_finished(tmp_path):
    end = fault_processes.run(lambda folder: os._exit(3), tmp_path)
    assert not end.finished and end.outcome == UNNAMED
    assert "exit code 3" in end.said


def test_a_process_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(fault_processes, "_HANGS_AFTER", 0.2)
    end = fault_processes.run(lambda folder: time.sleep(60), tmp_path)
    assert end.hung and not end.finished and end.outcome == UNNAMED


@pytest.mark.slow
def test_it_is_struck_by_its_cpu_clock_and_not_after_its_end(tmp_path):
    def strike(pid):
        os.kill(pid, signal.SIGTERM)
        return "SIGTERM"

    def work(folder):
        time.sleep(0.3)  # no CPU time
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass

    for after, struck in ((0.25, "SIGTERM"), (60, None)):
        began = time.monotonic()
        end = fault_processes.run(work, tmp_path, strike=strike, after=after)
        assert end.struck == struck and end.finished == (struck is None)
        assert end.cpu_seconds > (0.5 if end.finished else 0.24)
        assert time.monotonic() - began > 0.3 + end.cpu_seconds - 0.1


def test_a_refusal_that_names_the_folder_is_named(tmp_path):
    error = raised(kdtf.SoftTargets, tmp_path)
    assert fault_processes.judge(error, tmp_path) == NAMED
    assert fault_processes.judge(error, tmp_path / "other") == UNNAMED


def test_a_usage_error_that_absl_exits_with_is_named(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    def app():
        try:
            run_directory.open_run_directory(tmp_path, {})
        except ValueError:
            raise SystemExit(1) from None

    assert fault_processes.judge(raised(app), tmp_path) == NAMED


def test_an_error_that_passes_through_is_not_named(tmp_path):
    (tmp_path / "result").mkdir()
    state = tmp_path / "result" / "state.json"
    state.write_text("{" + str(tmp_path))
    errors = [
        # Raised by the standard library, called by a trainer.
        raised(seals.read_json, state),
        # Raised by the library's own line, but not on purpose.
        raised(stumble, tmp_path),
        raised(json.loads, str(tmp_path)),
        # On purpose, in the operating system's words.
        raised(_atomic._exchange, tmp_path / "new", tmp_path / "old"),
        # On purpose, but by nobody whose errors are ours.
        raised(refuse, tmp_path),
        raised(np.load, tmp_path / "no"),
    ]
    assert {fault_processes.judge(e, tmp_path) for e in errors} == {UNNAMED}


def stumble(folder):
    """As if the first line of kdtf.losses were `int(folder)`."""
    code = compile("int(folder)", kdtf.losses.__file__, "exec")
    exec(code, {"folder": str(folder)})


def refuse(folder):
    raise ValueError(f"`directory` must be another one. Received: {folder}")


def test_what_an_error_says_is_a_line_without_this_machines_folders(tmp_path):
    error = raised(refuse, f"{tmp_path} and {kdtf.losses.__file__}")
    said = fault_processes.describe(error, tmp_path)
    assert said.startswith("ValueError: `directory` must be")
    assert "test_fault_processes.py, line" in said
    assert "Received:  and /kdtf/losses.py" in said and "\n" not in said

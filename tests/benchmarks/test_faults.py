"""benchmarks.faults: it strikes as often as asked for, and counts honestly."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import fault_trials, faults
from benchmarks.fault_processes import LOST, NAMED, OUTCOMES, SAME, UNNAMED
from benchmarks.fault_trials import Trial
from tests import processes

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(output, *arguments):
    return processes.run("benchmarks.faults", *arguments, f"--output={output}")


class Toy:
    def __init__(self, name):
        self.name = name


@pytest.fixture
def measured(monkeypatch):
    """Function from faults and earlier results to results, without forks."""
    made = {
        "signals": Trial(2, SAME, []),
        "full disk": Trial(1, NAMED, ["no room"]),
        "flipped byte": Trial(1, LOST, ["flipped byte 3", "other file"]),
    }
    tried = []

    def trial(task, kind, index, seed):
        tried.append((task, kind, index, seed))
        # Every other trial comes too late.
        return made[kind] if index % 2 else Trial(0, SAME, [])

    monkeypatch.setattr(
        fault_trials, "undisturbed", lambda victim, folder: victim.name
    )
    monkeypatch.setattr(fault_trials, "run", trial)

    def measure(count, results=None):
        results = results or {"seed": 5, "rows": []}
        tried.clear()
        victims = {name: Toy(name) for name in ("store", "fit")}
        faults.measure(victims, count, results, lambda: None)
        return results, list(tried)

    return measure


def test_faults_are_spread_evenly_and_counted_by_outcome(measured):
    results, _ = measured(18)
    rows = {(r["task"], r["disturbed_by"]): r for r in results["rows"]}
    assert len(rows) == 6
    for (_, kind), row in rows.items():
        assert sum(row["outcomes"].values()) == row["faults"]
        # Three faults each: two trials of two, or three of one.
        expected = {
            "signals": (4, {SAME: 4}),
            "full disk": (6, {NAMED: 3}),
            "flipped byte": (6, {LOST: 3}),
        }
        trials, outcomes = expected[kind]
        assert row["trials"] == trials
        assert row["outcomes"] == {**dict.fromkeys(OUTCOMES, 0), **outcomes}


def test_what_happened_is_told_where_something_was_lost(measured):
    results, _ = measured(6)
    for row in results["rows"]:
        told = [(f["trial"], f["said"]) for f in row["failures"]]
        lost = row["disturbed_by"] == "flipped byte"
        assert told == ([(1, ["flipped byte 3", "other file"])] if lost else [])


def test_it_goes_on_where_it_was(measured):
    whole, all_of_them = measured(24)
    half, first = measured(12)
    resumed, second = measured(24, half)
    assert sorted(first + second) == sorted(all_of_them)
    for one, other in zip(resumed["rows"], whole["rows"], strict=True):
        assert one | {"cpu_seconds": 0} == other | {"cpu_seconds": 0}
    assert measured(24, resumed)[1] == []


@pytest.mark.slow
def test_all_tasks_are_struck_and_none_comes_to_harm(tmp_path):
    output = tmp_path / "faults.json"
    command = [sys.executable, "-m", "benchmarks.faults", "--faults=12"]
    result = subprocess.run(
        [*command, f"--output={output}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    rows = json.loads(output.read_text())["rows"]
    assert len(rows) == 12
    # What a flipped byte does to an export, TensorFlow says, which loads it.
    of_kdtf = {(row["task"], row["disturbed_by"]): row for row in rows}
    loaded = of_kdtf.pop(("export", "flipped byte"))
    assert loaded["faults"] >= 1
    for (task, kind), row in of_kdtf.items():
        assert row["faults"] >= 1
        assert row["outcomes"][LOST] == 0, row["failures"]
        assert row["outcomes"][UNNAMED] == 0, row["failures"]
        if kind == "signals":
            assert row["outcomes"][NAMED] == 0
        if (task, kind) == ("store", "flipped byte"):
            assert row["outcomes"][SAME] == 0


@pytest.mark.slow
def test_results_of_another_seed_are_not_mixed_in(tmp_path):
    output = tmp_path / "faults.json"
    assert run(output, "--only=export", "--faults=1").returncode == 0
    before = output.read_bytes()
    result = run(output, "--only=export", "--faults=1", "--seed=1")
    assert result.returncode == 1
    assert "of seed 0, which now is 1" in result.stderr
    assert output.read_bytes() == before


@pytest.mark.slow
def test_an_unknown_task_is_named(tmp_path):
    result = run(tmp_path / "faults.json", "--only=store,disk")
    assert result.returncode == 1
    assert "--only must be of store, trainer" in result.stderr
    assert "store,disk" in result.stderr

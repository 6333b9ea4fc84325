"""The machine's description, and timings in turns."""

import os

from trainers.core import machine


def test_description():
    assert machine.description().startswith(f"{os.cpu_count()} cores of ")


def timed(monkeypatch, durations, **options):
    """What is timed, and the calls, of contenders that take that long."""
    now, calls = [0.0], []
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now[0])

    def call(name):
        calls.append(name)
        now[0] += durations[name]

    contenders = {name: lambda name=name: call(name) for name in durations}
    return machine.interleaved(contenders, **options), calls


def test_turns_of_equal_time(monkeypatch):
    durations = {"a": 0.25, "b": 0.5}
    taken, calls = timed(monkeypatch, durations, seconds=2.0, rounds=2)
    # A call of each to warm up, then turns of a second.
    assert calls == ["a", "b", *(["a"] * 4 + ["b"] * 2) * 2]
    assert taken == {"a": [0.25] * 8, "b": [0.5] * 4}


def test_what_is_slow_is_timed_three_times(monkeypatch):
    durations = {"slow": 5.0, "fast": 0.5}
    taken, _ = timed(monkeypatch, durations, seconds=1.0, rounds=2)
    assert taken == {"slow": [5.0] * 3, "fast": [0.5] * 3}

"""The ways to combine that are timed."""

import numpy as np
import pytest

from benchmarks import specialists

SIZE, TOP, CASES = (24, 4, 8), 2, 6


@pytest.mark.slow
def test_the_ways_find_the_same_distribution():
    kdtf, em, short, long = specialists.compare(
        SIZE, TOP, CASES, rounds=1, most=2_000
    )
    assert kdtf["way"] == "kdtf" and em["way"] == "EM"
    assert em["same_argmax"] == 1
    assert em["largest_difference_of_q"] < 1e-4
    assert 0 < em["mean_steps"] <= em["most_steps"] < 2_000
    assert short["most_steps"] <= 200 and long["most_steps"] <= 1_000
    assert (
        long["largest_difference_of_q"] <= short["largest_difference_of_q"] < 1
    )
    assert min(way["microseconds"] for way in (kdtf, em, short, long)) > 0


@pytest.mark.slow
def test_a_size_is_timed():
    row = specialists.measure(SIZE, TOP, CASES, rounds=1)
    assert (row["classes"], row["specialists"], row["set_size"]) == SIZE
    assert 0 < row["mean_active"] <= row["trimmed_to"] <= row["most_active"]
    for name in ("combine", "trimmed", "log_softmax"):
        assert row[f"microseconds_{name}"] > 0


def test_sets_are_the_nearest_classes():
    sets = specialists.Problem(SIZE, TOP, CASES).sets
    assert [len(each) for each in sets.sets] == [8] * 4
    # Around an edge of the torus, too.
    distance = specialists._distances(
        np.array([[0.05, 0.5]]), np.array([[0.95, 0.5], [0.25, 0.5]])
    )
    assert distance[0] == pytest.approx([0.1, 0.2])

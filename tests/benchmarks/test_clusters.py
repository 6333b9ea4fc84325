"""benchmarks.clusters: a generalist that confuses, and figures that add up."""

import multiprocessing
import time

import numpy as np
import pytest

from benchmarks import clusters


def test_predictions_are_confused_posteriors():
    batches = list(clusters.predictions(200, 1500, seed=0))
    assert [batch.shape for batch in batches] == [(1000, 200), (500, 200)]
    p = np.concatenate(batches)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert 0.2 < 1 - p.max(axis=1).mean() < 0.8
    again = next(clusters.predictions(200, 1500, seed=0))
    np.testing.assert_array_equal(batches[0], again)


def test_making_of_batches_is_timed_apart():
    def slow():
        for _ in range(3):
            time.sleep(0.02)
            yield 0

    batches, began = clusters.Timed(slow()), time.perf_counter()
    for _ in batches:
        time.sleep(0.05)
    assert 0.06 <= batches.making < 0.15
    assert batches.ended - began - batches.making >= 0.15


@pytest.mark.slow
def test_a_small_run():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row = pool.apply(clusters.measure, ((2000, 40, 60), 3000))
    assert row["covered"] > 2 * row["covered_random"] > 0
    assert row["left_out"] == 0
    assert row["seconds_correlations"] > 0 < row["seconds_sets"]
    assert 0.5 * row["mib_of_matrix"] < row["mib"] < 60

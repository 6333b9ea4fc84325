"""Rows against lists of both kinds, over sets of all sizes."""

import numpy as np
import pytest

from kdtf.specialists.rows import Rows


def some_rows(own_count, count, seed=0):
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(count, own_count, replace=False))


@pytest.mark.parametrize(
    "own_count, count",
    [(1, 2), (1, 300), (299, 300), (7, 12_000), (5_000, 11_000), (300, 70_300)],
)
def test_passes_have_every_row_once(own_count, count):
    """Counts at which orders are drawn one by one, and several at once."""
    own_rows = some_rows(own_count, count)
    rest_rows = np.setdiff1d(np.arange(count), own_rows)
    longest = max(own_count, len(rest_rows))
    rows, own = Rows(own_rows, count, 0.5, 3)(0, 6 * longest)
    np.testing.assert_array_equal(own, np.isin(rows, own_rows))
    for drawn, kind in ((rows[own], own_rows), (rows[~own], rest_rows)):
        passes = drawn[: len(drawn) // len(kind) * len(kind)]
        passes = passes.reshape(-1, len(kind))
        assert len(passes) >= 3
        assert (np.sort(passes[:50], axis=1) == kind).all()
        assert (np.sort(passes[-50:], axis=1) == kind).all()
        if len(kind) > 100:  # where no two orders are the same by chance
            assert len(np.unique(passes[:50], axis=0)) == len(passes[:50])
            assert (passes[:50] != kind).any(axis=1).all()


@pytest.mark.parametrize("share", (0.5, 0.04, 0.9, 1e-3, 2 / 3))
@pytest.mark.parametrize(
    "first, count", [(0, 1), (1, 1), (999, 40), (12_345, 7)]
)
def test_any_stretch_is_part_of_the_whole(share, first, count):
    rows_at = Rows(some_rows(30, 500), 500, share, 1)
    whole, part = rows_at(0, 13_000), rows_at(first, count)
    for all_of_it, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_of_it[first : first + count], some)


@pytest.mark.parametrize("share", (0.5, 0.04, 0.9, 1e-3, 2 / 3))
def test_the_share_is_kept_everywhere(share):
    _, own = Rows(some_rows(30, 500), 500, share, 1)(0, 20_000)
    places = np.arange(1, 20_001)
    assert (np.abs(own.cumsum() - share * places) <= 1).all()


def test_far_places():
    """After 2^40 batches of 256 floats still tell every place apart."""
    first = 2**48
    rows, own = Rows(some_rows(30, 500), 500, 0.5, 1)(first, 1000)
    assert own.sum() == 500 and (rows >= 0).all() and (rows < 500).all()


def test_both_kinds_are_drawn_apart():
    """Of as many own ones and others, the orders have nothing in common."""
    rows, own = Rows(np.arange(100), 200, 0.5, 0)(0, 2000)
    assert (rows[own] != rows[~own] - 100).mean() > 0.9

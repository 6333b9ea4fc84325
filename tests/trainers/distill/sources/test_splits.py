"""trainers.distill.sources.splits: what is held out by a seed."""

import numpy as np
import pytest

from trainers.distill.sources import splits


@pytest.mark.parametrize("seed", range(20))
def test_disjoint_complete_and_the_same_again(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 6, rng.integers(2, 200))
    share = rng.uniform(0.01, 0.99)
    kept, out = splits.hold_out(labels, share, (seed, 1))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([kept, out])), np.arange(len(labels))
    )
    assert (np.diff(kept) > 0).all() and (np.diff(out) > 0).all()
    for label in range(-1, 6):
        cases = np.sum(labels == label)
        count = np.sum(labels[out] == label)
        if cases > 1:
            assert 1 <= count <= cases - 1
            assert abs(count - share * cases) <= 1
    again = splits.hold_out(labels, share, (seed, 1))
    np.testing.assert_array_equal(again[0], kept)


def test_a_function_of_the_cases_of_a_class():
    """Other classes, and cases of them, change nothing for a class."""
    labels = np.tile([0, 1], 50)
    _, out = splits.hold_out(labels, 0.3, (0, 1))
    others = np.append(np.where(labels == 1, 7, 0), [5, 5, 5])
    _, moved = splits.hold_out(others, 0.3, (0, 1))
    of_class = out[labels[out] == 0]
    assert len(of_class) == 15
    np.testing.assert_array_equal(of_class, moved[others[moved] == 0])


def test_seeds_and_streams_differ():
    labels = np.zeros(100, int)
    found = [
        tuple(splits.hold_out(labels, 0.2, seed)[1])
        for seed in ((0, 1), (0, 2), (1, 1))
    ]
    assert len(set(found)) == 3 and {len(out) for out in found} == {20}


def test_a_single_case_of_a_class():
    kept, out = splits.hold_out(np.array([0, 1, 1]), 0.2, (0, 1))
    assert 0 in kept and len(out) == 1


def test_classes_hold_others_out():
    """Not the same places of each, as of data that are sorted by drawer."""
    _, out = splits.hold_out(np.repeat(np.arange(4), 50), 0.2, (0, 1))
    assert len({tuple(some) for some in (out % 50).reshape(4, 10)}) == 4

"""Which shards a worker reads."""

import itertools

import numpy as np
import pytest

from kdtf.soft_targets import manifest as store_manifest
from kdtf.soft_targets import runs
from tests import stores


def ranges(*counts):
    ends = np.cumsum(counts).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def flat(lists):
    return list(itertools.chain(*lists))


def shares(found, count):
    return [list(runs.share(found, i, count)) for i in range(count)]


@pytest.mark.parametrize("shards", (1, 2, 3, 7, 16, 100))
def test_equal_shards_are_dealt_evenly_and_in_order(shards):
    for count in range(1, min(shards, 9) + 1):
        found = shares(ranges(*[10] * shards), count)
        assert flat(found) == list(range(shards))
        sizes = {len(part) for part in found}
        assert sizes <= {shards // count, -(-shards // count)}


def test_shares_count_examples_and_not_shards():
    # Of 31 examples, each of two workers should read 15 or 16.
    found = ranges(1, 1, 1, 1, 1, 2, 4, 4, 16)
    assert shares(found, 2) == [[0, 1, 2, 3, 4, 5, 6, 7], [8]]


@pytest.mark.parametrize("counts", ((90, 1, 1, 1), (1, 1, 1, 90), (1, 50, 1)))
def test_every_worker_has_a_shard(counts):
    for count in range(1, len(counts) + 1):
        found = shares(ranges(*counts), count)
        assert flat(found) == list(range(len(counts)))
        assert all(found)


def test_any_shares_are_all_shards_once():
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.integers(1, 50, rng.integers(1, 20)).tolist()
        count = int(rng.integers(1, len(counts) + 1))
        found = shares(ranges(*counts), count)
        assert flat(found) == list(range(len(counts))) and all(found)
        # Nobody is off by more than a shard at each end.
        even = sum(counts) / count
        for part in found:
            has = sum(counts[i] for i in part)
            assert has <= even + 2 * max(counts)


@pytest.mark.parametrize(
    ("index", "count", "named"),
    (
        (0, None, "`shard_count`"),
        (None, 2, "`shard_index`"),
        (0, 0, "`shard_count`"),
        (0, 2.0, "`shard_count`"),
        (0, True, "`shard_count`"),
        (2, 2, "`shard_index`"),
        (-1, 2, "`shard_index`"),
        (1.0, 2, "`shard_index`"),
        (False, 2, "`shard_index`"),
        (0, 5, "`shard_count` must be at most the number of shards, 4"),
    ),
)
def test_workers_that_cannot_be(index, count, named):
    with pytest.raises(ValueError, match=rf"^{named}.*Received: shard_index="):
        runs.share(ranges(1, 1, 1, 1), index, count)


@pytest.mark.slow
@pytest.mark.parametrize("counted", (True, False))
def test_runs_of_a_store(tmp_path, counted, monkeypatch):
    """22 examples in batches of 4: of the shards, two have two batches."""
    stores.write(tmp_path, views=2, augment=lambda x, seed: x, shards=3)
    manifest = store_manifest.read(tmp_path)
    if not counted:  # as in a store of version 2
        monkeypatch.setattr(type(manifest), "ranges", lambda *_: None)
    first, second = (runs.of_worker(tmp_path, manifest, i, 2) for i in range(2))
    assert [run.view for run in first] == [0, 1]
    for of_all in (
        [*first, *second],
        [*runs.of_worker(tmp_path, manifest, None, None)],
    ):
        names = [path for run in of_all for path in run.paths]
        assert sorted(names) == [
            str(tmp_path / f"view00{view}-shard0000{shard}.tfrecord")
            for view in range(2)
            for shard in range(3)
        ]
        assert sum(run.examples for run in of_all) == 2 * 22
        assert sum(run.batches for run in of_all) == 2 * 6
    assert (first[0].first, first[0].examples, first[0].first_batch) == (
        0,
        16,
        0,
    )
    assert (second[1].first, second[1].examples, second[1].first_batch) == (
        16,
        6,
        4,
    )
    each = runs.one_by_one(tmp_path, manifest, 0, 2)
    assert [(run.view, run.first, run.examples) for run in flat(each)] == [
        (0, 0, 8),
        (1, 0, 8),
        (0, 8, 8),
        (1, 8, 8),
    ]


def test_a_stack_gives_each_run_back(tmp_path):
    stores.write(tmp_path)
    manifest = store_manifest.read(tmp_path)
    given = flat(runs.one_by_one(tmp_path, manifest, None, None))
    stacked = runs.stack(given)
    for index, run in enumerate(given):
        found = runs.pick(stacked, index)
        assert int(found.view) == run.view
        assert [path.decode() for path in found.paths.numpy()] == run.paths
        for name in ("first", "examples", "first_batch", "batches"):
            assert int(getattr(found, name)) == getattr(run, name)

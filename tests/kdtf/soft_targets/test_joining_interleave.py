"""Shards in another order in every epoch, several read at once."""

import numpy as np
import pytest
import tensorflow as tf

from tests import nets, stores

FAILURES = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)

# In batches of 4, each of the three shards has two.
SHARD = np.arange(22) // 8


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stores.write(tmp_path_factory.mktemp("store"), dtype="float32")


def order(joined):
    """Positions of the examples of an epoch, each with its own targets."""
    x, targets = stores.read(joined.batch(64))
    inputs = nets.inputs(22)
    found = [int(np.argmin(np.abs(inputs - one).sum(1))) for one in x]
    np.testing.assert_array_equal(x, inputs[found])
    np.testing.assert_array_equal(targets["labels"], nets.labels(22)[found])
    np.testing.assert_allclose(
        targets["teacher_logits"],
        stores.relative_logits(nets.linear(3))[found],
        atol=1e-5,
    )
    return found


@pytest.mark.parametrize("interleave", (1, 2, 3, 50))
def test_every_example_once_in_every_epoch(store, interleave):
    joined = store.join(stores.of_range, interleave=interleave)
    assert len(joined) == 22
    for _ in range(2):
        assert sorted(order(joined)) == list(range(22))


def test_one_example_of_each_in_turn(store):
    found = order(store.join(stores.of_range, interleave=3, seed=0))
    # Within a shard in order; three at a time until the one of 6 ends.
    for shard in range(3):
        own = [i for i in found if SHARD[i] == shard]
        assert own == sorted(own)
    for first in range(0, 18, 3):
        assert {SHARD[i] for i in found[first : first + 3]} == {0, 1, 2}


def test_one_shard_at_a_time(store):
    found = order(store.join(stores.of_range, interleave=1, seed=0))
    changes = np.diff(SHARD[found]) != 0
    assert changes.sum() == 2


@pytest.mark.slow
def test_epochs_differ_and_a_seed_repeats_them(store):
    def epochs(seed):
        tf.random.set_seed(0)
        joined = store.join(stores.of_range, interleave=1, seed=seed)
        return [tuple(order(joined)) for _ in range(3)]

    first = epochs(1)
    assert epochs(1) == first
    assert len(set(first)) > 1
    assert epochs(2) != first


@pytest.mark.slow
def test_a_worker_has_its_own_shards_alone(store):
    parts = [
        store.join(stores.of_range, shard_index=i, shard_count=2, interleave=2)
        for i in range(2)
    ]
    assert sorted(order(parts[0])) == list(range(16))
    assert sorted(order(parts[1])) == list(range(16, 22))


@pytest.mark.slow
def test_views_are_shards_too(tmp_path):
    views = stores.write(
        tmp_path, views=2, augment=stores.augment, dtype="float32"
    )
    joined = views.join(
        stores.of_range, augment=stores.augment, interleave=2, seed=1
    )
    x, targets = stores.read(joined.batch(64))
    np.testing.assert_allclose(
        targets["teacher_logits"],
        stores.relative_logits(nets.linear(3), x),
        atol=1e-5,
    )
    expected = [
        stores.augment(tf.constant(one), tf.constant([position, view])).numpy()
        for view in range(2)
        for position, one in enumerate(nets.inputs(22))
    ]
    assert sorted(x.tolist()) == sorted(map(np.ndarray.tolist, expected))


def test_the_function_is_called_once_for_each_shard(store):
    asked = []

    def watched(first, last):
        assert type(first) is type(last) is int
        asked.append((first, last))
        return stores.of_range(first, last)

    joined = store.join(watched, interleave=2)
    for _ in range(2):
        order(joined)
    assert asked == [(0, 8), (8, 16), (16, 22)]


def test_other_examples_are_noticed(store):
    def another(first, last):
        return stores.of_range(22 - last, 22 - first)

    def less_than_told(first, last):
        return stores.of_range(first, last - 1).filter(lambda *_: True)

    with pytest.raises(FAILURES, match=r"as example \d+ one of checksum"):
        order(store.join(another, interleave=2))
    with pytest.raises(FAILURES, match=r"contained.* elements"):
        order(store.join(less_than_told, interleave=2))


def test_data_sets_of_different_kinds_are_refused(store):
    def wider(first, last):
        cast = tf.int64 if first else tf.int32
        return stores.of_range(first, last).map(
            lambda x, y: (x, tf.cast(y, cast))
        )

    with pytest.raises(ValueError, match=r"^`dataset` must.*Received.*int64"):
        store.join(wider, interleave=2)


@pytest.mark.slow
def test_several_stores_are_sampled(store, tmp_path):
    second = stores.write(tmp_path, nets.linear(4))
    both = tf.data.Dataset.sample_from_datasets(
        [s.join(stores.of_range, interleave=2) for s in (store, second)], seed=0
    )
    x, targets = stores.read(both.batch(64))
    assert len(x) == 44
    for teacher, tolerance in ((3, 1e-5), (4, 1e-3)):
        found = np.abs(
            targets["teacher_logits"]
            - stores.relative_logits(nets.linear(teacher), x)
        )
        assert (found.max(1) < tolerance).sum() == 22


@pytest.mark.parametrize(
    ("options", "named"),
    (
        ({"interleave": 0}, "`interleave`"),
        ({"interleave": 2.0}, "`interleave`"),
        ({"interleave": True}, "`interleave`"),
        ({"interleave": 2, "seed": 1.0}, "`seed`"),
        ({"interleave": 2, "seed": 2**63}, "`seed`"),
        ({"seed": 1}, "`seed`"),
    ),
)
def test_options_that_are_refused(store, options, named):
    with pytest.raises(ValueError, match=rf"^{named} must.*Received: "):
        store.join(stores.of_range, **options)


@pytest.mark.parametrize("batch", (None, 4))
def test_other_data_than_a_function_are_refused(store, batch):
    with pytest.raises(ValueError, match=r"^`dataset` must be a function"):
        store.join(stores.dataset(batch), interleave=2)

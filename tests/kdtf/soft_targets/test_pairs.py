"""Batches and what is stored for them: each example is checked."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf.soft_targets import manifest as store_manifest
from kdtf.soft_targets import pairs, runs
from tests import nets, stores

FAILURES = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)


@pytest.mark.slow
@pytest.mark.parametrize("size", (1, 3, 8, 50))
def test_a_run_has_the_examples_from_its_first_on(tmp_path, size):
    """The second of two workers has the last of three shards."""
    stores.write(tmp_path, views=2, augment=stores.augment, dtype="float32")
    manifest = store_manifest.read(tmp_path)
    data = stores.of_range(16, 22).batch(size)
    for run in runs.of_worker(tmp_path, manifest, 1, 2):
        joined = pairs.of_run(manifest, data, run, size, stores.augment)
        batches = list(joined)
        assert len(batches) == pairs.batches(manifest, run, size)
        assert len(batches) == -(-6 // size)
        x, targets = stores.read(batches)
        expected = [
            stores.augment(nets.inputs(22)[i], tf.constant([i, run.view]))
            for i in range(16, 22)
        ]
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(targets["labels"], nets.labels(22)[16:])
        np.testing.assert_allclose(
            targets["teacher_logits"],
            stores.relative_logits(nets.linear(3), x),
            atol=1e-5,
        )


def permuted(rows):
    order = np.arange(22)
    order[list(rows)] = order[list(reversed(rows))]
    return tf.data.Dataset.from_tensor_slices(
        (nets.inputs(22)[order], nets.labels(22)[order])
    )


@pytest.mark.parametrize("batch", (None, 4))
@pytest.mark.parametrize("rows", (range(22), (10, 11), (20, 21)))
def test_another_order_is_noticed(tmp_path, batch, rows):
    data = permuted(rows)
    store = stores.write(tmp_path)
    joined = store.join(data if batch is None else data.batch(batch))
    first = next(i for i in rows if i != rows[::-1][i - rows[0]])
    with pytest.raises(
        FAILURES, match=rf"(?s)as example.*\b{first}\b.*of checksum"
    ):
        stores.read(joined if batch else joined.batch(4))


def test_labels_may_be_hidden(tmp_path):
    hidden = stores.dataset().map(lambda x, y: (x, -tf.ones_like(y)))
    _, targets = stores.read(stores.write(tmp_path).join(hidden))
    assert (targets["labels"] == -1).all()


@pytest.mark.parametrize("batch", (None, 4))
@pytest.mark.parametrize("count", (10, 20, 21, 23, 30))
def test_another_length_is_noticed_at_the_end(tmp_path, batch, count):
    store = stores.write(tmp_path)
    rng = np.random.default_rng(1)  # as `nets.inputs` draws them
    rows = rng.normal(size=(30, nets.FEATURES)).astype(np.float32)
    assert (rows[:22] == nets.inputs(22)).all()
    data = tf.data.Dataset.from_tensor_slices(rows[:count])
    unknown = data.filter(lambda x: True)
    joined = store.join(unknown if batch is None else unknown.batch(batch))
    with pytest.raises(FAILURES, match=r"elements|batches of one size"):
        stores.read(joined if batch else joined.batch(4))


def test_large_soft_targets_are_joined_a_few_at_a_time(tmp_path):
    """Of a number and 2^18 classes each takes 1 MB, and 4,096 take 4 GB."""
    classes = 2**18
    numbers = tf.data.Dataset.range(12)

    def teacher(x):
        return 3 * tf.one_hot(x, classes)

    store = stores.write(tmp_path, teacher, numbers.batch(2), fingerprint="0")
    manifest = store_manifest.read(tmp_path)
    for batched, data in ((False, numbers), (True, numbers.batch(2))):
        count = pairs.at_once(manifest, data, batched=batched)
        assert count >= 1 and count * 4 * classes <= 2**22
    for data in (numbers, numbers.batch(5)):
        joined = store.join(data)
        joined = joined.batch(5) if data is numbers else joined
        x, targets = stores.read(joined)
        np.testing.assert_array_equal(x, np.arange(12))
        found = targets["teacher_logits"].argmax(-1)
        np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("kind", ({}, {"top_k": 2, "temperature": 1.0}))
def test_soft_targets_are_not_written_over(tmp_path, kind):
    first = stores.write(tmp_path / "first")
    second = stores.write(tmp_path / "second", nets.linear(4), **kind)
    joined = first.join(stores.dataset())
    message = "`dataset` must be.*without soft targets.*teacher_logits"
    with pytest.raises(ValueError, match=message):
        second.join(joined)

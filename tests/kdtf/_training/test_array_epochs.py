"""kdtf._training.array_epochs: the batches that Keras takes of arrays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import array_epochs
from tests import nets


def adapter(x, shuffle=False, **data):
    """Keras's adapter, and what is there in place of it."""
    keras_own = keras_private.get_data_adapter(x, shuffle=shuffle, **data)
    return keras_own, array_epochs.adapter_of(keras_own, shuffle)


def batches(adapter, steps):
    """The batches of an epoch in executions of that many steps."""
    found = []
    epoch = iter(adapter.get_tf_dataset())

    def gather(data, order, first, count, size, most):
        stacked = array_epochs.stacked_batches(data, order, first, size, most)
        for i in range(count):
            one = array_epochs.batch(data, order, first + i * size, size)
            leaves = zip(*map(keras.tree.flatten, (one, stacked)), strict=True)
            for leaf, stack in leaves:
                if leaf is not None:
                    np.testing.assert_array_equal(leaf, stack[i])
            found.append(one)
        return count

    runs = []
    while True:
        try:
            runs.append(epoch.run(gather, steps))
        except StopIteration:
            return found, runs


@pytest.mark.parametrize("steps", (1, 2, 3, 100))
@pytest.mark.parametrize("batch_size", (4, 5, 64))
@pytest.mark.parametrize("shuffle", (False, True))
def test_batches_are_those_of_keras(steps, batch_size, shuffle):
    x, y = nets.inputs(22), {"labels": nets.labels(22)}
    data = {"y": y, "batch_size": batch_size, "shuffle": shuffle}
    tf.random.set_seed(3)
    theirs, ours = adapter(x, **data)
    for _ in range(2):
        expected = [
            keras.tree.flatten(batch) for batch in theirs.get_tf_dataset()
        ]
        found, _ = batches(ours, steps)
        assert len(found) == len(expected) == ours.num_batches
        for batch, theirs_of_it in zip(found, expected, strict=True):
            assert list(batch[1]) == ["labels"]
            for a, b in zip(
                keras.tree.flatten(batch), theirs_of_it, strict=True
            ):
                np.testing.assert_array_equal(a, b)
    for name in ("batch_size", "has_partial_batch", "partial_batch_size"):
        assert bool(getattr(ours, name)) == bool(getattr(theirs, name))


def test_without_a_seed_each_epoch_has_another_order():
    tf.random.set_seed(None)
    x = np.arange(1000)
    _, ours = adapter(x, shuffle=True, batch_size=100)
    orders = [np.concatenate(batches(ours, 4)[0]) for _ in range(2)]
    assert (orders[0] != orders[1]).any() and (orders[0] != x).any()
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), x)


def test_what_is_not_there_stays_none_and_floats_are_float32():
    x = {"a": np.ones((6, 2)), "b": [np.zeros(6, bool)]}
    y = {"kind": np.arange(6), "tags": None}
    _, ours = adapter(x, y=y, batch_size=4)
    [first, last], _ = batches(ours, 1)
    assert first[1]["tags"] is None and last[1]["kind"].numpy().tolist() == [
        4,
        5,
    ]
    assert first[0]["a"].dtype == "float32" and last[0]["b"][0].dtype == bool
    spec = ours.element_spec[0]["a"]
    assert spec == tf.TensorSpec((None, 2), tf.float32)


def test_as_many_steps_as_there_are_batches():
    _, ours = adapter(nets.inputs(22), batch_size=4)
    # 5 batches of 4 and one of 2, which is last within an execution or alone.
    assert batches(ours, 2)[1] == [2, 2, 1]
    assert batches(ours, 5)[1] == [5, 1]
    assert batches(ours, 1)[1] == [1] * 6


@pytest.mark.parametrize(
    "x",
    (
        np.array(["a", "b"], object),
        tf.ragged.constant([[1.0], [2.0, 3.0]]),
        tf.sparse.from_dense([[1.0], [0.0]]),
        tf.data.Dataset.from_tensors([1.0]),
    ),
    ids=("strings", "ragged", "sparse", "data set"),
)
def test_other_data_go_through_keras(x):
    theirs, ours = adapter(x)
    assert ours is theirs


def test_large_arrays_and_shuffled_batches_go_through_keras(monkeypatch):
    x = nets.inputs(10)
    theirs, ours = adapter(x, shuffle="batch")
    assert ours is theirs
    monkeypatch.setattr(array_epochs, "BYTES", x.nbytes)
    assert isinstance(adapter(x)[1], array_epochs.ArraysAdapter)
    monkeypatch.setattr(array_epochs, "BYTES", x.nbytes - 1)
    theirs, ours = adapter(x)
    assert ours is theirs


def test_arrays_of_keras_that_are_hidden(monkeypatch):
    theirs, _ = adapter(nets.inputs())
    monkeypatch.delattr(theirs, "_inputs")
    assert array_epochs.adapter_of(theirs, shuffle=False) is theirs

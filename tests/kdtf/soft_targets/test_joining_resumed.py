"""An iterator over joined data, saved inside an epoch and restored."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import nets, stores

AFTER = 2  # batches that are read before the iterator is saved


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("store")
    return stores.write(directory, views=2, augment=stores.augment)


def shuffled(dataset):
    return dataset.shuffle(9, seed=1)


# What `join` gets, beside `augment`, and what becomes of what it returns.
WAYS = {
    "batches": (stores.dataset(4), {}, None),
    "single examples": (stores.dataset(None), {}, shuffled),
    "a function": (stores.of_range, {}, shuffled),
    "a worker": (
        stores.of_range,
        {"shard_index": 0, "shard_count": 2},
        shuffled,
    ),
    "interleaved": (stores.of_range, {"interleave": 3, "seed": 1}, shuffled),
}


def batches(store, way):
    data, options, then = WAYS[way]
    joined = store.join(data, augment=stores.augment, **options)
    return joined if then is None else then(joined).batch(4)


def values(iterator):
    return [tf.nest.map_structure(np.array, element) for element in iterator]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_iterator_goes_on_where_it_was_saved(store, way, tmp_path):
    """In another data set made in the same way, as in another process."""
    iterator = iter(batches(store, way))
    for _ in range(AFTER):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "it"))
    expected = values(iterator)
    assert len(expected) > 2

    keras.utils.set_random_seed(5)
    restored = iter(batches(store, way))
    tf.train.Checkpoint(iterator=restored).read(path).assert_consumed()
    found = values(restored)
    assert len(found) == len(expected)
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


def test_what_python_reads_cannot_be_restored(store, tmp_path):
    """TensorFlow does not know where such data are; see the guide."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            own = slice(4 * index, 4 * index + 4)
            return nets.inputs(22)[own], nets.labels(22)[own]

    def saved_and_restored():
        iterator = iter(store.join(Batches(), augment=stores.augment))
        next(iterator)
        path = tf.train.Checkpoint(iterator=iterator).write(
            str(tmp_path / "it")
        )
        restored = iter(store.join(Batches(), augment=stores.augment))
        tf.train.Checkpoint(iterator=restored).read(path)

    with pytest.raises(tf.errors.FailedPreconditionError, match="stateful"):
        saved_and_restored()

"""trainers.distill.reading: which cases are read, and how many."""

import keras
import numpy as np
import tensorflow as tf

from trainers.distill import reading


def counted(cases):
    """A data set whose x is its place, and the list of what was read."""
    read = []

    def generate():
        for i in range(cases):
            read.append(i)
            yield np.full((2,), i, np.float32), i

    signature = (
        tf.TensorSpec((2,), tf.float32),
        tf.TensorSpec((), tf.int32),
    )
    return tf.data.Dataset.from_generator(
        generate, output_signature=signature
    ), read


def test_rows_come_in_their_order_and_no_more_is_read():
    dataset, read = counted(100)
    x = reading.xs(dataset, [7, 3, 7, 0])
    np.testing.assert_array_equal(x[:, 0], [7, 3, 7, 0])
    assert read == list(range(8))


def test_no_rows():
    dataset, read = counted(5)
    assert reading.xs(dataset, []).shape == (0, 2)
    assert not read


def test_the_last_rows_are_kept():
    dataset, read = counted(5)
    first = reading.kept_xs(dataset, (1, 2))
    assert reading.kept_xs(dataset, (1, 2)) is first
    assert read == [0, 1, 2]


def test_spread_rows():
    assert reading.spread(10, 4).tolist() == [0, 2, 5, 7]
    assert reading.spread(3, 500).tolist() == [0, 1, 2]
    assert reading.spread(np.array([5, 8, 9]), 2).tolist() == [5, 8]
    assert reading.spread(0, 5).tolist() == []


def test_a_sigmoid_head_has_two_classes():
    dataset, _ = counted(3)
    net = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")]
    )
    logits = reading.logits_of(net, dataset, batch_size=2)
    np.testing.assert_array_equal(logits, [[0, 0], [0, 2], [0, 4]])

"""trainers.mnist.dropout: the share, scale and randomness of what is kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.running import MODES, run
from trainers.mnist import dropout


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rate", (0.2, 0.5, 0.9))
def test_the_share_and_the_scale_of_what_is_kept(mode, rate):
    layer = dropout.Dropout(rate, seed=0)
    x = tf.fill((300, 400), 3.0)
    y = run(lambda x: layer(x, training=True), mode, x).numpy()
    kept = y != 0
    # The standard error of a share of n draws is sqrt(p (1 - p) / n).
    error = np.sqrt(rate * (1 - rate) / y.size)
    assert kept.mean() == pytest.approx(1 - rate, abs=4 * error)
    np.testing.assert_allclose(y[kept], 3.0 / (1 - rate), rtol=1e-6)
    # No row and no column is dropped more often than the others.
    for axis, count in ((0, 300), (1, 400)):
        spread = np.sqrt(rate * (1 - rate) / count)
        assert np.abs(kept.mean(axis) - (1 - rate)).max() < 5 * spread


def test_every_call_draws_anew_and_a_seed_gives_the_same_draws():
    x = tf.ones((20, 30))

    def draws():
        layer = dropout.Dropout(0.5, seed=7)
        return [layer(x, training=True).numpy() for _ in range(2)]

    (first, second), again = draws(), draws()
    np.testing.assert_array_equal([first, second], again)
    # Independent masks agree on a share of 1/2.
    assert 0.4 < np.mean(first == second) < 0.6


@pytest.mark.parametrize("rows", (20, 15))
def test_replicas_drop_together_what_one_device_would(mirrored_strategy, rows):
    alone = dropout.Dropout(0.5, seed=7)
    with mirrored_strategy.scope():
        layer = dropout.Dropout(0.5, seed=7, batch_size=rows)
    # A batch that a function made, as those of the trainer.
    batches = tf.data.Dataset.range(2).map(lambda _: tf.ones((rows, 30)))

    @tf.function
    def parts(batch):
        return mirrored_strategy.run(lambda x: layer(x, training=True), [batch])

    for batch in mirrored_strategy.experimental_distribute_dataset(batches):
        found = mirrored_strategy.experimental_local_results(parts(batch))
        assert [len(part) for part in found] == [-(-rows // 2), rows // 2]
        whole = alone(tf.ones((rows, 30)), training=True)
        np.testing.assert_array_equal(tf.concat(found, 0), whole)


def test_nothing_is_dropped_in_inference_nor_at_rate_0():
    x = tf.ones((2, 3))
    np.testing.assert_array_equal(dropout.Dropout(0.5)(x), x)
    np.testing.assert_array_equal(dropout.Dropout(0.0)(x, training=True), x)


def test_gradients_pass_where_it_keeps():
    x = keras.ops.ones((50, 60))
    layer = dropout.Dropout(0.25, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    gradient = tape.gradient(y, x)
    np.testing.assert_allclose(gradient, np.where(y == 0, 0, 1 / 0.75))

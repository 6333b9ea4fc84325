"""kdtf._math.entries: one answer to what is labelled, dense, masked, heavy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import entries, heads
from tests.running import MODES, run

LOGITS = tf.constant([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])


@pytest.mark.parametrize("negative", (-1, -2, -100))
def test_every_negative_label_is_unlabelled_everywhere(negative):
    """Losses, metrics and weights of a row agree on whether it has a label."""
    labels = tf.constant([0, negative, 2])
    labelled = np.array([True, False, True])
    np.testing.assert_array_equal(entries.is_labelled(labels, LOGITS), labelled)
    loss = kdtf.losses.hard_loss(LOGITS, labels).numpy()
    assert loss[1] == 0 and (loss[[0, 2]] > 0).all()
    softmax = heads.of("softmax")
    np.testing.assert_array_equal(softmax.labelled(labels, LOGITS), labelled)
    for metric in (
        kdtf.metrics.NegativeLogLikelihood(),
        kdtf.metrics.BrierScore(),
        kdtf.metrics.ExpectedCalibrationError(),
    ):
        metric.update_state(labels, LOGITS)
        with_gap = float(metric.result())
        metric.reset_state()
        metric.update_state(labels[::2], LOGITS[::2])
        assert with_gap == pytest.approx(float(metric.result()), rel=1e-6)
    assert kdtf.metrics.equal_mass_calibration_error(
        labels, LOGITS, num_bins=1
    ) == pytest.approx(
        kdtf.metrics.equal_mass_calibration_error(
            labels[::2], LOGITS[::2], num_bins=1
        )
    )


@pytest.mark.parametrize("empty", (0.0, -1.0))
def test_dense_rows_without_mass_are_unlabelled(empty):
    labels = tf.constant([[1.0, 0.0, 0.0], [empty] * 3, [0.0, 0.5, 0.5]])
    np.testing.assert_array_equal(
        entries.is_labelled(labels, LOGITS), [True, False, True]
    )


@pytest.mark.parametrize("mode", MODES)
def test_what_is_nan_is_not_taken_for_unlabelled(mode):
    """Its loss would be 0, and nobody would see it."""
    labels = np.array([[np.nan, 0.0, 0.0], [-1.0, -1.0, -1.0]], np.float32)
    known = run(entries.has_distribution, mode, labels)
    np.testing.assert_array_equal(known, [True, False])
    loss = run(kdtf.losses.hard_loss, mode, LOGITS[:2], labels).numpy()
    assert np.isnan(loss[0]) and loss[1] == 0
    share = run(heads.of("sigmoid").labelled, mode, labels, LOGITS[:2])
    np.testing.assert_array_equal(share, [1.0, 0.0])


def test_the_rank_tells_distributions_from_classes():
    frames = tf.zeros((2, 4, 4))  # as many time steps as classes
    assert not entries.is_dense(tf.zeros((2, 4), tf.int32), frames)
    assert entries.is_dense(tf.zeros((2, 4, 4)), frames)


def test_without_a_rank_the_dtype_tells():
    found = []

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def trace(logits):
        floats = tf.ensure_shape(logits, None)
        found.append(entries.is_dense(floats, logits))
        found.append(entries.is_dense(tf.cast(logits, tf.int32), logits))
        return logits

    trace(LOGITS)
    assert found == [True, False]


def test_a_trailing_axis_of_labels_goes():
    logits = tf.zeros((3, 4))
    column = entries.fit_labels(np.array([[1], [2], [3]]), logits)
    np.testing.assert_array_equal(column, [1, 2, 3])
    dense = np.eye(4)[:3]
    np.testing.assert_array_equal(entries.fit_labels(dense, logits), dense)
    assert entries.fit_labels(None, logits) is None


@pytest.mark.parametrize("shape", ((2,), (2, 1), (2, 3), (2, 3, 1)))
def test_sample_weights_line_up_with_frames(shape):
    given = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    actual = entries.entry_weights(tf.zeros((2, 3, 4)), given)
    per_frame = given.reshape(2, -1)
    np.testing.assert_array_equal(actual, np.broadcast_to(per_frame, (2, 3)))


def test_no_weights_and_no_mask_weigh_nothing():
    assert entries.entry_weights(tf.zeros((2, 4)), None) is None


def test_too_many_axes_of_weights():
    with pytest.raises(ValueError, match=r"`sample_weight`.*at most 1 axes"):
        entries.entry_weights(tf.zeros((2, 4)), np.ones((2, 3)))


def test_mean_over_entries_counts_all_but_the_masked():
    values = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    weights = tf.constant([[1.0, 0.0], [2.0, 1.0]])
    logits = tf.zeros((2, 2, 3))
    # (1 + 6 + 4) / 4: an entry of weight 0 counts, as in Keras.
    assert float(entries.mean_over_entries(values, weights, logits)) == 2.75
    assert float(entries.mean_over_entries(values, None, logits)) == 2.5
    x = np.ones((2, 2, 3), np.float32)
    x[1, 1] = 0
    masked = keras.layers.Masking()(x)
    weights = entries.entry_weights(masked, None)
    np.testing.assert_array_equal(weights, [[1, 1], [1, 0]])
    # (1 + 2 + 3) / 3 valid entries.
    assert float(entries.mean_over_entries(values, weights, masked)) == 2.0


class Pooling(keras.layers.GlobalAveragePooling1D):
    """Leaves the mask of what it pools, as layers of one's own may."""

    def compute_mask(self, inputs, mask=None):
        return mask


@pytest.mark.parametrize("weights", (None, np.ones(2)))
@pytest.mark.parametrize("known", (2, None))
def test_a_mask_of_other_entries(weights, known):
    @tf.function(input_signature=[tf.TensorSpec((known, 5, 3))])
    def weigh(x):
        logits = Pooling()(keras.layers.Masking()(x))
        return entries.entry_weights(logits, weights)

    message = r"`logits` must.*mask of shape \(.*, 5\) on logits of .*, 3\)"
    with pytest.raises(ValueError, match=message):
        weigh(tf.ones([2, 5, 3]))


def test_mean_over_no_entries_is_0():
    empty = tf.zeros((0,)), None, tf.zeros((0, 4))
    assert float(entries.mean_over_entries(*empty)) == 0.0

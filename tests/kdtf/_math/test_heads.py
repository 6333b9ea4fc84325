"""kdtf._math.heads: what classes and labels have in common, and what not."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import losses
from kdtf._math import heads
from tests import reference
from tests.running import random_logits

SOFTMAX, SIGMOID = heads.of("softmax"), heads.of("sigmoid")
NUMBERS = (
    "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"
).split()


@pytest.mark.parametrize("name", ("Softmax", "linear", None, 1, ["softmax"]))
def test_unknown_heads(name):
    for build in (
        heads.of,
        lambda head: losses.hard_loss([[0.0, 1.0]], [0], head=head),
        lambda head: kdtf.metrics.BrierScore(head=head),
        lambda head: kdtf.metrics.ExpectedCalibrationError(head=head),
        lambda head: kdtf.metrics.Agreement(head=head),
    ):
        with pytest.raises(ValueError, match=r"`head` must be.*Received: head"):
            build(name)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_classes_of_every_dtype_of_numbers(dtype):
    """300 classes: more than an int8 or uint8 counts."""
    z = random_logits(0, (4, 300))
    y = np.array([3, 0, 127, 100])
    np.testing.assert_array_equal(
        losses.hard_loss(z, y.astype(dtype)), losses.hard_loss(z, y)
    )
    metric = kdtf.metrics.NegativeLogLikelihood()
    metric.update_state(y.astype(dtype), z)
    expected = reference.hard_loss(z.numpy(), y).mean()
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_dense_labels_of_every_dtype_of_numbers(dtype):
    z, y = random_logits(1), np.array([3, 0, 9, 1, 1, 2])
    one_hot = np.eye(10)[y].astype(dtype)
    np.testing.assert_allclose(
        losses.hard_loss(z, one_hot), losses.hard_loss(z, y), rtol=1e-6
    )


def test_bool_labels():
    z = random_logits(2, (2, 2))
    for given in (np.array([True, False]), np.array([[0, 1], [1, 0]], bool)):
        np.testing.assert_allclose(
            losses.hard_loss(z, given), losses.hard_loss(z, [1, 0]), rtol=1e-6
        )
    one = random_logits(3, (2, 1))
    np.testing.assert_array_equal(
        losses.hard_loss(one, [True, False], head="sigmoid"),
        losses.hard_loss(one, [[1.0], [0.0]], head="sigmoid"),
    )


@pytest.mark.parametrize("mode", ("eager", "xla"))
@pytest.mark.parametrize(
    "bad", (10, 255, 2**31, np.nan, np.inf, -np.inf, 1.5, -0.5, 2**63)
)
def test_labels_that_are_no_class_show_as_nan(mode, bad):
    y = np.array([1, bad], np.uint64 if bad == 2**63 else None)
    z = random_logits(4, (2, 10))
    loss = tf.function(losses.hard_loss, jit_compile=mode == "xla")(z, y)
    assert np.isfinite(loss[0]) and np.isnan(loss[1])
    for metric in (
        kdtf.metrics.NegativeLogLikelihood(),
        kdtf.metrics.BrierScore(),
        kdtf.metrics.ExpectedCalibrationError(),
    ):
        metric.update_state(y, z)
        assert np.isnan(float(metric.result())), metric.name


def test_nan_in_dense_labels_shows():
    z = random_logits(5, (2, 3))
    dense = np.array([[np.nan, 0, 0], [1, 0, 0]])
    for head in ("softmax", "sigmoid"):
        loss = losses.hard_loss(z, dense, head=head)
        assert np.isnan(loss[0]) and np.isfinite(loss[1])


@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
def test_labels_that_are_no_numbers(head):
    labels = np.array([["cat", "dog"]])
    with pytest.raises(ValueError, match=r"`labels` must be numbers.*Received"):
        losses.hard_loss(tf.zeros((1, 2)), labels, head=head)


def test_one_class_is_refused_by_all_that_take_logits():
    one = tf.zeros((3, 1))
    top = kdtf.TopLogits(one, tf.zeros((3, 1), tf.int32), tf.zeros(3))
    for call in (
        lambda: losses.soft_loss(one, one, temperature=1.0),
        lambda: losses.soft_loss(one, top, temperature=1.0),
        lambda: losses.hard_loss(one, [0, 0, 0]),
        lambda: losses.logit_matching_loss(one, one),
        lambda: kdtf.TopLogits.of(one, 1, 1.0),
        lambda: kdtf.metrics.Agreement().update_state(one, one),
        lambda: kdtf.metrics.FidelityKL().update_state(one, one),
        lambda: kdtf.metrics.BrierScore().update_state([0, 0, 0], one),
        lambda: kdtf.metrics.equal_mass_calibration_error([0, 0, 0], one),
    ):
        with pytest.raises(ValueError, match=r'two or more.*head="sigmoid"'):
            call()


@pytest.mark.parametrize("shape", ((2,), (3, 2), (2, 4), (2, 3, 1), ()))
def test_labels_of_a_sigmoid_head_have_the_logits_shape(shape):
    with pytest.raises(ValueError, match=r"`labels` must have the shape of"):
        losses.hard_loss(tf.zeros((2, 3)), np.zeros(shape), head="sigmoid")


def test_top_logits_are_of_a_softmax():
    z = tf.zeros((2, 3))
    top = kdtf.TopLogits.of(z, 2, 1.0)
    with pytest.raises(ValueError, match="TopLogits leave out"):
        losses.soft_loss(z, top, temperature=1.0, head="sigmoid")


def test_shares_of_labels():
    y = tf.constant([[1.0, -1.0], [0.0, 1.0], [-1.0, -100.0]])
    z = tf.zeros((3, 2))
    np.testing.assert_array_equal(SIGMOID.labelled(y, z), [0.5, 1.0, 0.0])
    theirs, ours = tf.constant([[1.0, -2.0]]), tf.constant([[3.0, 0.1]])
    np.testing.assert_array_equal(SIGMOID.agreement(theirs, ours), [0.5])
    np.testing.assert_array_equal(SIGMOID.choices(ours), [[1, 1]])
    np.testing.assert_array_equal(SOFTMAX.choices(ours), [0])
    np.testing.assert_array_equal(SOFTMAX.agreement(theirs, ours), [1.0])


@pytest.mark.parametrize("scale", (1.0, 1e4))
@pytest.mark.parametrize("temperature", (0.5, 4.0, 1000.0))
def test_mean_of_members(temperature, scale):
    logits = [random_logits(seed, scale=scale) for seed in (6, 7, 8)]
    weights = [0.5, 0.3, 0.2]
    u = SIGMOID.mean_of_members(logits, weights, temperature)
    for sign in (1.0, -1.0):  # both outcomes, so that no tail is lost
        log_p = [
            np.log(w) - np.logaddexp(0, -sign * np.float64(z) / temperature)
            for w, z in zip(weights, logits, strict=True)
        ]
        expected = np.logaddexp.reduce(log_p)
        actual = -np.logaddexp(0, -sign * np.float64(u) / temperature)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_logits_from_probabilities():
    p = tf.constant([[0.2, 0.8, 0.0]])
    z = SOFTMAX.logits_from_probabilities(p, 1e-3)
    np.testing.assert_allclose(z, np.log([[0.2, 0.8, 1e-3]]), rtol=1e-6)
    z = SIGMOID.logits_from_probabilities(p, 1e-3)
    expected = np.log([[0.2 / 0.8, 0.8 / 0.2, 1e-3]])
    np.testing.assert_allclose(z, expected, rtol=1e-5)
    one = SIGMOID.logits_from_probabilities(tf.constant([1.0]), 1e-3)
    np.testing.assert_allclose(one, -np.log([1e-3]), rtol=1e-6)

"""kdtf.TopLogits, and the losses of it, against the dense row in float64."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import losses
from tests import reference
from tests.running import (
    MODES,
    as_float64,
    assert_close,
    random_logits,
    run,
    value_and_gradient,
)

TEMPERATURES = (0.5, 1.0, 4.0, 20.0, 1000.0)
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


def soft_loss(z, top, temperature):
    return losses.soft_loss(z, top, temperature=temperature)


def test_of_keeps_the_largest_and_the_mass_of_the_others():
    logits = np.log([[0.5, 0.1, 0.1, 0.3], [0.05, 0.05, 0.7, 0.2]])
    top = kdtf.TopLogits.of(3.0 * logits, 2, temperature=3.0)
    assert top.classes.numpy().tolist() == [[0, 3], [2, 3]]
    np.testing.assert_allclose(
        top.logits, 3 * np.log([[0.5, 0.3], [0.7, 0.2]]), rtol=1e-6
    )
    np.testing.assert_allclose(top.tail, np.log([0.2, 0.1]), rtol=1e-6)


def test_the_mass_of_the_others_keeps_its_digits_where_it_is_tiny():
    logits = tf.constant([[0.0, -60.0, -61.0]])
    tail = kdtf.TopLogits.of(logits, 1, temperature=1.0).tail
    assert float(tail[0]) == pytest.approx(
        -60 + np.log(1 + np.exp(-1.0)), rel=1e-6
    )


@pytest.mark.parametrize("temperature", (0.5, 1.0, 4.0, 20.0))
def test_dense_spreads_the_tail_evenly(temperature):
    logits = random_logits(0, (5, 20))
    top = kdtf.TopLogits.of(logits, 4, temperature)
    dense = top.dense(20, temperature).numpy()
    expected = reference.top_probabilities(
        *(part.numpy() for part in top), 20, temperature
    )
    np.testing.assert_allclose(
        reference.softmax(dense, temperature), expected, rtol=2e-5
    )
    # The k classes keep the teacher's own probabilities.
    own = reference.softmax(logits.numpy(), temperature)
    rows = np.arange(5)[:, None]
    np.testing.assert_allclose(
        reference.softmax(dense, temperature)[rows, top.classes],
        own[rows, top.classes],
        rtol=2e-5,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", (0.1, 1.0, 100.0, 1e4))
def test_loss_and_gradient_are_those_of_the_dense_row(mode, dtype, scale):
    z = random_logits(1, (6, 30), scale=scale, dtype=dtype)
    teacher = random_logits(2, (6, 30), scale=scale)
    for temperature in TEMPERATURES:
        top = kdtf.TopLogits.of(teacher, 5, temperature)
        value, gradient = value_and_gradient(
            soft_loss, mode, z, top, temperature
        )
        # Straight from the rows' logits, in float64; probabilities would
        # lose the mass of the tail where it is below the smallest number.
        dense = _dense_float64(top, 30, temperature)
        expected = reference.soft_loss(as_float64(z), dense, temperature)
        assert_close(value, expected, 1e-5)
        expected = reference.soft_gradient(as_float64(z), dense, temperature)
        # Below its normal range float16 counts in steps of 2^-24.
        step = 2.0**-24 if dtype == "float16" else 0.0
        allowed = TOLERANCE[dtype] * np.abs(expected).max() + step
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=allowed)


def _dense_float64(top, classes, temperature):
    """The dense logits, from the formula in `top_logits`, in float64."""
    u, chosen, tail = (np.asarray(part, np.float64) for part in top)
    scaled = u / temperature
    peak = scaled.max(-1, keepdims=True)
    log_sum = peak[:, 0] + np.log(np.exp(scaled - peak).sum(-1))
    rest = tail - np.log(-np.expm1(tail)) + log_sum
    rest -= np.log(classes - u.shape[-1])
    dense = np.repeat(temperature * rest[:, None], classes, axis=1)
    np.put_along_axis(dense, chosen.astype(int), u, axis=-1)
    return dense


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("apart", (1.0, 1e-2, "above"))
def test_the_loss_keeps_the_digits_of_a_student_close_to_its_teacher(
    temperature, apart
):
    """What the k classes would add as others is left out, or taken off.

    "above": other classes are among the largest logits of the student, where it
    is taken off. Then it is the sum of all terms, of which the difference
    keeps digits, so the student is further away.
    """
    teacher = random_logits(12, (8, 2000))
    top = kdtf.TopLogits.of(teacher, 16, temperature)
    dense = _dense_float64(top, 2000, temperature)
    if apart == "above":
        z = dense + random_logits(13, (8, 2000), scale=0.1, dtype="float64")
        z = z.numpy()
        z[:, :3] = np.asarray(top.logits)[:, -1:] + [0.1, 1.0, 3.0]
    else:
        z = dense + random_logits(13, (8, 2000), scale=apart, dtype="float64")
    z = tf.cast(z, tf.float32)
    value, _ = value_and_gradient(soft_loss, "eager", z, top, temperature)
    # reference.soft_loss would lose the digits: the terms that have no sign.
    log_p = reference.log_softmax(dense, temperature)
    ratio = log_p - reference.log_softmax(as_float64(z), temperature)
    expected = np.sum(np.exp(log_p) * (np.expm1(-ratio) + ratio), -1)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", (0, 1))
def test_nan_shows_wherever_it_is(mode, where):
    top = kdtf.TopLogits.of([[3.0, 0.0, -1.0, -2.0]], 1, temperature=2.0)
    z = np.array([[3.0, 0.0, -1.0, -2.0]], np.float32)
    z[0, where] = np.nan
    value, _ = value_and_gradient(soft_loss, mode, tf.constant(z), top, 2.0)
    assert np.isnan(value[0])


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_student_that_agrees_has_neither_loss_nor_gradient(mode):
    top = kdtf.TopLogits.of(random_logits(3, (4, 1000)), 32, temperature=2.0)
    z = top.dense(1000, 2.0) + 5.0
    value, gradient = value_and_gradient(soft_loss, mode, z, top, 2.0)
    np.testing.assert_allclose(value, 0, atol=1e-9)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)  # adding 5 rounds


def test_time_frames_and_hard_term():
    z, v = random_logits(4, (2, 3, 8)), random_logits(5, (2, 3, 8))
    labels = np.array([[1, -1, 0], [7, 7, -1]])
    top = kdtf.TopLogits.of(v, 3, temperature=4.0)
    settings = {"temperature": 4.0, "soft_weight": 0.7, "hard_weight": 0.2}
    value = losses.distillation_loss(z, top, labels, **settings)
    flat = kdtf.TopLogits(
        tf.reshape(top.logits, (6, 3)),
        tf.reshape(top.classes, (6, 3)),
        tf.reshape(top.tail, (6,)),
    )
    expected = reference.distillation_loss(
        z.numpy().reshape(6, 8),
        4.0 * np.log(reference.top_probabilities(*map(np.array, flat), 8, 4.0)),
        labels.reshape(6),
        4.0,
        0.7,
        0.2,
    )
    assert_close(value.numpy().reshape(6), expected, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives(mode):
    z = random_logits(6, (2, 6), scale=1.0, dtype="float64")
    top = kdtf.TopLogits.of(
        random_logits(7, (2, 6), scale=1.0, dtype="float64"), 2, 2.0
    )
    p = reference.top_probabilities(*map(np.array, top), 6, 2.0)

    def ours(z):
        return losses.soft_loss(z, top, temperature=2.0)

    def as_written(z):
        return -tf.reduce_sum(p * tf.nn.log_softmax(z / 2), -1)

    def second(loss):
        def function(z):
            with tf.GradientTape() as outer:
                outer.watch(z)
                with tf.GradientTape() as inner:
                    inner.watch(z)
                    value = tf.reduce_sum(loss(z))
                slope = tf.reduce_sum(tf.square(inner.gradient(value, z)))
            return outer.gradient(slope, z)

        return function

    np.testing.assert_allclose(
        run(second(ours), mode, z), second(as_written)(z), rtol=1e-9
    )


def test_nothing_flows_to_the_teacher():
    top = kdtf.TopLogits.of(random_logits(8), 3, temperature=2.0)
    with tf.GradientTape() as tape:
        tape.watch([top.logits, top.tail])
        value = losses.soft_loss(random_logits(9), top, temperature=2.0)
    assert tape.gradient(value, [top.logits, top.tail]) == [None, None]


@pytest.mark.parametrize(
    "change",
    (
        {"logits": tf.zeros((6, 4))},
        {"classes": tf.zeros((6, 3))},
        {"tail": tf.zeros((5,))},
    ),
)
def test_parts_that_do_not_fit_are_refused(change):
    top = kdtf.TopLogits.of(random_logits(10), 3, temperature=2.0)
    with pytest.raises(ValueError, match=r"`teacher_logits`.*Received"):
        losses.soft_loss(
            random_logits(11), top._replace(**change), temperature=2.0
        )

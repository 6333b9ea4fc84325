"""kdtf.losses against float64 numpy, finite differences and their limits."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kdtf import losses
from kdtf._math import entries
from tests import reference
from tests.running import (
    MODES,
    as_float64,
    assert_close,
    random_logits,
    value_and_gradient,
)

TEMPERATURES = (0.5, 1.0, 4.0, 20.0, 1000.0)
SCALES = (0.1, 1.0, 100.0, 1e4)
# Half precision rounds the logits; the reference gets the rounded ones, so
# what is left is the rounding of the gradient to the logits' own dtype.
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


def soft_loss(z, v, temperature):
    return losses.soft_loss(z, v, temperature=temperature)


def distillation_loss(z, v, labels, temperature):
    return losses.distillation_loss(
        z,
        v,
        labels,
        temperature=temperature,
        soft_weight=0.7,
        hard_weight=0.2,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", SCALES)
def test_soft_loss_and_gradient(mode, dtype, scale):
    z = random_logits(0, scale=scale, dtype=dtype)
    v = random_logits(1, scale=scale, dtype=dtype)
    z64, v64 = as_float64(z), as_float64(v)
    for temperature in TEMPERATURES:
        value, gradient = value_and_gradient(soft_loss, mode, z, v, temperature)
        assert value.dtype == np.float32
        assert_close(value, reference.soft_loss(z64, v64, temperature), 1e-5)
        expected = reference.soft_gradient(z64, v64, temperature)
        tiny = np.abs(expected).max() < 1e-6  # below float16's normal range
        if not (dtype == "float16" and tiny):
            assert_close(gradient, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", SCALES)
def test_hard_loss_and_gradient(mode, dtype, scale):
    z = random_logits(2, scale=scale, dtype=dtype)
    labels = np.array([3, -1, 0, 9, 5, -1])
    value, gradient = value_and_gradient(losses.hard_loss, mode, z, labels)
    z64 = as_float64(z)
    assert_close(value, reference.hard_loss(z64, labels), 1e-6)
    assert_close(
        gradient, reference.hard_gradient(z64, labels), TOLERANCE[dtype]
    )
    assert (gradient[[1, 5]] == 0).all() and (value[[1, 5]] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("classes", (2, 10, 1000))
def test_distillation_loss_and_gradient(mode, classes):
    shape = (4, 3, classes)  # time frames
    z = random_logits(3, shape)
    v = random_logits(4, shape)
    labels = np.random.default_rng(5).integers(-1, 2, size=shape[:-1])
    for temperature in TEMPERATURES:
        value, gradient = value_and_gradient(
            distillation_loss, mode, z, v, labels, temperature
        )
        z64, v64 = as_float64(z), as_float64(v)
        expected = reference.distillation_loss(
            z64, v64, labels, temperature, 0.7, 0.2
        )
        soft = reference.soft_gradient(z64, v64, temperature)
        hard = reference.hard_gradient(z64, labels)
        assert value.shape == shape[:-1]
        assert_close(value, expected, 1e-5)
        expected = (0.7 * temperature**2 * soft + 0.2 * hard) / (0.7 + 0.2)
        assert_close(gradient, expected, 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_large_logits_with_a_small_spread(mode):
    """One saved log-sum-exp of 1e4 would leave three digits of the spread."""
    z = tf.cast(1e4 + as_float64(random_logits(8)), tf.float32)
    v = tf.cast(1e4 + as_float64(random_logits(9)), tf.float32)
    labels = np.arange(6)
    _, soft = value_and_gradient(soft_loss, mode, z, v, 1.0)
    _, hard = value_and_gradient(losses.hard_loss, mode, z, labels)
    z64, v64 = as_float64(z), as_float64(v)
    np.testing.assert_allclose(
        soft, reference.soft_gradient(z64, v64, 1.0), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        hard, reference.hard_gradient(z64, labels), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("mode", MODES)
def test_students_close_to_their_teacher_at_high_temperature(mode):
    """KL near 1e-11 at T = 1000, where plain float32 gives noise."""
    v = random_logits(10)
    z = v + random_logits(11, scale=0.01)
    value, gradient = value_and_gradient(soft_loss, mode, z, v, 1000.0)
    z64, v64 = as_float64(z), as_float64(v)
    gap = (z64 - v64) - (z64 - v64).mean(-1, keepdims=True)
    # For logits small against T, p is uniform and KL the variance / (2 T^2).
    approximate = (gap**2).mean(-1) / 2 / 1000.0**2
    np.testing.assert_allclose(value, approximate, rtol=2e-2)
    np.testing.assert_allclose(
        value, reference.soft_loss(z64, v64, 1000.0), rtol=1e-4
    )
    assert_close(gradient, reference.soft_gradient(z64, v64, 1000.0), 1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_agreement_gives_zero_and_shifts_do_not_matter(mode):
    v = random_logits(12)
    value, gradient = value_and_gradient(soft_loss, mode, v, v, 3.0)
    assert (value >= 0).all() and (value < 1e-12).all()
    assert np.abs(gradient).max() < 1e-8
    value, _ = value_and_gradient(soft_loss, mode, v + 5.0, v, 3.0)
    assert (value >= 0).all() and (value < 1e-12).all()


def test_two_classes_far_apart_stay_finite():
    z = tf.constant([[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]])
    v = tf.constant([[-1e4, 1e4], [-1e4, 1e4], [1e4, -1e4]])
    value, gradient = value_and_gradient(soft_loss, "xla", z, v, 0.5)
    # p is one-hot, so KL = -log q of its class = the gap 2e4 / T, 0, log 2.
    np.testing.assert_allclose(value, [4e4, 0.0, math.log(2)], rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("temperature", (0.5, 20.0))
def test_excluded_classes_count_for_nothing(mode, temperature):
    """Logits of -inf: as if the classes were not there."""
    z, v = random_logits(29), random_logits(30)
    infinite = tf.fill((6, 3), -math.inf)
    both = tf.concat([z, infinite], -1), tf.concat([v, infinite], -1)
    by_teacher = z, tf.concat([v[:, :7], infinite], -1)
    for student, teacher in (both, by_teacher):
        value, gradient = value_and_gradient(
            soft_loss, mode, student, teacher, temperature
        )
        p = reference.softmax(as_float64(teacher), temperature)
        log_q = reference.log_softmax(as_float64(student), temperature)
        kept = p > 0
        terms = p[kept] * (np.log(p[kept]) - log_q[kept])
        expected = terms.reshape(6, -1).sum(-1)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert_close(gradient, (np.exp(log_q) - p) / temperature, 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_excluded_classes_and_dense_labels(mode):
    z = tf.constant([[1.0, 0.0, -math.inf]])
    value, gradient = value_and_gradient(
        losses.hard_loss, mode, z, np.array([[0.0, 1.0, 0.0]])
    )
    q = 1 / (1 + math.exp(-1.0))
    np.testing.assert_allclose(value, [-math.log(1 - q)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[q, -q, 0.0]], rtol=1e-6)


def test_a_class_that_only_the_student_excludes_costs_without_bound():
    z = tf.constant([[0.0, -math.inf]])
    value, gradient = value_and_gradient(
        soft_loss, "xla", z, np.zeros((1, 2)), 1.0
    )
    assert value[0] > 1e30
    np.testing.assert_allclose(gradient, [[0.5, -0.5]], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("peaked", ("student", "teacher"))
def test_one_hot_against_flat_over_many_classes(mode, peaked):
    """Where one sum of exponentials is 14,000 times the other."""
    flat = random_logits(31, (2, 14_000), scale=0.01)
    peak = tf.one_hot([5, 9], 14_000, on_value=30.0, dtype=tf.float32)
    z, v = (flat + peak, flat) if peaked == "student" else (flat, flat + peak)
    value, gradient = value_and_gradient(soft_loss, mode, z, v, 1.0)
    z64, v64 = as_float64(z), as_float64(v)
    expected = reference.soft_loss(z64, v64, 1.0)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert_close(gradient, reference.soft_gradient(z64, v64, 1.0), 1e-6)


def test_high_temperature_limit_is_logit_matching():
    """T^2 KL -> 1/(2N) |zero-meaned z - v|^2 (paper, section 2.1)."""
    z, v = random_logits(13), random_logits(14)
    soft, by_soft = value_and_gradient(
        lambda z: 1000.0**2 * losses.soft_loss(z, v, temperature=1000.0),
        "graph",
        z,
    )
    matching, by_matching = value_and_gradient(
        lambda z: losses.logit_matching_loss(z, v), "graph", z
    )
    np.testing.assert_allclose(soft, matching / 10, rtol=0.03)
    assert_close(by_soft, by_matching / 10, 0.03)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("offset", (0.0, 1e4))
def test_logit_matching_loss(mode, offset):
    z = random_logits(15) + offset
    v = random_logits(16)
    value, gradient = value_and_gradient(losses.logit_matching_loss, mode, z, v)
    gap = as_float64(z) - as_float64(v)
    gap -= gap.mean(-1, keepdims=True)
    tolerance = 1e-6 if offset == 0 else 1e-3  # z itself is rounded at 1e4
    np.testing.assert_allclose(value, (gap**2).sum(-1) / 2, rtol=tolerance)
    assert_close(gradient, gap, tolerance)


def test_dense_labels_are_the_sparse_ones():
    z = random_logits(17)
    sparse = np.array([3, -1, 0, 9, 5, -1])
    dense = np.eye(10, dtype=np.float32)[np.maximum(sparse, 0)]
    dense[sparse == -1] = -1
    one, by_one = value_and_gradient(losses.hard_loss, "xla", z, sparse)
    other, by_other = value_and_gradient(losses.hard_loss, "xla", z, dense)
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert_close(by_one, by_other, 1e-6)
    labelled = entries.is_labelled(tf.constant(dense), z).numpy()
    np.testing.assert_array_equal(labelled, sparse >= 0)


def test_dense_labels_may_be_soft():
    z = random_logits(18)
    labels = reference.softmax(random_logits(19)).astype(np.float32)
    value, gradient = value_and_gradient(
        lambda z: losses.hard_loss(z, labels), "graph", z
    )
    z64 = as_float64(z)
    expected = -(labels * reference.log_softmax(z64)).sum(-1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert_close(gradient, reference.softmax(z64) - labels, 1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("label", (10, 99))
def test_labels_out_of_range_give_nan_where_they_stand(mode, label):
    z = random_logits(20, (2, 10))
    value, gradient = value_and_gradient(
        losses.hard_loss, mode, z, tf.constant([label, 1])
    )
    assert np.isnan(value[0]) and np.isfinite(value[1])
    assert np.isnan(gradient[0]).all() and np.isfinite(gradient[1]).all()


def test_no_labels_equal_labels_of_minus_one():
    z, v = random_logits(21), random_logits(22)
    arguments = {"temperature": 2.0, "soft_weight": 0.3, "hard_weight": 0.7}
    without = losses.distillation_loss(z, v, **arguments)
    unlabelled = losses.distillation_loss(z, v, np.full(6, -1), **arguments)
    soft = reference.soft_loss(as_float64(z), as_float64(v), 2.0)
    np.testing.assert_array_equal(without, unlabelled)
    np.testing.assert_allclose(without, 0.3 * 4 * soft, rtol=1e-5)


def test_hyperparameters_may_be_variables():
    z, v = random_logits(23), random_logits(24)
    temperature = tf.Variable(2.0)
    weights = tf.Variable(0.25), tf.constant(0.75)

    @tf.function(jit_compile=True)
    def loss():
        return losses.distillation_loss(
            z,
            v,
            np.arange(6),
            temperature=temperature,
            soft_weight=weights[0],
            hard_weight=weights[1],
        )

    for value in (2.0, 5.0):
        temperature.assign(value)
        expected = reference.distillation_loss(
            as_float64(z), as_float64(v), np.arange(6), value, 0.25, 0.75
        )
        np.testing.assert_allclose(loss(), expected, rtol=1e-5)
    assert loss.experimental_get_tracing_count() == 1


def test_no_gradient_flows_to_teacher_or_hyperparameters():
    z, v = random_logits(25), random_logits(26)
    temperature, weight = tf.constant(2.0), tf.constant(0.5)
    with tf.GradientTape(persistent=True) as tape:
        for source in (v, temperature, weight):
            tape.watch(source)
        value = losses.distillation_loss(
            z,
            v,
            np.arange(6),
            temperature=temperature,
            soft_weight=weight,
            hard_weight=0.5,
        ) + losses.logit_matching_loss(z, v)
    for source in (v, temperature, weight):
        assert tape.gradient(value, source) is None


@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
def test_float64_logits_take_the_temperature_in_float64(head):
    """0.1 is no float32: rounded, it would cost half of the digits."""
    z, v = (np.random.default_rng(seed).normal(size=(5, 7)) for seed in (0, 1))
    value = losses.distillation_loss(
        z, v, temperature=0.1, soft_weight=0.7, hard_weight=0.1, head=head
    )
    of = reference.soft_loss
    if head == "sigmoid":
        of = reference.binary_soft_loss
    soft = of(z, v, 0.1).reshape(5, -1).mean(-1)
    np.testing.assert_allclose(value, 0.7 * 0.01 * soft / 0.8, rtol=1e-11)

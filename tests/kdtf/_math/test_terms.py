"""kdtf._math.terms: one gradient of several terms, rounded once."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import losses
from tests import reference
from tests.running import MODES, as_float64, random_logits, run

ROWS, CLASSES, K, TEMPERATURE = 20, 400, 8, 4.0
SOFT, HARD = 0.5, 0.5


def gradient_of(z, teacher, labels, head="softmax"):
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = losses.distillation_loss(
            z,
            teacher,
            labels,
            temperature=TEMPERATURE,
            soft_weight=SOFT,
            hard_weight=HARD,
            head=head,
        )
    return tape.gradient(value, z)


def gradient_of_sigmoids(z, teacher, labels):
    return gradient_of(z, teacher, labels, "sigmoid")


def assert_rounded_once(gradient, soft, hard):
    """Each entry is off by half a step of bfloat16, that of the sum, at most.

    Rounding to 8 bits errs by at most 2^-8 of an entry, and the float32
    arithmetic before it by another 1e-4 of the larger term. To round the terms,
    too, would err by 2^-8 of each of these, which is more where they have
    opposite signs; that there are such entries is asserted as well.
    """
    assert gradient.dtype == tf.bfloat16
    total = soft + hard
    larger = np.maximum(np.abs(soft), np.abs(hard))
    allowed = 2.0**-8 * np.abs(total) + 1e-4 * larger
    assert np.all(np.abs(as_float64(gradient) - total) <= allowed)
    terms = [as_bfloat16(soft), as_bfloat16(hard)]
    assert np.any(np.abs(as_bfloat16(sum(terms)) - total) > allowed)


def as_bfloat16(values):
    return np.asarray(values).astype(ml_dtypes.bfloat16).astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ("dense", "top", "dense labels"))
def test_both_terms_of_a_softmax_are_rounded_once(mode, form):
    z, v = (random_logits(s, (ROWS, CLASSES), 5.0, "bfloat16") for s in (0, 1))
    labels = np.arange(ROWS) * 7 % CLASSES
    teacher, v64 = v, as_float64(v)
    if form == "top":
        teacher = kdtf.TopLogits.of(v, K, TEMPERATURE)
        parts = [np.asarray(part) for part in teacher]
        v64 = TEMPERATURE * np.log(
            reference.top_probabilities(*parts, CLASSES, TEMPERATURE)
        )
        # Among the k, and not: the hard term differs at both.
        labels[::2] = parts[1][::2, 0]
    z64 = as_float64(z)
    soft = TEMPERATURE**2 * reference.soft_gradient(z64, v64, TEMPERATURE)
    hard = reference.hard_gradient(z64, labels)
    given = np.eye(CLASSES)[labels] if form == "dense labels" else labels
    gradient = run(gradient_of, mode, z, teacher, given)
    assert_rounded_once(gradient, SOFT * soft, HARD * hard)


@pytest.mark.parametrize("mode", MODES)
def test_both_terms_of_sigmoids_are_rounded_once(mode):
    z, v = (random_logits(s, (ROWS, CLASSES), 5.0, "bfloat16") for s in (2, 3))
    labels = np.random.default_rng(4).integers(0, 2, (ROWS, CLASSES))
    z64, v64 = as_float64(z), as_float64(v)
    soft = reference.binary_soft_gradient(z64, v64, TEMPERATURE) / CLASSES
    hard = reference.binary_hard_gradient(z64, labels) / CLASSES
    gradient = run(gradient_of_sigmoids, mode, z, v, labels)
    assert_rounded_once(gradient, SOFT * TEMPERATURE**2 * soft, HARD * hard)

"""kdtf._math.arguments: what is said of arguments that cannot be right."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kdtf import losses
from tests.running import random_logits


@pytest.mark.parametrize("temperature", (0.0, -1.0, math.inf, math.nan))
def test_temperature_must_be_positive_and_finite(temperature):
    z = random_logits(29)
    with pytest.raises(ValueError, match=r"`temperature`.*Received: temp"):
        losses.soft_loss(z, z, temperature=temperature)


@pytest.mark.parametrize("value", ([4.0], None, "hot", True, np.ones(2)))
def test_temperature_and_weights_are_one_number_each(value):
    z = random_logits(29)
    weights = {"temperature": 1.0, "soft_weight": 1.0, "hard_weight": 1.0}
    for name in weights:
        with pytest.raises(ValueError, match=rf"`{name}` must be one number"):
            losses.distillation_loss(z, z, **{**weights, name: value})
    for good in (np.float32(2), tf.constant(2.0), tf.Variable(2.0), 2):
        losses.soft_loss(z, z, temperature=good)


@pytest.mark.parametrize(
    ("soft_weight", "hard_weight", "name"),
    (
        (-1.0, 1.0, "`soft_weight`"),
        (1.0, -0.5, "`hard_weight`"),
        (math.nan, 1.0, "`soft_weight`"),
        (0, 0.0, "both be zero"),
    ),
)
def test_weights_must_be_those_of_a_mean(soft_weight, hard_weight, name):
    z = random_logits(30)
    with pytest.raises(ValueError, match=rf"{name}.*Received: "):
        losses.distillation_loss(
            z,
            z,
            temperature=1.0,
            soft_weight=soft_weight,
            hard_weight=hard_weight,
        )


@pytest.mark.parametrize("shape", ((6, 9), (6,), (5, 10), (6, 10, 1)))
def test_teacher_logits_must_have_the_students_shape(shape):
    z, v = tf.zeros((6, 10)), tf.zeros(shape)
    pattern = r"`teacher_logits`.*Received: "
    with pytest.raises(ValueError, match=pattern):
        losses.soft_loss(z, v, temperature=1.0)
    with pytest.raises(ValueError, match=pattern):
        losses.logit_matching_loss(z, v)


@pytest.mark.parametrize("shape", ((5,), (6, 9), (6, 10, 1), ()))
def test_labels_must_fit_the_logits(shape):
    with pytest.raises(ValueError, match=r"`labels`.*Received: "):
        losses.hard_loss(tf.zeros((6, 10)), tf.zeros(shape, tf.int32))

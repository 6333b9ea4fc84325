"""kdtf._training.class_weights: their values, and when steps stay valid."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import heads
from kdtf._training.class_weights import ClassWeights
from tests import nets


def applied(given, labels, weights=None, **known):
    class_weights = ClassWeights()
    class_weights.assign(given, **known)
    found = class_weights.apply(
        weights, tf.constant(labels), tf.zeros([3, 4]), heads.of("softmax")
    )
    return found.numpy().tolist()


@pytest.mark.parametrize("known", ({}, {"classes": 4}))
def test_each_entry_has_the_weight_of_its_class(known):
    given = {0: 2.0, 2: 0.5}
    assert applied(given, [2, -1, 3], **known) == [0.5, 1.0, 1.0]
    weights = tf.constant([10.0, 10.0, 10.0])
    assert applied(given, [0, 1, 2], weights, **known) == [20.0, 10.0, 5.0]


def test_steps_hold_unless_there_are_more_classes_or_no_weights():
    class_weights = ClassWeights()
    assert class_weights.assign(None)
    assert not class_weights.assign({1: 2.0})
    assert class_weights.assign({1: 2.0})
    assert class_weights.assign({0: 3.0})
    assert not class_weights.assign({2: 3.0})
    assert not class_weights.assign(None)
    assert not class_weights.assign({0: 3.0}, classes=4)
    assert class_weights.assign({3: 3.0}, classes=4)


def test_a_class_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"classes below 4.*\{4: 1.0\}"):
        applied({4: 1.0}, [0, 1, 2])


def test_other_weights_are_not_traced_anew():
    traced = []
    teacher = nets.linear(7)

    def counted(x):
        traced.append(1)
        return teacher(x)

    distiller = kdtf.Distiller(nets.linear(), counted, temperature=2.0)
    distiller.compile("sgd")
    data = nets.inputs(), nets.labels()
    distiller.fit(*data, class_weight={0: 2.0}, verbose=0)
    before = len(traced)
    logs = [
        distiller.fit(*data, class_weight=dict.fromkeys(range(4), w), verbose=0)
        for w in (0.0, 1.0)
    ]
    assert len(traced) == before
    losses = [np.mean(each.history["loss"]) for each in logs]
    assert losses[0] == 0 and losses[1] > 0

"""kdtf._training.class_weights: weights by class, or a refusal."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import heads
from kdtf._training.class_weights import ClassWeights
from tests import nets


def loss(y, class_weight=None, sample_weight=None, head="softmax", **arguments):
    arguments = {"temperature": 2.0, "head": head, **arguments}
    student, teacher = nets.linear(), nets.linear(7)
    if head == "sigmoid":
        student, teacher = (
            kdtf.logits_of(first_output(net)) for net in (student, teacher)
        )
    distiller = kdtf.Distiller(student, teacher, **arguments)
    distiller.compile("sgd", run_eagerly=True)
    return distiller.train_on_batch(
        nets.inputs(),
        y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        return_dict=True,
    )["loss"]


def first_output(net):
    """A net of the first of another's logits, with a sigmoid to be cut off."""
    x = keras.Input((nets.FEATURES,))
    return keras.Model(x, keras.ops.sigmoid(net(x)[:, :1]))


@pytest.mark.parametrize(
    "class_weight",
    (
        {"1": 2.0},
        {1.5: 2.0},
        {-1: 2.0},
        {1: -2.0},
        {1: math.nan},
        {1: "heavy"},
        [1.0, 2.0],
        np.ones(4),
        "balanced",
    ),
)
def test_what_is_no_class_weight(class_weight):
    with pytest.raises(ValueError, match=r"`class_weight` must be a dict.*Rec"):
        loss(nets.labels(), class_weight)


def test_a_class_that_is_none():
    with pytest.raises(ValueError, match=r"classes below 4.*Received: class_"):
        loss(nets.labels(), {4: 2.0})


def test_keys_of_numpy():
    given = {np.int64(1): np.float32(3.0)}
    assert loss(nets.labels(), given) == loss(nets.labels(), {1: 3.0})


def test_a_class_weighs_as_its_rows_do():
    y = nets.labels(unlabelled=(2, 5))
    by_row = np.where(y == 1, 3.0, np.where(y == 3, 0.5, 1.0))
    expected = loss(y, sample_weight=by_row)
    assert loss(y, {1: 3.0, 3: 0.5}) == pytest.approx(expected, rel=1e-6)
    dense = np.where(y[:, None] < 0, -1.0, np.eye(4)[y])
    assert loss(dense, {1: 3.0, 3: 0.5}) == pytest.approx(expected, rel=1e-6)


def test_yes_and_no_of_one_label():
    y = np.arange(12) % 3 - 1
    by_row = np.where(y == 1, 3.0, np.where(y == 0, 0.5, 1.0))
    expected = loss(y, sample_weight=by_row, head="sigmoid")
    assert loss(y, {0: 0.5, 1: 3.0}, head="sigmoid") == pytest.approx(expected)
    with pytest.raises(ValueError, match="classes below 2"):
        loss(y, {2: 1.0}, head="sigmoid")


def test_several_labels_have_no_class():
    distiller = kdtf.Distiller(
        nets.linear(), nets.linear(7), temperature=2.0, head="sigmoid"
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`class_weight` must be None.*4 lab"):
        distiller.fit(
            nets.inputs(), np.zeros((12, 4)), class_weight={1: 2.0}, verbose=0
        )


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


def test_classes_must_be_known():
    class_weights = ClassWeights()
    class_weights.assign({1: 2.0})

    @tf.function(input_signature=[tf.TensorSpec((None, None))])
    def apply(logits):
        labels = tf.argmax(logits, -1)
        return class_weights.apply(None, labels, logits, heads.of("softmax"))

    with pytest.raises(ValueError, match=r"`class_weight` must be.*Received: "):
        apply(tf.zeros([3, 4]))


@pytest.mark.slow
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


def test_a_dict_that_was_changed_in_place():
    given = {0: 2.0}
    class_weights = ClassWeights()
    class_weights.assign(given, classes=4)
    given[0] = 5.0
    assert class_weights.assign(given, classes=4)  # the variable has changed
    found = class_weights.apply(
        None, tf.constant([0]), tf.zeros([1, 4]), heads.of("softmax")
    )
    assert found.numpy().tolist() == [5.0]

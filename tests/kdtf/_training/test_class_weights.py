"""kdtf._training.class_weights: weights by class, or a refusal."""

import math

import keras
import numpy as np
import pytest

import kdtf
from tests import nets


def loss(y, class_weight=None, sample_weight=None, head="softmax", **arguments):
    arguments = {"temperature": 2.0, "head": head, **arguments}
    student, teacher = nets.linear(), nets.linear(7)
    if head == "sigmoid":
        student, teacher = (
            kdtf.logits_of(first_output(net)) for net in (student, teacher)
        )
    distiller = kdtf.Distiller(student, teacher, **arguments)
    distiller.compile("sgd")
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

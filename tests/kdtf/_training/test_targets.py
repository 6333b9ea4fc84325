"""kdtf._training.targets: what y may hold, and errors about anything else."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import targets
from tests import nets


def test_labels_alone_and_beside_teacher_logits():
    labels, logits = object(), object()
    assert targets.from_data(labels) == (labels, None, None)
    assert targets.from_data(None) == (None, None, None)
    both = {"labels": labels, "teacher_logits": logits}
    assert targets.from_data(both) == (labels, logits, logits)
    assert targets.from_data({"teacher_logits": logits}).labels is None


@pytest.mark.parametrize(
    ("y", "message"),
    (
        (
            {"label": 0},
            r"keys \['labels', 'teacher_logits'.*Received.*\['label'\]",
        ),
        ((0, 1), "Received: a tuple of 2"),
    ),
)
def test_other_structures_are_refused(y, message):
    with pytest.raises(ValueError, match=rf"`y`.*{message}"):
        targets.from_data(y)


def test_teacher_logits_beside_a_teacher_are_refused():
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=1.0)
    distiller.compile("sgd")
    stored = {"labels": nets.labels(), "teacher_logits": np.zeros((12, 4))}
    with pytest.raises(ValueError, match="teacher=None"):
        distiller.fit(nets.inputs(), stored, verbose=0)


def test_a_trailing_axis_of_labels_goes():
    logits = tf.zeros((3, 4))
    column = targets.fit_labels(np.array([[1], [2], [3]]), logits)
    np.testing.assert_array_equal(column, [1, 2, 3])
    dense = np.eye(4)[:3]
    np.testing.assert_array_equal(targets.fit_labels(dense, logits), dense)
    assert targets.fit_labels(None, logits) is None


def test_weights_of_frames_get_the_structure_of_y():
    weights = np.ones((2, 3))
    assert targets.weights_beside(np.zeros(2), weights) is weights
    assert targets.weights_beside({"labels": 0}, None) is None
    beside = targets.weights_beside({"labels": 0, "teacher_logits": 0}, weights)
    assert set(beside) == {"labels", "teacher_logits"}
    logits = tf.zeros((2, 3, 4))
    np.testing.assert_array_equal(
        targets.entry_weights(logits, beside), weights
    )

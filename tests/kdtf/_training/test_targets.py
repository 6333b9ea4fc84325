"""kdtf._training.targets: what y may hold, and errors about anything else."""

import types

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import targets
from tests import nets, reference


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


def test_weights_of_frames_get_the_structure_of_y():
    weights = np.ones((2, 3))
    assert targets.weights_beside(np.zeros(2), weights) is weights
    assert targets.weights_beside({"labels": 0}, None) is None
    beside = targets.weights_beside({"labels": 0, "teacher_logits": 0}, weights)
    assert set(beside) == {"labels", "teacher_logits"}
    np.testing.assert_array_equal(beside["teacher_logits"], weights)


def test_weights_by_output_get_the_structure_of_y():
    y = {"a": {"labels": np.zeros(2), "teacher_logits": 0}, "b": np.zeros(2)}
    beside = targets.weights_beside(y, {"a": np.array([2.0, 3.0])})
    assert beside["a"]["labels"].tolist() == [2.0, 3.0]
    assert beside["a"]["teacher_logits"].tolist() == [2.0, 3.0]
    assert beside["b"].tolist() == [1.0, 1.0]  # without any: all count
    beside = targets.weights_beside([None, np.zeros(1)], np.array([4.0]))
    assert beside == [None, np.array([4.0])]
    beside = targets.weights_beside([np.zeros(2)] * 2, np.array([4.0, 5.0]))
    assert [each.tolist() for each in beside] == [[4.0, 5.0]] * 2
    beside = targets.weights_beside(
        (np.zeros(2),) * 2, [np.zeros(2), np.ones(2)]
    )
    assert [each.tolist() for each in beside] == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("absent", ({}, {"labels": None}))
def test_weights_of_one_part_weigh_the_entries(absent, run_eagerly):
    student, x, weights = nets.linear(), nets.inputs(), np.arange(12.0)
    v = np.random.default_rng(5).normal(size=(12, nets.CLASSES))
    distiller = kdtf.Distiller(student, temperature=2.0, hard_weight=0.0)
    distiller.compile("sgd", run_eagerly=run_eagerly)
    logs = distiller.evaluate(
        x,
        {"labels": nets.labels(), "teacher_logits": v.astype(np.float32)},
        sample_weight={**absent, "teacher_logits": weights},
        return_dict=True,
        verbose=0,
    )
    soft = reference.soft_loss(np.asarray(student(x), np.float64), v, 2.0)
    expected = np.average(soft, weights=weights)
    assert logs["soft_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_temperature_is_told_by_a_key():
    y = {"teacher_logits": 0, targets.temperature_key(2.5): 0}
    assert targets.temperature_of(y) == 2.5
    assert targets.temperature_of({"teacher_logits": 0}) is None
    assert targets.temperature_of(np.zeros(3)) is None
    assert targets.from_data(y) == (None, 0, 0)


def test_the_temperature_is_known_before_any_batch():
    y = {"labels": [0], targets.temperature_key(3): [3.0]}
    data = tf.data.Dataset.from_tensor_slices((np.zeros((1, 2)), y))
    data = data.shuffle(2).batch(2).map(lambda x, y: (x, y, x[:, 0]))
    y = targets.y_of_batches(iter(data))
    assert targets.temperature_of(y) == 3.0
    plain = tf.data.Dataset.from_tensor_slices(np.zeros((4, 2)))
    assert targets.y_of_batches(iter(plain.batch(2))) is None


def test_only_the_same_temperature_passes():
    targets.require_temperature(None, tf.Variable(2.0))
    # In float32, as the variable holds it.
    targets.require_temperature(2.1, tf.Variable(2.1))
    with pytest.raises(ValueError, match=r"made at, 2\.1.*temperature=2\.2"):
        targets.require_temperature(2.1, tf.Variable(2.2))


def test_y_of_rows_that_were_taught_is_what_fit_was_given():
    y = tf.TensorSpec((None,), tf.int32)
    taught = targets.Taught(y, (tf.TensorSpec((None, 4)),) * 2)
    batches = types.SimpleNamespace(element_spec=(y, taught, None))
    assert targets.y_of_batches(batches) is y

"""Distiller(check_inputs=True) names the batch and the row."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets


def fit(y, v, *, run_eagerly, x=None):
    """Trains on three batches of four rows under `check_inputs`."""
    distiller = kdtf.Distiller(
        nets.linear(), temperature=2.0, check_inputs=True
    )
    distiller.compile(
        keras.optimizers.SGD(0.1), run_eagerly=run_eagerly, jit_compile=True
    )
    assert distiller.jit_compile is False
    return distiller.fit(
        nets.inputs() if x is None else x,
        {"labels": y, "teacher_logits": v},
        batch_size=4,
        shuffle=False,
        epochs=2,
        verbose=0,
    )


@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("label", (4, 99))
def test_labels_out_of_range(run_eagerly, label):
    y = nets.labels()
    y[6] = label
    expected = rf"`labels`.*from 0 to 3, or negative.*{label} in batch 1, row 2"
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=expected
    ):
        fit(y, np.zeros((12, 4), np.float32), run_eagerly=run_eagerly)


@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("value", (np.nan, np.inf))
def test_teacher_logits_that_are_not_finite(run_eagerly, value):
    v = np.zeros((12, 4), np.float32)
    v[11, 1] = value
    expected = r"`teacher_logits` must be finite.*in batch 2, row 3"
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=expected
    ):
        fit(nets.labels(), v, run_eagerly=run_eagerly)


def test_dense_labels_that_are_no_distribution():
    y = np.eye(4, dtype=np.float32)[nets.labels()]
    y[5] *= 2
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=r"`labels` must be distributions.*in batch 1, row 1",
    ):
        fit(y, np.zeros((12, 4), np.float32), run_eagerly=False)


def test_as_many_time_steps_as_classes_are_no_distributions():
    """Labels `[batch, time]` look like `[batch, classes]`, by shape alone."""
    student = keras.Sequential([keras.Input((4, 5)), keras.layers.Dense(4)])
    distiller = kdtf.Distiller(student, temperature=2.0, check_inputs=True)
    distiller.compile("sgd")
    x = nets.inputs(12).reshape(3, 4, 5)
    y = {
        "labels": nets.labels(12).reshape(3, 4),
        "teacher_logits": np.zeros((3, 4, 4), np.float32),
    }
    history = distiller.fit(x, y, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    y["labels"][1, 2] = 4
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=r"Received: 4 in batch 0, row \(1, 2\)",
    ):
        distiller.fit(x, y, verbose=0)


@pytest.mark.parametrize("unlabelled", (-1, -2, -100))
def test_good_inputs_pass(unlabelled):
    y = nets.labels(unlabelled=(0, 7))
    y[y < 0] = unlabelled
    history = fit(y, np.zeros((12, 4), np.float32), run_eagerly=False)
    assert np.isfinite(history.history["loss"]).all()


def test_without_checks_a_label_out_of_range_gives_nan():
    """It must show, not train silently on another class."""
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.1))
    logs = distiller.evaluate(
        nets.inputs(), np.full(12, 9), return_dict=True, verbose=0
    )
    assert np.isnan(logs["loss"])

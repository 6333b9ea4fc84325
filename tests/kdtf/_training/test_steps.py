"""kdtf._training.steps: one forward pass a step, and who runs when."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", (False, True))
def test_teacher_logits_of_unknown_shape_take_the_students(jit_compile):
    teacher = nets.linear(7)

    def hidden(x):
        logits = tf.py_function(teacher, [x], tf.float32)
        assert logits.shape.rank is None
        return logits

    losses = []
    for each in (teacher, hidden):
        distiller = kdtf.Distiller(nets.linear(), each, temperature=2.0)
        distiller.compile("sgd", jit_compile=jit_compile)
        history = distiller.fit(nets.inputs(), shuffle=False, verbose=0)
        losses.append(float(history.history["soft_loss"][0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_both_run_once_a_step():
    calls = []

    class Noted(keras.layers.Layer):
        def __init__(self, who):
            super().__init__()
            self.who = who

        def call(self, x, training=False):
            calls.append((self.who, training))
            return x

    student = keras.Sequential(
        [keras.Input((5,)), Noted("student"), nets.linear()]
    )
    teacher = keras.Sequential(
        [keras.Input((5,)), Noted("teacher"), nets.linear(7)]
    )
    distiller = kdtf.Distiller(student, teacher, temperature=2.0)
    distiller.compile("sgd", run_eagerly=True)
    x, y = nets.inputs(), nets.labels()
    distiller.train_on_batch(x, y)  # builds what is not built yet
    for step, training in (
        (distiller.train_on_batch, True),
        (distiller.test_on_batch, False),
    ):
        calls.clear()
        step(x, y)
        assert calls == [("teacher", False), ("student", training)]


@pytest.mark.slow
def test_the_hard_loss_is_over_what_is_labelled():
    """A third of the labels of a row are known: their mean, not a third."""
    distiller = kdtf.Distiller(
        nets.linear(),
        temperature=1.0,
        soft_weight=0.0,
        hard_weight=1.0,
        head="sigmoid",
    )
    distiller.compile("sgd")
    y = np.full((1, 4), -1.0)
    y[0, 1] = 1.0
    x = nets.inputs(1)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    z = np.float64(distiller.student(x)[0, 1])
    expected = np.log1p(np.exp(-z))
    assert float(logs["hard_loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(logs["loss"]) == pytest.approx(float(expected) / 4, rel=1e-5)

"""Distiller: what a subclass overrides is called, however steps are run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import devices, nets, reference

WAYS = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "many steps": {"jit_compile": True, "steps_per_execution": 3},
    "auto": {"steps_per_execution": 3},
}
QUICK_WAYS = ("eager", "graph", "xla")
SOME_SLOW_WAYS = [
    pytest.param(way, marks=[] if way in QUICK_WAYS else [pytest.mark.slow])
    for way in WAYS
]
LOGIT_PENALTY = 0.5


class Penalised(kdtf.Distiller):
    """Adds the mean squared logit to the loss."""

    def compute_loss(self, x, y, y_pred, sample_weight, training):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + LOGIT_PENALTY * tf.reduce_mean(tf.square(y_pred))


class OnlyPenalised(kdtf.Distiller):
    """Replaces the loss; takes no `training`, as Keras allows."""

    def compute_loss(self, x, y, y_pred, sample_weight=None):
        return tf.reduce_mean(tf.square(y_pred))


class Halving(kdtf.Distiller):
    """Every step halves the student's bias, and trains nothing."""

    def train_step(self, data):
        bias = self.student.trainable_variables[-1]
        bias.assign(bias * 0.5)
        return {"halved": tf.constant(1.0)}


def fit(kind, way, **kwargs):
    distiller = kind(nets.linear(0), nets.linear(7), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.1), **WAYS[way])
    history = distiller.fit(
        nets.inputs(),
        nets.labels(),
        batch_size=4,
        shuffle=False,
        verbose=0,
        **kwargs,
    )
    return distiller, history.history


@pytest.mark.slow
@pytest.mark.parametrize("way", SOME_SLOW_WAYS)
def test_an_added_term_is_in_loss_and_gradient(way):
    """L + c mean z^2: by hand, dL/dz gets 2 c z / (rows x classes) more."""
    distiller = Penalised(nets.linear(0), nets.linear(7), temperature=2.0)
    plain = kdtf.Distiller(nets.linear(0), nets.linear(7), temperature=2.0)
    x, y = nets.inputs(4), nets.labels(4)
    for each in (distiller, plain):
        each.compile(keras.optimizers.SGD(0.1), **WAYS[way])
    z = np.asarray(plain.student(x), np.float64)
    penalty = LOGIT_PENALTY * np.mean(z**2)
    losses = [
        each.fit(x, y, batch_size=4, verbose=0).history["loss"][0]
        for each in (distiller, plain)
    ]
    assert losses[0] == pytest.approx(losses[1] + penalty, rel=1e-5)
    slope = 2 * LOGIT_PENALTY * z / z.size
    kernel, bias = (
        np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
        for ours, theirs in zip(
            distiller.student.weights, plain.student.weights, strict=True
        )
    )
    np.testing.assert_allclose(kernel, -0.1 * x.T @ slope, atol=1e-6)
    np.testing.assert_allclose(bias, -0.1 * slope.sum(0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_added_term_counts_in_evaluate(way):
    distiller, _ = fit(Penalised, way)
    x, y = nets.inputs(), nets.labels()
    logs = distiller.evaluate(x, y, batch_size=12, verbose=0, return_dict=True)
    plain = kdtf.Distiller(distiller.student, nets.linear(7), temperature=2.0)
    plain.compile("sgd")
    expected = plain.evaluate(x, y, batch_size=12, verbose=0, return_dict=True)
    z = np.asarray(distiller.student(x))
    penalty = LOGIT_PENALTY * np.mean(z**2)
    assert logs["loss"] == pytest.approx(expected["loss"] + penalty, rel=1e-5)
    assert logs["soft_loss"] == pytest.approx(expected["soft_loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("way", SOME_SLOW_WAYS)
def test_a_replaced_loss_reports_no_terms_that_it_has_not(way):
    distiller, history = fit(OnlyPenalised, way)
    assert set(history) == {"loss"}
    assert set(
        distiller.evaluate(
            nets.inputs(), nets.labels(), verbose=0, return_dict=True
        )
    ) == {"loss"}


@pytest.mark.parametrize("way", SOME_SLOW_WAYS)
def test_a_train_step_of_its_own_runs_as_keras_would_run_it(way):
    distiller, history = fit(Halving, way, epochs=2)
    kernel, bias = nets.values(distiller.student)
    expected = nets.values(nets.linear(0))
    np.testing.assert_array_equal(kernel, expected[0])
    np.testing.assert_allclose(bias, expected[1] * 0.5**6)
    assert history == {"halved": [1.0, 1.0]}


@devices.on_a_cpu
def test_auto_leaves_a_subclass_to_keras():
    """Its methods may do what XLA cannot."""
    distiller = Penalised(nets.linear(0), nets.linear(7), temperature=2.0)
    plain = kdtf.Distiller(nets.linear(0), nets.linear(7), temperature=2.0)
    for each in (distiller, plain):
        each.compile("sgd")
    assert plain.jit_compile is True
    assert distiller.jit_compile is not True


class OwnSteps(kdtf.Distiller):
    """Steps as Keras's guide writes them, of a batch as it comes."""

    def train_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            logits = self(x, training=True)
            loss = self.compute_loss(x, y, logits, weights)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        logs = self.compute_metrics(x, y, logits, sample_weight=weights)
        return {**logs, "own_loss": loss}

    def test_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(x, training=False)
        loss = self.compute_loss(x, y, logits, weights)
        logs = self.compute_metrics(x, y, logits, sample_weight=weights)
        return {**logs, "own_loss": loss}


def test_steps_of_ones_own_count_mask_weights_and_the_teacher():
    x = nets.inputs(12).reshape(4, 3, nets.FEATURES)
    x[1:, 2] = 0.0  # masked
    y = nets.labels(12, unlabelled=(0, 4)).reshape(4, 3)
    weights, of_class = np.array([1.0, 0.5, 2.0, 3.0]), 4.0
    student = keras.Sequential(
        [
            keras.Input((None, nets.FEATURES)),
            keras.layers.Masking(),
            keras.layers.Dense(nets.CLASSES),
        ]
    )
    teacher = nets.linear(7)
    distiller = OwnSteps(
        student,
        lambda x: tf.matmul(x, teacher.weights[0]) + teacher.weights[1],
        temperature=2.0,
    )
    distiller.compile(
        keras.optimizers.SGD(0.0), metrics=[kdtf.metrics.FidelityKL()]
    )
    given = {"sample_weight": weights, "batch_size": 4, "verbose": 0}
    fitted = distiller.fit(x, y, class_weight={1: of_class}, **given).history
    tested = distiller.evaluate(x, y, return_dict=True, **given)
    kernel, bias = nets.values(teacher)
    z, u = np.asarray(student(x)), np.float64(x) @ kernel + bias
    valid = x.any(-1)
    losses = reference.distillation_loss(z, u, y, 2.0, 0.9, 0.1)
    losses *= weights[:, None]
    by_class = np.where(y == 1, of_class, 1.0)
    fidelity = reference.soft_loss(z, u, 1.0)[valid].mean()
    for found, expected in (
        ({name: each[0] for name, each in fitted.items()}, losses * by_class),
        (tested, losses),
    ):
        loss = expected[valid].sum() / valid.sum()
        assert float(found["own_loss"]) == pytest.approx(loss, rel=1e-5)
        assert float(found["fidelity_kl"]) == pytest.approx(fidelity, rel=1e-5)


def test_a_step_that_does_not_tell_what_the_teacher_sees_is_refused():
    class WithoutX(kdtf.Distiller):
        def test_step(self, data):
            x, y = data
            return {"own_loss": self.compute_loss(y=y, y_pred=self(x))}

    x, y = nets.inputs(), nets.labels()
    distiller = WithoutX(nets.linear(0), nets.linear(7), temperature=2.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`x` must be given.*x=None"):
        distiller.evaluate(x, y, verbose=0)
    alone = WithoutX(
        nets.linear(0), nets.linear(7), temperature=2.0, soft_weight=0.0
    )
    alone.compile("sgd")
    found = alone.evaluate(x, y, batch_size=12, verbose=0, return_dict=True)
    expected = reference.hard_loss(np.asarray(alone.student(x)), y).mean()
    assert float(found["own_loss"]) == pytest.approx(expected, rel=1e-5)


def test_steps_of_ones_own_get_logits_and_no_hidden_states():
    distiller = OwnSteps(
        nets.linear(0), nets.linear(7), temperature=2.0, rows_at_a_time=4
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`rows_at_a_time` must be None"):
        distiller.fit(nets.inputs(), nets.labels(), verbose=0)

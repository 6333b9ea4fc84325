"""Distiller: hyper-parameters, precision, and what it says of bad arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference


def compiled(student, teacher=None, **kwargs):
    kwargs.setdefault("temperature", 2.0)
    distiller = kdtf.Distiller(student, teacher, **kwargs)
    distiller.compile(keras.optimizers.SGD(0.1))
    return distiller


class Traces:
    """A teacher that counts how often it is traced."""

    def __init__(self):
        self.net, self.count = nets.linear(7), 0

    def __call__(self, x):
        self.count += 1
        return self.net(x)


def test_hyperparameters_change_between_epochs_without_a_retrace():
    x, y = nets.inputs(), nets.labels()
    schedule = [(2.0, 0.9, 0.1), (5.0, 0.5, 0.5), (1.0, 0.0, 1.0)]
    teacher, student = Traces(), nets.linear(0)
    distiller = compiled(student, teacher)
    v = np.asarray(teacher.net(x), np.float64)
    expected = []

    class Anneal(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            temperature, soft, hard = schedule[epoch]
            distiller.temperature.assign(temperature)
            distiller.soft_weight.assign(soft)
            distiller.hard_weight.assign(hard)
            z = np.asarray(student(x), np.float64)
            rows = reference.distillation_loss(z, v, y, *schedule[epoch])
            expected.append(rows.mean())
            self.traces = teacher.count

    anneal = Anneal()
    history = distiller.fit(x, y, epochs=3, verbose=0, callbacks=[anneal])
    assert history.history["loss"] == pytest.approx(expected, rel=1e-4)
    # Before the last epoch began every trace had been made.
    assert teacher.count == anneal.traces


def test_replacing_a_hyperparameter_is_refused():
    distiller = compiled(nets.linear())
    with pytest.raises(
        AttributeError, match=r"temperature.assign.*Received: 3"
    ):
        distiller.temperature = 3.0


def test_without_soft_weight_the_teacher_never_runs():
    teacher = Traces()
    distiller = compiled(
        nets.linear(), teacher, soft_weight=0.0, hard_weight=1.0
    )
    logs = distiller.fit(nets.inputs(), nets.labels(), verbose=0).history
    assert teacher.count == 0
    assert set(logs) == {"loss", "hard_loss"}


def test_evaluate_without_soft_targets_reports_the_hard_loss():
    student, x, y = nets.linear(), nets.inputs(), nets.labels()
    logs = compiled(student).evaluate(x, y, return_dict=True, verbose=0)
    hard = reference.hard_loss(np.asarray(student(x)), y).mean()
    assert set(logs) == {"loss", "hard_loss"}
    for value in logs.values():
        assert float(value) == pytest.approx(hard, rel=1e-5)


def test_fit_without_soft_targets_needs_soft_weight_0():
    with pytest.raises(ValueError, match="`soft_weight` must be 0"):
        compiled(nets.linear()).fit(nets.inputs(), nets.labels(), verbose=0)
    with pytest.raises(ValueError, match="Received: no labels"):
        compiled(nets.linear(), soft_weight=0.0, hard_weight=1.0).fit(
            nets.inputs(), verbose=0
        )


@pytest.mark.slow
def test_validation_data_is_evaluated():
    student, teacher = nets.linear(), nets.linear(7)
    x, y = nets.inputs(20, seed=5), nets.labels(20, seed=6)
    distiller = compiled(student, teacher)
    history = distiller.fit(
        nets.inputs(), nets.labels(), validation_data=(x, y), verbose=0
    )
    again = distiller.evaluate(x, y, return_dict=True, verbose=0)
    for name, value in again.items():
        assert history.history[f"val_{name}"] == pytest.approx([value])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), (("mixed_bfloat16", 0.05), ("mixed_float16", 0.01))
)
def test_mixed_precision_follows_the_student(policy, tolerance):
    x, y = nets.inputs(), nets.labels()
    full, teacher = nets.linear(0), nets.linear(7)
    keras.config.set_dtype_policy(policy)
    try:
        half = nets.linear(0)
    finally:
        keras.config.set_dtype_policy("float32")
    distiller = compiled(half, teacher)
    scaled = isinstance(
        distiller.optimizer, keras.optimizers.LossScaleOptimizer
    )
    assert scaled == (policy == "mixed_float16")
    before = nets.values(full)
    other = compiled(full, teacher)
    for each in (distiller, other):
        logs = each.fit(x, y, epochs=2, shuffle=False, verbose=0).history
        assert np.isfinite(logs["loss"]).all()
    for start, a, b in zip(
        before, nets.values(full), nets.values(half), strict=True
    ):
        assert b.dtype == np.float32
        scale = np.abs(a - start).max()
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * scale)


def test_a_student_of_mixed_precision_gets_its_input_as_it_came():
    # Of words whose numbers half precision does not tell apart.
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        words = keras.Input((2,))
        vectors = keras.layers.Embedding(1000, 4)(words)
        flat = keras.layers.Flatten()(vectors)
        student = keras.Model(words, keras.layers.Dense(3)(flat))
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.array([[301, 303], [997, 995]], np.float32)
    distiller = compiled(student, soft_weight=0.0)
    np.testing.assert_array_equal(distiller(x), student(x))
    expected = -reference.log_softmax(np.asarray(student(x), np.float64))
    loss = distiller.evaluate(x, np.array([0, 2]), verbose=0, return_dict=True)
    assert loss["loss"] == pytest.approx(
        expected[[0, 1], [0, 2]].mean(), rel=1e-5
    )


@pytest.mark.parametrize("temperature", (0.0, -2.0, float("inf")))
def test_bad_temperature(temperature):
    with pytest.raises(ValueError, match=r"`temperature`.*Received: temp"):
        compiled(nets.linear(), temperature=temperature)


def test_bad_weights():
    with pytest.raises(ValueError, match=r"`soft_weight`.*Received: "):
        compiled(nets.linear(), soft_weight=-1.0)
    with pytest.raises(ValueError, match="must not both be zero"):
        compiled(nets.linear(), soft_weight=0.0, hard_weight=0.0)


def test_bad_student_and_teacher():
    with pytest.raises(ValueError, match=r"`student`.*Received: 'net'"):
        compiled("net")
    with pytest.raises(ValueError, match=r"`teacher`.*Received: 'net'"):
        compiled(nets.linear(), "net")


def test_class_counts_must_be_equal():
    wide = keras.Sequential(
        [keras.Input((nets.FEATURES,)), keras.layers.Dense(7)]
    )
    with pytest.raises(ValueError, match="student of 4 and a teacher of 7"):
        compiled(nets.linear(), wide)
    # Known only when it runs:
    with pytest.raises(ValueError, match=r"`teacher_logits`.*Received: "):
        compiled(nets.linear(), lambda x: wide(x)).fit(nets.inputs(), verbose=0)


def test_a_loss_of_ones_own_is_refused():
    with pytest.raises(ValueError, match=r"`loss` must be None.*Received: "):
        kdtf.Distiller(nets.linear(), temperature=1.0).compile(
            "sgd", loss="mse"
        )


def test_empty_data_are_refused():
    distiller = compiled(nets.linear(), nets.linear(7))
    nothing = tf.data.Dataset.from_tensor_slices(
        (nets.inputs(), nets.labels())
    ).batch(4)
    with pytest.raises(ValueError, match=r"at least one batch.*Received: "):
        distiller.fit(nothing.take(0), verbose=0)


def test_an_unbuilt_student_is_built_by_its_first_batch():
    student = keras.Sequential([keras.layers.Dense(nets.CLASSES)])
    distiller = compiled(student, nets.linear(7))
    distiller.fit(nets.inputs(), nets.labels(), verbose=0)
    assert student.built and len(distiller.trainable_variables) == 2


@pytest.mark.parametrize("steps", (1, 3))
def test_a_frozen_student_is_warned_of(steps):
    student = nets.linear()
    student.trainable = False
    distiller = kdtf.Distiller(student, nets.linear(7), temperature=2.0)
    distiller.compile("sgd", jit_compile=True, steps_per_execution=steps)
    before = nets.values(student)
    with pytest.warns(UserWarning, match="no trainable weights"):
        distiller.fit(nets.inputs(), nets.labels(), verbose=0)
    for old, new in zip(before, nets.values(student), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("steps", (0, -1, 1.5, "many"))
def test_steps_per_execution_that_are_none(steps):
    distiller = kdtf.Distiller(nets.linear(), temperature=1.0)
    with pytest.raises(
        ValueError, match=r"`steps_per_execution` must be \"auto\" or a pos"
    ):
        distiller.compile("sgd", steps_per_execution=steps)


def test_check_inputs_is_a_bool():
    with pytest.raises(ValueError, match=r"`check_inputs` must be True or Fal"):
        kdtf.Distiller(nets.linear(), temperature=1.0, check_inputs="yes")


def test_loss_weights_mean_nothing_here():
    distiller = kdtf.Distiller(nets.linear(), temperature=1.0)
    with pytest.raises(
        ValueError, match=r"`loss_weights` must be None.*hard_w"
    ):
        distiller.compile("sgd", loss_weights=[1.0])


@pytest.mark.parametrize("teacher", ([nets.linear], 3, "teacher"))
def test_what_is_no_teacher_is_told_the_way(teacher):
    with pytest.raises(ValueError, match=r"kdtf\.Ensemble.*numpy_teacher"):
        kdtf.Distiller(nets.linear(), teacher, temperature=1.0)


def test_one_model_is_no_list_of_members():
    with pytest.raises(ValueError, match=r"`members` must be a non-empty list"):
        kdtf.Ensemble(nets.linear())

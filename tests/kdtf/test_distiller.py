"""Distiller: its steps against float64 numpy, in every way Keras runs them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import objective
from tests import nets, reference

T, SOFT, HARD = 3.0, 0.7, 0.2
RATE = 0.1
WAYS = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
}


def distiller_of(
    student, teacher=None, *, metrics=None, compiled=None, **kwargs
):
    """A compiled Distiller with this file's hyper-parameters."""
    arguments = {"temperature": T, "soft_weight": SOFT, "hard_weight": HARD}
    distiller = kdtf.Distiller(student, teacher, **{**arguments, **kwargs})
    distiller.compile(
        keras.optimizers.SGD(RATE), metrics=metrics, **(compiled or {})
    )
    return distiller


def logits_of(model, x):
    return np.asarray(model(x, training=False), np.float64)


def expected_step(student, x, v, y, weights=None):
    """Loss and updated (kernel, bias) of one SGD step of a linear student.

    z = x W + b, so dL/dW = x^T dL/dz and dL/db = sum dL/dz; the batch's loss
    is sum(weight x loss) / rows.
    """
    kernel, bias = (np.asarray(w, np.float64) for w in student.weights)
    z = x.astype(np.float64) @ kernel + bias
    weights = np.ones(len(x)) if weights is None else weights
    rows = reference.distillation_loss(z, v, y, T, SOFT, HARD)
    slope = SOFT * T**2 * reference.soft_gradient(z, v, T)
    slope += HARD * reference.hard_gradient(z, y)
    slope *= weights[:, None] / (SOFT + HARD) / len(x)
    updated = kernel - RATE * x.T @ slope, bias - RATE * slope.sum(0)
    return (weights * rows).sum() / len(x), updated


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stored", (False, True))
@pytest.mark.parametrize("weighted", (False, True))
def test_a_step_is_the_gradient_of_the_weighted_loss(way, stored, weighted):
    student, teacher = nets.linear(0), nets.linear(7)
    x, y = nets.inputs(), nets.labels(unlabelled=(2, 5))
    v = logits_of(teacher, x)
    weights = np.linspace(0, 2, len(x)) if weighted else None
    loss, updated = expected_step(student, x, v, y, weights)
    targets = {"labels": y, "teacher_logits": v} if stored else y
    distiller = distiller_of(
        student, None if stored else teacher, compiled=WAYS[way]
    )
    logs = distiller.train_on_batch(x, targets, weights, return_dict=True)
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    for actual, expected in zip(student.weights, updated, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


def test_reports_both_terms_and_agreement():
    student, teacher = nets.linear(0), nets.linear(7)
    x, y = nets.inputs(), nets.labels(unlabelled=(0, 3))
    z, v = logits_of(student, x), logits_of(teacher, x)
    weights = np.arange(12.0)
    distiller = distiller_of(student, teacher)
    logs = distiller.evaluate(
        x, y, 5, sample_weight=weights, return_dict=True, verbose=0
    )
    total = reference.distillation_loss(z, v, y, T, SOFT, HARD)
    soft = reference.soft_loss(z, v, T)
    hard = reference.hard_loss(z, y)
    agree = z.argmax(-1) == v.argmax(-1)
    labelled = weights * (y >= 0)
    expected = {
        "loss": (weights * total).sum() / 12,
        "soft_loss": np.average(soft, weights=weights),
        "hard_loss": np.average(hard, weights=labelled),
        "agreement": np.average(agree, weights=weights),
    }
    assert logs == pytest.approx(expected, rel=1e-5)


def test_evaluate_and_predict_change_nothing():
    student, teacher = nets.deep(0, dropout=0.5), nets.deep(7, dropout=0.5)
    distiller = distiller_of(student, teacher)
    x, y = nets.inputs(), nets.labels()
    before = nets.values(student) + nets.values(teacher)
    distiller.evaluate(x, y, verbose=0)
    predicted = distiller.predict(x, verbose=0)
    np.testing.assert_allclose(predicted, logits_of(student, x), rtol=1e-5)
    after = nets.values(student) + nets.values(teacher)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_student_runs_once_and_teacher_stays_as_it_is():
    student, teacher = nets.deep(0), nets.deep(7, dropout=0.5)
    teacher.layers[0].trainable = False
    flags = [layer.trainable for layer in teacher.layers]
    before = nets.values(teacher)
    x, y = nets.inputs(), nets.labels()
    hidden = np.asarray(student.layers[0](x))
    v = logits_of(teacher, x)  # in inference mode: no dropout
    z = np.asarray(student(x, training=True), np.float64)
    student.layers[1].moving_mean.assign(np.zeros(8))
    student.layers[1].moving_variance.assign(np.ones(8))
    distiller = distiller_of(student, teacher)
    logs = distiller.train_on_batch(x, y, return_dict=True)
    soft = reference.soft_loss(z, v, T).mean()
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)
    # Batch normalisation moves by 1 - momentum = 0.01 towards the batch, once.
    np.testing.assert_allclose(
        student.layers[1].moving_mean, 0.01 * hidden.mean(0), rtol=1e-5
    )
    assert [layer.trainable for layer in teacher.layers] == flags
    for old, new in zip(before, nets.values(teacher), strict=True):
        np.testing.assert_array_equal(old, new)


def test_frozen_layers_of_the_student_stay():
    student = nets.deep(0)
    student.layers[0].trainable = False
    before = nets.values(student.layers[0])
    distiller = distiller_of(student, nets.deep(7))
    distiller.fit(nets.inputs(), nets.labels(), verbose=0)
    for old, new in zip(before, nets.values(student.layers[0]), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_regularisation_losses_count():
    decay = 0.3
    student = nets.linear(0, kernel_regularizer=keras.regularizers.L2(decay))
    teacher, x, y = nets.linear(7), nets.inputs(), nets.labels()
    kernel = np.asarray(student.weights[0], np.float64)
    loss, (updated, _) = expected_step(student, x, logits_of(teacher, x), y)
    distiller = distiller_of(student, teacher)
    logs = distiller.train_on_batch(x, y, return_dict=True)
    penalty = decay * (kernel**2).sum()
    assert logs["loss"] == pytest.approx(loss + penalty, rel=1e-5)
    updated -= RATE * 2 * decay * kernel
    np.testing.assert_allclose(student.weights[0], updated, rtol=1e-5)


@pytest.mark.slow
def test_class_weight_weighs_both_terms():
    x, y = nets.inputs(), nets.labels(unlabelled=(1,))
    v = logits_of(nets.linear(7), x)
    class_weight = {0: 0.5, 2: 3.0}
    weights = np.array([class_weight.get(label, 1.0) for label in y])
    for targets in (y, np.where(y[:, None] < 0, -1, np.eye(4)[y])):
        student = nets.linear(0)
        loss, updated = expected_step(student, x, v, y, weights)
        distiller = distiller_of(student)
        logs = distiller.fit(
            x,
            {"labels": targets, "teacher_logits": v},
            class_weight=class_weight,
            verbose=0,
        ).history
        assert logs["loss"] == pytest.approx([loss], rel=1e-5)
        for actual, expected in zip(student.weights, updated, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)
        # Without class weights the next step is again the plain one.
        plain, _ = expected_step(student, x, v, y)
        distiller.reset_metrics()
        logs = distiller.train_on_batch(
            x, {"labels": targets, "teacher_logits": v}, return_dict=True
        )
        assert logs["loss"] == pytest.approx(plain, rel=1e-5)


def test_unlabelled_data_equal_labels_of_minus_one():
    x, teacher = nets.inputs(), nets.linear(7)
    one, other = nets.linear(0), nets.linear(0)
    compiled = {"jit_compile": False}  # XLA rounds the two differently
    logs = distiller_of(
        one, teacher, metrics=["accuracy"], compiled=compiled
    ).fit(x, shuffle=False, verbose=0)
    distiller_of(other, teacher, compiled=compiled).fit(
        x, np.full(12, -1), shuffle=False, verbose=0
    )
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    # Nothing is said of what unlabelled data cannot tell.
    assert set(logs.history) == {"loss", "soft_loss", "agreement"}


def frames_student(mask):
    """`[batch, time, FEATURES]` to logits; frames of zeros may be masked."""
    layers = [keras.Input((None, nets.FEATURES))]
    if mask:
        layers.append(keras.layers.Masking())
    layers.append(keras.layers.Dense(nets.CLASSES))
    return keras.Sequential(layers)


@pytest.mark.slow
@pytest.mark.parametrize("mask", (False, True))
def test_time_frames_with_weights_and_masks(mask):
    x = nets.inputs(12).reshape(3, 4, nets.FEATURES)
    x[0, 2:] = 0
    y = nets.labels(12).reshape(3, 4)
    weights = np.linspace(0.5, 1.5, 12).reshape(3, 4)
    student = frames_student(mask)
    v = logits_of(frames_student(False), x)
    z = logits_of(student, x)
    rows = reference.distillation_loss(z, v, y, T, SOFT, HARD)
    valid = np.ones((3, 4))
    if mask:  # Keras divides by the number of valid entries
        valid[0, 2:] = 0
    expected = (rows * weights * valid).sum() / valid.sum()
    distiller = distiller_of(student)
    targets = {"labels": y, "teacher_logits": v}
    logs = distiller.evaluate(
        x, targets, sample_weight=weights, return_dict=True, verbose=0
    )
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    per_example = distiller.evaluate(
        x, targets, sample_weight=[1, 0, 0], return_dict=True, verbose=0
    )
    expected = (rows * valid)[0].sum() / valid.sum()
    assert per_example["loss"] == pytest.approx(expected, rel=1e-5)


def test_ensemble_teaches_its_combination_at_the_temperature():
    student, members = nets.linear(0), [nets.linear(7), nets.linear(8)]
    x = nets.inputs() * 20
    mean = np.mean([reference.softmax(logits_of(m, x), T) for m in members], 0)
    z = logits_of(student, x)
    expected = (mean * (np.log(mean) - reference.log_softmax(z, T))).sum(-1)
    at_one = np.mean([reference.softmax(logits_of(m, x)) for m in members], 0)
    distiller = distiller_of(student, kdtf.Ensemble(members))
    logs = distiller.evaluate(x, return_dict=True, verbose=0)
    assert float(logs["soft_loss"]) == pytest.approx(expected.mean(), rel=1e-4)
    agree = (z.argmax(-1) == at_one.argmax(-1)).mean()
    assert float(logs["agreement"]) == pytest.approx(agree)


@pytest.mark.slow
def test_callable_teacher():
    student, teacher, x = nets.linear(0), nets.linear(7), nets.inputs()
    by_model = distiller_of(student, teacher).evaluate(x, verbose=0)
    by_function = distiller_of(student, lambda x: teacher(x)).evaluate(
        x, verbose=0
    )
    assert by_model == by_function


def weights_after(student, teacher, *, compiled=None, optimizer=None, **fit):
    """The student's weights after three epochs."""
    distiller = distiller_of(student, teacher, compiled=compiled)
    if optimizer is not None:
        distiller.compile(optimizer, **(compiled or {}))
    arguments = {"batch_size": 4, "epochs": 3, "shuffle": False, "verbose": 0}
    x, y = nets.inputs(), nets.labels(unlabelled=(1,))
    distiller.fit(x, y, **{**arguments, **fit})
    return nets.values(student)


@pytest.fixture(scope="module")
def plain():
    """The weights of the deep student as it trains by default."""
    return weights_after(nets.deep(0), nets.deep(7))


@pytest.mark.slow
@pytest.mark.parametrize("steps", (2, 3))
def test_steps_per_execution_changes_nothing(steps, plain):
    many = weights_after(
        nets.deep(0), nets.deep(7), compiled={"steps_per_execution": steps}
    )
    for a, b in zip(plain, many, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_eager_graph_and_xla_train_alike():
    results = [
        weights_after(nets.deep(0), nets.deep(7), compiled=way)
        for way in WAYS.values()
    ]
    for arrays in zip(*results, strict=True):
        for other in arrays[1:]:
            np.testing.assert_allclose(other, arrays[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_on_a_gpu_the_loss_is_compiled_and_trains_alike(monkeypatch, plain):
    calls, compiled = [], objective._compiled_entry_losses

    def recorded(*arguments):
        calls.append(arguments)
        return compiled(*arguments)

    monkeypatch.setattr(objective, "_compiled_entry_losses", recorded)
    devices = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: devices("CPU" if kind == "GPU" else kind),
    )
    on_gpu = weights_after(nets.deep(0), nets.deep(7))
    assert calls
    for a, b in zip(plain, on_gpu, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_clipping_is_that_of_the_optimizer():
    before = nets.values(nets.linear(0))
    after = weights_after(
        nets.linear(0),
        nets.linear(7),
        optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1e-3),
        batch_size=12,
        epochs=1,
    )
    moved = [(b - a).ravel() for a, b in zip(before, after, strict=True)]
    assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(
        1e-3, rel=1e-3
    )


@pytest.mark.slow
def test_gradient_accumulation_is_that_of_the_optimizer():
    whole = weights_after(nets.linear(0), nets.linear(7), batch_size=12)
    parts = weights_after(
        nets.linear(0),
        nets.linear(7),
        optimizer=keras.optimizers.SGD(RATE, gradient_accumulation_steps=3),
    )
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_replicas_train_like_one(mirrored_strategy):
    def student():
        return nets.linear(0, kernel_regularizer=keras.regularizers.L2(0.1))

    one = weights_after(student(), nets.linear(7))
    with mirrored_strategy.scope():
        both = weights_after(student(), nets.linear(7))
    for a, b in zip(one, both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "way",
    (
        WAYS["eager"],
        WAYS["graph"],
        pytest.param(WAYS["xla"], marks=pytest.mark.slow),
        pytest.param(
            {"jit_compile": True, "steps_per_execution": 3},
            marks=pytest.mark.slow,
        ),
    ),
)
def test_a_new_teacher_teaches_at_once(way):
    """Compiled steps hold the teacher that they were traced with."""
    x, y = nets.inputs(), nets.labels()

    def report(distiller):
        return distiller.evaluate(x, y, verbose=0, return_dict=True)

    def fit(distiller):
        distiller.fit(x, y, batch_size=4, shuffle=False, verbose=0)

    changed = distiller_of(nets.linear(0), nets.linear(7), compiled=way)
    fit(changed)
    report(changed)
    changed.student.set_weights(nets.linear(0).get_weights())
    changed.set_teacher(nets.linear(8))
    fresh = distiller_of(nets.linear(0), nets.linear(8), compiled=WAYS["eager"])
    assert report(changed) == pytest.approx(report(fresh), rel=1e-5)
    fit(changed)
    fit(fresh)
    for ours, theirs in zip(
        nets.values(changed.student), nets.values(fresh.student), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("last", (False, True))
def test_another_teacher_during_fit_is_refused(last):
    """Unless nothing is left to do, as at the end of a generation."""

    def set_it(epoch, logs):
        if epoch == last:
            distiller.set_teacher(nets.linear(8))

    distiller = kdtf.Distiller(nets.linear(0), nets.linear(7), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    callback = keras.callbacks.LambdaCallback(on_epoch_end=set_it)
    given = {"x": nets.inputs(), "epochs": 2, "verbose": 0}
    if last:
        distiller.fit(**given, callbacks=[callback])
    else:
        with pytest.raises(ValueError, match=r"`set_teacher`.*initial_epoch"):
            distiller.fit(**given, callbacks=[callback])
    found = distiller.fit(**given).history["soft_loss"][0]
    ours, theirs = (np.asarray(nets.linear(i)(given["x"])) for i in (0, 8))
    expected = reference.soft_loss(ours, theirs, 2.0).mean()
    assert found == pytest.approx(expected, rel=1e-5)

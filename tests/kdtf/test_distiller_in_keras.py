"""Distiller: what Keras users expect of a model works over it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference

CALLBACKS = keras.callbacks


def compiled(student=None, **kwargs):
    distiller = kdtf.Distiller(
        student or nets.deep(0), nets.deep(7, width=32), temperature=2.0
    )
    optimizer = keras.optimizers.SGD(0.1)
    distiller.compile(optimizer, metrics=["accuracy"], **kwargs)
    return distiller


def fit(distiller, *callbacks, epochs=3):
    data = nets.inputs(), nets.labels()
    return distiller.fit(
        *data,
        batch_size=4,
        epochs=epochs,
        validation_data=data,
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("built", (False, True))
def test_export_writes_the_student(tmp_path, built):
    student = keras.Sequential([keras.layers.Dense(nets.CLASSES)])
    if built:
        student(nets.inputs())
    distiller = compiled(student)
    fit(distiller, epochs=1)
    distiller.export(tmp_path, verbose=False)
    served = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(
        served.serve(nets.inputs()), student(nets.inputs()), atol=1e-6
    )


def test_export_of_a_student_without_weights_is_refused(tmp_path):
    student = keras.Sequential([keras.layers.Dense(nets.CLASSES)])
    with pytest.raises(ValueError, match=r"`student` must be built.*Received"):
        compiled(student).export(tmp_path)


class Counting(keras.Model):
    """A student with a metric of its own, which counts its calls."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(nets.CLASSES)
        self.calls = keras.metrics.Sum("calls")

    def call(self, x):
        self.calls.update_state(1.0)
        return self.dense(x)


@pytest.mark.parametrize(
    "way",
    (
        {},
        pytest.param(
            {"jit_compile": True, "steps_per_execution": 3},
            marks=pytest.mark.slow,
        ),
    ),
)
def test_metrics_of_the_student_are_reported_and_reset(way):
    history = fit(compiled(Counting(), **way), epochs=2).history
    assert history["calls"] == history["val_calls"] == [3.0, 3.0]


def test_a_model_is_looked_at_as_any_other():
    student = nets.deep(0)
    distiller = compiled(student)
    lines = []
    distiller.summary(print_fn=lambda line, **_: lines.append(line))
    assert student.name in "".join(lines)
    assert distiller.layers == [student]
    assert distiller.get_layer(student.name) is student
    assert distiller.count_params() == student.count_params()
    np.testing.assert_allclose(
        distiller.predict(nets.inputs(), verbose=0),
        student(nets.inputs()),
        atol=1e-6,
    )


def test_a_schedule_of_the_learning_rate():
    distiller = compiled()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    distiller.compile(keras.optimizers.SGD(schedule))
    fit(distiller, epochs=1)
    rate = float(distiller.optimizer.learning_rate)
    assert rate == pytest.approx(0.1 * 0.5**3)


@pytest.fixture(scope="module")
def as_new():
    """Function that gives a Distiller as it was when it was compiled.

    It is always the same one, which is traced once.
    """
    distiller = compiled()
    weights = distiller.get_weights()  # and the hyper-parameters
    fit(distiller, epochs=1)

    def give():
        distiller.set_weights(weights)
        distiller.optimizer.iterations.assign(0)
        distiller.optimizer.learning_rate.assign(0.1)
        return distiller

    return give


def stops_early(as_new, folder):
    # Nothing is better than the first epoch by so much.
    stop = CALLBACKS.EarlyStopping("val_hard_loss", mode="min", min_delta=100.0)
    assert len(fit(as_new(), stop).epoch) == 2


def keeps_the_best(as_new, folder):
    path = folder / "best.weights.h5"
    distiller = as_new()
    history = fit(
        distiller,
        CALLBACKS.ModelCheckpoint(
            path,
            monitor="val_hard_loss",
            mode="min",
            save_best_only=True,
            save_weights_only=True,
        ),
    )
    distiller.load_weights(path)
    logs = distiller.evaluate(
        nets.inputs(), nets.labels(), verbose=0, return_dict=True
    )
    best = min(history.history["val_hard_loss"])
    assert logs["hard_loss"] == pytest.approx(best, rel=1e-5)


def reduces_the_rate(as_new, folder):
    distiller = as_new()
    reduce = CALLBACKS.ReduceLROnPlateau(
        "val_hard_loss", mode="min", factor=0.5, patience=1, min_delta=100.0
    )
    fit(distiller, reduce)
    rate = float(distiller.optimizer.learning_rate)
    assert rate == pytest.approx(0.1 * 0.5**2)


def schedules_the_rate(as_new, folder):
    rates = CALLBACKS.LearningRateScheduler(lambda epoch, rate: rate / 2)
    distiller = as_new()
    history = fit(distiller, rates)
    rates = history.history["learning_rate"]
    assert rates == pytest.approx([0.05, 0.025, 0.0125])


def writes_for_tensorboard(as_new, folder):
    fit(as_new(), CALLBACKS.TensorBoard(folder, histogram_freq=1))
    assert list(folder.glob("train/events*"))
    assert list(folder.glob("validation/events*"))


def stops_at_nan(as_new, folder):
    distiller = as_new()
    weights = [np.full_like(w, np.nan) for w in distiller.get_weights()]
    distiller.set_weights(weights)
    fit(distiller, CALLBACKS.TerminateOnNaN())
    assert int(distiller.optimizer.iterations) == 1


def logs_as_csv(as_new, folder):
    fit(as_new(), CALLBACKS.CSVLogger(folder / "log.csv"))
    header, *rows = (folder / "log.csv").read_text().splitlines()
    assert {"agreement", "val_hard_loss"} < set(header.split(","))
    assert len(rows) == 3


def resumes(as_new, folder):
    broken = CALLBACKS.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: 1 / (1 - epoch)
    )
    whole, interrupted, again = (compiled() for _ in range(3))
    fit(whole)
    with pytest.raises(ZeroDivisionError):
        fit(interrupted, CALLBACKS.BackupAndRestore(folder), broken)
    history = fit(again, CALLBACKS.BackupAndRestore(folder))
    assert history.epoch == [1, 2]
    for a, b in zip(nets.values(whole), nets.values(again), strict=True):
        np.testing.assert_array_equal(a, b)


def swaps_weights_for_their_average(as_new, folder):
    distiller = compiled()
    ema = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    distiller.compile(ema)
    seen = {}

    def see(when):
        def note(*_, **__):
            seen[when] = nets.values(distiller.student)[0]

        return note

    note = CALLBACKS.LambdaCallback(
        on_train_batch_end=see("trained"), on_test_begin=see("tested")
    )
    fit(distiller, CALLBACKS.SwapEMAWeights(), note, epochs=1)
    assert (seen["trained"] != seen["tested"]).any()
    # At the end of `fit` Keras leaves the average.
    np.testing.assert_array_equal(
        seen["tested"], nets.values(distiller.student)[0]
    )


def is_told_of_batches(as_new, folder):
    told = []
    note = CALLBACKS.LambdaCallback(
        on_train_batch_end=lambda batch, logs: told.append((batch, logs)),
    )
    fit(as_new(), note, epochs=1)
    assert [batch for batch, _ in told] == [0, 1, 2]
    assert all(np.isfinite(logs["loss"]) for _, logs in told)


def stops_when_told(as_new, folder):
    distiller = as_new()

    def stop(epoch, logs):
        distiller.stop_training = True

    history = fit(distiller, CALLBACKS.LambdaCallback(on_epoch_end=stop))
    assert history.epoch == [0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "with_callback",
    (
        stops_early,
        keeps_the_best,
        reduces_the_rate,
        schedules_the_rate,
        writes_for_tensorboard,
        stops_at_nan,
        logs_as_csv,
        resumes,
        swaps_weights_for_their_average,
        is_told_of_batches,
        stops_when_told,
    ),
)
def test_callbacks(as_new, tmp_path, with_callback):
    with_callback(as_new, tmp_path)


@pytest.mark.parametrize("quantized", ("student", "teacher"))
def test_layers_that_are_quantized_later_are_run_so(quantized):
    """Keras drops the programs of the model that is quantized alone."""
    x = nets.inputs()
    models = {"student": nets.linear(0), "teacher": nets.linear(7)}
    distiller = kdtf.Distiller(**models, temperature=2.0)
    distiller.compile("sgd", jit_compile=False)
    losses = []
    for _ in range(2):
        soft = distiller.evaluate(x, verbose=0, return_dict=True)["soft_loss"]
        logits = distiller.predict(x, verbose=0)
        ours, theirs = (np.asarray(model(x)) for model in models.values())
        np.testing.assert_allclose(logits, ours, atol=1e-6)
        expected = reference.soft_loss(ours, theirs, 2.0).mean()
        assert float(soft) == pytest.approx(expected, rel=1e-5)
        losses.append(expected)
        if not models[quantized].layers[0].quantization_mode:
            models[quantized].quantize("int8")
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


def lora(distiller):
    distiller.student.layers[-1].enable_lora(2)


def another_teacher(distiller):
    teacher = nets.linear(8)
    teacher.quantize("int8")
    distiller.set_teacher(teacher)


@pytest.mark.parametrize(
    "change, message",
    (
        (lora, "Layers must be quantized, or get LoRA, between.*initial_epoch"),
        (another_teacher, "`set_teacher` must be called between"),
    ),
)
@pytest.mark.parametrize("epochs", (1, 2))
def test_layers_that_a_callback_changes_during_fit(change, message, epochs):
    """Refused where steps are left: what they call has been dropped."""
    x = nets.inputs()
    distiller = kdtf.Distiller(nets.linear(0), nets.linear(7), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=False)

    def change_it(epoch, logs):
        if epoch == 0:
            change(distiller)
            distiller.evaluate(x, verbose=0)

    given = {"epochs": epochs, "verbose": 0}
    callback = CALLBACKS.LambdaCallback(on_epoch_end=change_it)
    if epochs == 1:
        distiller.fit(x, **given, callbacks=[callback])
    else:
        with pytest.raises(ValueError, match=message):
            distiller.fit(x, **given, callbacks=[callback])
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    distiller.fit(x, **given)

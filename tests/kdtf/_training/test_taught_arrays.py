"""kdtf._training.taught_arrays: a teacher is asked once, and is right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import array_epochs, fit_data, taught_arrays
from tests import nets, reference

X, Y = nets.inputs(22), nets.labels(22, unlabelled=(3,))


class Counted(keras.layers.Layer):
    """Counts its batches, as they run. Not of Keras's package."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def call(self, x):
        def note(x):
            self.rows.append(len(x))
            return x

        return tf.ensure_shape(tf.numpy_function(note, [x], x.dtype), x.shape)


@pytest.fixture(name="counted")
def counted_teacher(monkeypatch):
    """A teacher that tells how many rows it saw of each batch."""
    layer = Counted()
    monkeypatch.setattr(Counted, "__module__", "keras.src.layers")
    teacher = keras.Sequential(
        [keras.Input((nets.FEATURES,)), layer, nets.linear(7)]
    )
    return teacher, layer.rows


def distiller_of(teacher, kind=kdtf.Distiller):
    distiller = kind(nets.linear(), teacher, temperature=3.0)
    distiller.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    return distiller


def fitted(distiller, **given):
    given = {"epochs": 3, "verbose": 0, "shuffle": False, **given}
    return distiller.fit(X, Y, batch_size=8, **given).history


@pytest.mark.slow
def test_each_row_is_taught_once(monkeypatch, counted):
    monkeypatch.setattr(taught_arrays, "_BATCHES_A_CALL", 1)  # several calls
    teacher, rows = counted
    distiller = distiller_of(teacher)
    fitted(distiller, validation_data=(X[:5], Y[:5]))
    assert rows == [8, 8, 6, 5]
    rows.clear()
    fitted(distiller, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert rows == [8, 8, 6]
    rows.clear()
    fitted(distiller, epochs=1)
    assert rows == [8, 8, 6]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    (
        lambda: nets.linear(7),
        lambda: kdtf.Ensemble([nets.linear(7), nets.linear(8)]),
        lambda: kdtf.Ensemble(
            [nets.linear(7), nets.linear(8)], combine="geometric"
        ),
    ),
    ids=("a net", "arithmetic", "geometric"),
)
def test_the_same_numbers_as_at_every_step(monkeypatch, make):
    """Also after another temperature, on which an Ensemble's word depends."""

    class Anneal(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.temperature.assign(3.0 + epoch)

    found = []
    for once in (True, False):
        distiller = distiller_of(make())
        if not once:
            monkeypatch.setattr(taught_arrays, "says_the_same", lambda _: False)
        history = fitted(distiller, callbacks=[Anneal()])
        found.append((nets.values(distiller.student), history))
    for a, b in zip(*map(keras.tree.flatten, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_several_outputs():
    found = []
    for epochs in (2, 1):  # asked once, and at every step
        distiller = kdtf.Distiller(
            nets.kind_and_tags(),
            nets.kind_and_tags(5),
            temperature=2.0,
            head={"kind": "softmax", "tags": "sigmoid"},
        )
        distiller.compile(keras.optimizers.SGD(0.0), jit_compile=False)
        y = {"kind": Y, "tags": np.ones((22, nets.TAGS), "float32")}
        history = distiller.fit(
            X, y, batch_size=8, epochs=epochs, verbose=0
        ).history
        found.append({name: values[0] for name, values in history.items()})
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_answers_are_no_probabilities():
    """A mean of two softmaxes does not show them: its numbers do."""
    x = keras.Input((nets.FEATURES,))
    members = [keras.layers.Softmax()(nets.linear(s)(x)) for s in (7, 8)]
    mean = keras.Model(x, keras.layers.Average()(members))
    with pytest.raises(ValueError, match=r"`teacher` must give logits, not"):
        fitted(distiller_of(mean))
    logits = keras.Model(x, keras.ops.log(mean(x)))
    fitted(distiller_of(logits))
    of_two = kdtf.Distiller(
        nets.kind_and_tags(),
        {"kind": mean},
        temperature=2.0,
        soft_weight={"kind": 1.0, "tags": 0.0},
        head={"kind": "softmax", "tags": "sigmoid"},
    )
    of_two.compile("sgd", jit_compile=False)
    y = {"kind": Y, "tags": np.ones((22, nets.TAGS), "float32")}
    with pytest.raises(ValueError, match=r"`teacher` must give logits, not"):
        of_two.fit(X, y, epochs=2, verbose=0)


@pytest.mark.slow
def test_hidden_states_may_be_a_softmax():
    """They are what a teacher says where the loss has its last layer."""
    hidden = keras.layers.Dense(3, activation="softmax")
    teacher = keras.Sequential(
        [keras.Input((nets.FEATURES,)), hidden, keras.layers.Dense(4)]
    )
    distiller = kdtf.Distiller(
        nets.linear(), teacher, temperature=3.0, rows_at_a_time=4
    )
    distiller.compile("sgd", jit_compile=False)
    fitted(distiller)


class Drift(keras.callbacks.Callback):
    """Moves the teacher between epochs, as a mean teacher is moved."""

    def __init__(self, teacher):
        super().__init__()
        self._teacher = teacher

    def on_epoch_end(self, epoch, logs=None):
        for weight in self._teacher.weights:
            weight.assign(weight + 0.5)


def test_a_teacher_that_has_changed_is_asked_again(counted):
    teacher, rows = counted
    distiller = distiller_of(teacher)
    history = fitted(distiller, epochs=2, callbacks=[Drift(teacher)])
    assert rows == [8, 8, 6] * 2
    assert history["soft_loss"][1] != history["soft_loss"][0]


class EachBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class OwnLoss(kdtf.Distiller):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs)


@pytest.mark.slow
def test_where_it_is_asked_at_every_step(counted):
    teacher, rows = counted
    for kind, callbacks in (
        (kdtf.Distiller, [EachBatch()]),
        (kdtf.Distiller, [keras.callbacks.CallbackList([])]),
        (
            kdtf.Distiller,
            [
                keras.callbacks.LambdaCallback(
                    on_train_batch_end=lambda batch, logs: None
                )
            ],
        ),
        (OwnLoss, []),
    ):
        fitted(distiller_of(teacher, kind), epochs=2, callbacks=callbacks)
        assert rows == [8, 8, 6] * 2
        rows.clear()
    unknown = keras.layers.Lambda(lambda x: x)
    model = keras.Sequential([keras.Input((nets.FEATURES,)), unknown, teacher])
    fitted(distiller_of(model), epochs=2)
    assert rows == [8, 8, 6] * 2
    rows.clear()
    fitted(distiller_of(lambda x: teacher(x)), epochs=2)
    assert rows == [8, 8, 6] * 2


def test_in_one_epoch_nothing_is_saved_and_nothing_kept():
    for epochs, asks in ((1, False), (2, True)):
        arguments, _ = fit_data.for_fit(
            distiller_of(nets.linear(7)),
            {"x": X, "y": Y, "epochs": epochs, "verbose": 0},
        )
        adapter = arguments["x"]
        assert (adapter.complete(adapter.data) is not adapter.data) is asks


def test_too_many_answers_are_not_kept(monkeypatch):
    distiller = distiller_of(nets.linear(7))
    arguments, _ = fit_data.for_fit(
        distiller, {"x": X, "y": Y, "epochs": 2, "verbose": 0}
    )
    taught = arguments["x"].complete
    # The logits, of which those over T are no others, in float32.
    for room, fits in ((22 * nets.CLASSES * 4, True), (351, False)):
        monkeypatch.setattr(array_epochs, "BYTES", room)
        assert taught.fits() is fits


def test_a_bar_if_it_takes_long(monkeypatch, capsys):
    clock = iter([10.0, 10.0, 12.0, 14.0, 15.0])
    monkeypatch.setattr(taught_arrays.time, "monotonic", lambda: next(clock))
    bar = taught_arrays._Bar(4, "auto")
    for _ in range(2):
        bar.move(1)
    assert not capsys.readouterr().out
    for _ in range(2):
        bar.move(1)
    out = capsys.readouterr().out
    assert "The teacher, once for all epochs" in out and "4/4" in out
    silent = taught_arrays._Bar(1, 0)
    monkeypatch.setattr(
        taught_arrays.time, "monotonic", iter([1.0, 9.0]).__next__
    )
    silent.move(1)
    assert not capsys.readouterr().out


class Cool(keras.callbacks.Callback):
    """Lowers the temperature, on which the word of an Ensemble depends."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.temperature.assign(4.0 / 2**epoch)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize(
    "steps, rows",
    (
        (3, [slice(12)] * 3),
        (2, [slice(8), slice(8, 12), slice(8)]),  # of three batches
    ),
)
def test_epochs_of_some_steps_hear_what_holds_then(steps, rows):
    """Keras begins or goes on with a pass before the callbacks are called."""
    teacher = kdtf.Ensemble([nets.linear(7), nets.linear(8)])
    distiller = kdtf.Distiller(nets.linear(), teacher, temperature=9.0)
    distiller.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    x, members = X[:12], [nets.values(member) for member in teacher.members]
    found = distiller.fit(
        x,
        Y[:12],
        batch_size=4,
        steps_per_epoch=steps,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[Cool(), Drift(teacher)],
    ).history["soft_loss"]
    z = np.asarray(distiller.student(x))
    for epoch in range(3):
        at, more = 4.0 / 2**epoch, 0.5 * epoch  # as `Drift` moves weights
        p = [
            reference.softmax(np.float64(x) @ (kernel + more) + bias + more, at)
            for kernel, bias in members
        ]
        losses = reference.soft_loss(z, at * np.log(np.mean(p, axis=0)), at)
        expected = losses[rows[epoch]].mean()
        assert found[epoch] == pytest.approx(expected, rel=1e-4)

"""kdtf._training.multi_step trains as Keras does one step at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import (
    batch_groups,
    compile_policy,
    executions,
    multi_step,
)
from tests import nets

STEPS = 3


def new_distiller(teacher, student=None, steps=STEPS, **compiled):
    distiller = kdtf.Distiller(
        student or nets.linear(), teacher, temperature=2.0
    )
    distiller.compile(
        # Not Adam, which makes steps of size 1 of a gradient's rounding.
        keras.optimizers.SGD(0.1, momentum=0.9),
        metrics=["accuracy"],
        **{"jit_compile": True, "steps_per_execution": steps, **compiled},
    )
    return distiller


class Record(keras.callbacks.Callback):
    """What callbacks are told."""

    def on_train_begin(self, logs=None):
        self.told = []

    def on_train_batch_end(self, batch, logs=None):
        self.told.append((batch, *sorted(logs)))


def train(distiller, *data, **fit):
    """Two epochs; the student's weights, the history, what callbacks saw."""
    record = Record()
    history = distiller.fit(
        *data, epochs=2, shuffle=False, verbose=0, callbacks=[record], **fit
    )
    state = nets.values(distiller.student)
    state += [np.array(v) for v in distiller.optimizer.variables]
    return state, history.history, record.told


def forbid_other_loops(monkeypatch):
    original = multi_step.ManySteps
    monkeypatch.setattr(
        multi_step,
        "ManySteps",
        lambda distiller, step, others: original(distiller, step, None),
    )


def assert_trains_alike(monkeypatch, make, *data, eager=True, **fit):
    """One program an execution against Keras's own loop, eager or compiled."""
    together = make()
    assert multi_step.applies(together)
    with monkeypatch.context() as patch:
        forbid_other_loops(patch)
        ours = train(together, *data, **fit)
    with monkeypatch.context() as patch:
        patch.setattr(executions, "applies", lambda distiller: False)
        alone = make()
        alone.run_eagerly, alone.jit_compile = eager, not eager
        theirs = train(alone, *data, **fit)
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert set(ours[1]) == set(theirs[1])
    for name, values in theirs[1].items():
        assert ours[1][name] == pytest.approx(values, rel=1e-4)
    assert ours[2] == theirs[2]


def as_data_set(batch_size, *data):
    """Batches of arrays: they come in groups, where arrays stay."""
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "steps"),
    ((5, 2), (5, 20)),
)
@pytest.mark.parametrize("arrays", (False, True))
def test_partial_groups_and_partial_batches(
    monkeypatch, batch_size, steps, arrays
):
    """With a net that has a state, and draws random numbers."""
    # 28 rows: 5 batches of 5 and one of 3.
    x, y = nets.inputs(28), nets.labels(28, unlabelled=(1, 8))
    data, fit = (x, y), {"batch_size": batch_size}
    if not arrays:
        data, fit = (as_data_set(batch_size, x, y),), {}
    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(
            nets.deep(7), nets.deep(0, dropout=0.5), steps=steps
        ),
        *data,
        **fit,
        eager=False,  # which draws other random numbers
    )


@pytest.mark.slow
def test_given_logits_weights_and_classes(monkeypatch):
    x, y = nets.inputs(20), nets.labels(20)
    v = np.asarray(nets.linear(7)(x))
    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(None),
        x,
        {"labels": y, "teacher_logits": v},
        batch_size=4,
        sample_weight=np.linspace(0, 2, 20),
        class_weight={0: 3.0},
    )


@pytest.mark.slow
def test_unlabelled_data(monkeypatch):
    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(nets.linear(7)),
        nets.inputs(20),
        batch_size=4,
    )


@pytest.mark.slow
def test_an_arithmetic_ensemble(monkeypatch):
    members = [nets.linear(7), nets.linear(8)]
    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(kdtf.Ensemble(members)),
        nets.inputs(20),
        nets.labels(20),
        batch_size=4,
    )


@pytest.mark.slow
def test_without_soft_targets(monkeypatch):
    def make():
        distiller = kdtf.Distiller(
            nets.linear(0), temperature=1.0, soft_weight=0.0, hard_weight=1.0
        )
        distiller.compile("adam", jit_compile=True, steps_per_execution=STEPS)
        return distiller

    assert_trains_alike(
        monkeypatch, make, nets.inputs(20), nets.labels(20), batch_size=4
    )


@pytest.mark.slow
@pytest.mark.parametrize("soft", (False, True))
def test_many_classes_whose_loss_is_a_function_of_its_own(monkeypatch, soft):
    classes = 300
    logits = np.random.default_rng(3).normal(size=(20, classes))
    assert compile_policy.compiles_loss(tf.constant(logits))
    y = {"labels": nets.labels(20, unlabelled=(1, 8))}
    if soft:
        y["teacher_logits"] = logits.astype(np.float32)

    def make():
        kernel = keras.initializers.GlorotUniform(seed=0)
        student = keras.Sequential(
            [
                keras.Input((nets.FEATURES,)),
                keras.layers.Dense(classes, kernel_initializer=kernel),
            ]
        )
        distiller = kdtf.Distiller(
            student, temperature=2.0, soft_weight=float(soft), hard_weight=1.0
        )
        distiller.compile("sgd", jit_compile=True, steps_per_execution=STEPS)
        return distiller

    assert_trains_alike(monkeypatch, make, nets.inputs(20), y, batch_size=4)


def frames(lengths):
    """A data set of batches of 2 sequences of these lengths."""

    def batches():
        for i, length in enumerate(lengths):
            x = nets.inputs(2 * length, seed=i).reshape(2, length, -1)
            yield x, nets.labels(2 * length, seed=i).reshape(2, length)

    return tf.data.Dataset.from_generator(
        batches,
        output_signature=(
            tf.TensorSpec((2, None, nets.FEATURES)),
            tf.TensorSpec((2, None), tf.int32),
        ),
    )


@pytest.mark.slow
def test_batches_of_changing_shape(monkeypatch):
    def net(seed):
        initializer = keras.initializers.GlorotUniform(seed)
        return keras.Sequential(
            [
                keras.Input((None, nets.FEATURES)),
                keras.layers.Dense(
                    nets.CLASSES, kernel_initializer=initializer
                ),
            ]
        )

    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(net(7), net(0)),
        frames((3, 3, 4, 4, 4, 3, 5)),
    )


@pytest.mark.slow
def test_big_batches_become_several_programs(monkeypatch):
    batch_bytes = 4 * (4 * nets.FEATURES + 4)
    monkeypatch.setattr(batch_groups, "_BYTES_A_GROUP", 2 * batch_bytes)
    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(nets.linear(7), steps=5),
        as_data_set(4, nets.inputs(40), nets.labels(40)),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_that_end_before_the_epoch_does(monkeypatch):
    dataset = tf.data.Dataset.from_tensor_slices(
        (nets.inputs(20), nets.labels(20))
    ).batch(4)
    assert_trains_alike(
        monkeypatch,
        lambda: new_distiller(nets.linear(7)),
        dataset,
        steps_per_epoch=4,
    )


@pytest.mark.slow
def test_every_batch_is_one_step(monkeypatch):
    forbid_other_loops(monkeypatch)
    distiller = new_distiller(nets.linear(7))
    distiller.fit(nets.inputs(), nets.labels(), batch_size=4, verbose=0)
    assert int(distiller.optimizer.iterations) == 3
    logs = distiller.evaluate(nets.inputs(), nets.labels(), verbose=0)
    assert np.isfinite(logs).all()


@pytest.mark.slow
def test_train_on_batch_takes_one_step():
    distiller = new_distiller(nets.linear(7))
    distiller.train_on_batch(nets.inputs(), nets.labels())
    assert int(distiller.optimizer.iterations) == 1


def test_where_it_does_not_apply(mirrored_strategy):
    teacher = nets.deep(7)
    assert not multi_step.applies(new_distiller(teacher, jit_compile=False))
    eager = new_distiller(teacher, jit_compile=False, run_eagerly=True)
    assert not multi_step.applies(eager)
    with mirrored_strategy.scope():
        replicated = new_distiller(nets.deep(7), jit_compile="auto")
    assert not multi_step.applies(replicated)


@pytest.mark.slow
def test_hyperparameters_change_without_a_retrace():
    traces = []
    teacher = nets.linear(7)

    def counted(x):
        traces.append(1)
        return teacher(x)

    distiller = new_distiller(counted)
    x, y = nets.inputs(24), nets.labels(24)

    def fitted():
        history = distiller.fit(x, y, batch_size=4, verbose=0).history
        return history["loss"], history["hard_loss"]

    loss, hard_loss = fitted()
    assert loss != pytest.approx(hard_loss)
    traced = len(traces)
    distiller.soft_weight.assign(0.0)  # the hard term alone is left
    loss, hard_loss = fitted()
    assert loss == pytest.approx(hard_loss)
    assert len(traces) == traced


def test_an_error_of_a_step_begins_with_its_sentence(monkeypatch):
    """AutoGraph would put "in user code" and its traceback before it."""
    forbid_other_loops(monkeypatch)
    distiller = new_distiller(nets.linear(7))
    with pytest.raises(ValueError, match=r"^`class_weight` must name classes"):
        distiller.fit(
            nets.inputs(), nets.labels(), class_weight={9: 2.0}, verbose=0
        )


class Broken(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self._error = error

    def on_train_batch_end(self, batch, logs=None):
        raise self._error("broken callback")


@pytest.mark.slow
def test_an_exception_between_executions_passes_and_training_goes_on():
    distiller = new_distiller(nets.linear(7))
    data = nets.inputs(24), nets.labels(24)
    for count, error in enumerate((RuntimeError, KeyboardInterrupt), start=1):
        broken = Broken(error)
        with pytest.raises(error, match="broken callback"):
            distiller.fit(*data, batch_size=4, callbacks=[broken], verbose=0)
        assert int(distiller.optimizer.iterations) == count * STEPS
    distiller.fit(*data, batch_size=4, verbose=0)
    assert int(distiller.optimizer.iterations) == 2 * STEPS + 6


@pytest.mark.slow
def test_more_rows_are_not_compiled_anew():
    distiller = new_distiller(nets.linear(7), steps="auto")
    traced = []
    update = distiller._update

    def counted(*batch):
        traced.append(1)
        return update(*batch)

    distiller._update = counted
    for rows in (20, 24, 28, 32):
        x, y = nets.inputs(rows), nets.labels(rows)
        distiller.fit(x, y, batch_size=4, verbose=0)
        if rows == 24:  # the second trace is for any number
            traced.clear()
    assert not traced
    assert int(distiller.optimizer.iterations) == 5 + 6 + 7 + 8

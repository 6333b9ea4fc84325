"""kdtf._training.executions: steps one after another, as Keras runs them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import executions
from tests import nets

X, Y = nets.inputs(22), nets.labels(22, unlabelled=(1, 8))


class Told(keras.callbacks.Callback):
    """What callbacks are told."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def on_train_batch_end(self, batch, logs=None):
        logs = {name: float(value) for name, value in logs.items()}
        self.logs.append((batch, logs))


class Counting(kdtf.Distiller):
    """Reports what is no metric."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**results, "rows": tf.cast(tf.shape(x)[0], tf.float32)}


def from_generator():
    """Batches whose number is not known."""
    whole = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    return tf.data.Dataset.from_generator(
        lambda: iter(whole), output_signature=whole.element_spec
    )


DATA = {
    "arrays": lambda: ((X, Y), {"batch_size": 4}),
    "data set": lambda: (
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),),
        {},
    ),
    "generator": lambda: ((from_generator(),), {}),
}


def trained(kind, steps, data, jit_compile=False):
    """What two epochs and an evaluation give."""
    teacher = nets.linear(7)
    distiller = kind(nets.linear(), teacher, temperature=2.0)
    distiller.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        metrics=["accuracy"],
        steps_per_execution=steps,
        jit_compile=jit_compile,
    )
    told = Told()
    given, arguments = DATA[data]()
    arguments |= {"verbose": 0}
    history = distiller.fit(
        *given, epochs=2, shuffle=False, callbacks=[told], **arguments
    )
    logs = distiller.evaluate(*given, return_dict=True, **arguments)
    by_batch = distiller.train_on_batch(X[:3], Y[:3], return_dict=True)
    return told.logs, history.history, logs, by_batch


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("steps", (1, 4))
def test_as_keras_runs_them(monkeypatch, data, steps):
    ours = trained(Counting, steps, data)
    monkeypatch.setattr(executions, "applies", lambda distiller: False)
    theirs = trained(Counting, steps, data)
    assert "rows" in ours[0][0][1] and ours[0][-1][1]["rows"] == 2
    assert len(ours[0]) == 2 * -(-6 // steps)
    for a, b in zip(*map(keras.tree.flatten, (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.slow
def test_what_else_is_reported_of_compiled_steps():
    [*_, (_, logs)], *_ = trained(Counting, 4, "arrays", jit_compile=True)
    assert logs["rows"] == 2


@pytest.mark.slow
def test_logs_keep_their_order():
    told, *_ = trained(kdtf.Distiller, 1, "data set")
    reported = ["loss", "soft_loss", "agreement", "hard_loss", "accuracy"]
    assert sorted(told[0][1]) == sorted(reported)
    assert next(iter(told[0][1])) in ("loss", "accuracy")


def test_where_they_do_not_apply(mirrored_strategy):
    distiller = kdtf.Distiller(nets.linear(), temperature=2.0)
    distiller.compile("sgd", run_eagerly=True)
    assert not executions.applies(distiller)
    distiller.compile("sgd")
    assert executions.applies(distiller)
    with mirrored_strategy.scope():
        assert not executions.applies(distiller)

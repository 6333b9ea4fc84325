"""kdtf._training.compile_policy: what "auto" means, what is compiled."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import compile_policy, multi_step, objective
from tests import devices, nets

pytestmark = devices.on_a_cpu

LAYERS = keras.layers
IMAGES = (3, 8, 8, 2)


def distiller_of(student, metrics=None, **compiled):
    distiller = kdtf.Distiller(student, temperature=2.0)
    distiller.compile("sgd", metrics=metrics, **compiled)
    return distiller


def functional():
    x = keras.Input((5,))
    hidden = LAYERS.ReLU()(LAYERS.Dense(3)(x))
    return keras.Model(x, LAYERS.Dense(4)(LAYERS.Add()([hidden, hidden])))


def words():
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            LAYERS.Embedding(10, 4),
            LAYERS.GlobalAveragePooling1D(),
            LAYERS.Dense(4),
        ]
    )


def convolution():
    return keras.Sequential(
        [
            keras.Input(IMAGES[1:]),
            LAYERS.Conv2D(2, 3),
            LAYERS.Flatten(),
            LAYERS.Dense(nets.CLASSES),
        ]
    )


def half_precision(build, policy="mixed_bfloat16"):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(previous)


def recurrent(layer):
    return keras.Sequential([keras.Input((6, 5)), layer, LAYERS.Dense(4)])


class Scale(keras.layers.Layer):
    """What nobody has measured."""

    def call(self, x):
        return 2 * x


class Holder(keras.layers.Layer):
    """It may do anything with the layer that it holds."""

    def __init__(self):
        super().__init__()
        self.dense = LAYERS.Dense(4)

    def call(self, x):
        return self.dense(x)


class Subclassed(keras.Model):
    """It may do anything in `call`."""

    def __init__(self):
        super().__init__()
        self.dense = LAYERS.Dense(4)

    def call(self, x):
        return self.dense(x)


FASTER = {
    "batch normalisation": nets.deep,
    "functional": functional,
    "half precision": lambda: half_precision(functional),
    "nested": lambda: keras.Sequential([keras.Input((5,)), nets.deep()]),
    "recurrent": lambda: recurrent(LAYERS.GRU(3)),
    "words": words,
}
NOT_KNOWN = {
    "dropout": lambda: nets.deep(dropout=0.5),
    "convolution": convolution,
    "not built": lambda: keras.Sequential([LAYERS.Dense(4)]),
    "any length": lambda: keras.Sequential(
        [keras.Input((None, 5)), LAYERS.Dense(4)]
    ),
    "half precision, normalisation": lambda: half_precision(nets.deep),
    "half precision, recurrent": lambda: half_precision(
        lambda: recurrent(LAYERS.GRU(3))
    ),
    "float16": lambda: half_precision(functional, "mixed_float16"),
    "a layer of one's own": lambda: keras.Sequential(
        [keras.Input((5,)), Scale(), LAYERS.Dense(4)]
    ),
    "a layer of one's own around others": lambda: keras.Sequential(
        [keras.Input((5,)), Holder(), LAYERS.Dense(4)]
    ),
    "recurrent, both ways": lambda: recurrent(
        LAYERS.Bidirectional(LAYERS.GRU(3))
    ),
    "recurrent, dropout": lambda: recurrent(LAYERS.GRU(3, dropout=0.5)),
    "recurrent, dropout between its steps": lambda: recurrent(
        LAYERS.GRU(3, recurrent_dropout=0.5)
    ),
    "recurrent, unrolled": lambda: recurrent(LAYERS.GRU(3, unroll=True)),
    "recurrent (LSTM)": lambda: recurrent(LAYERS.LSTM(3)),
    "subclassed": Subclassed,
}


@pytest.mark.parametrize("kind", FASTER)
def test_auto_is_xla_where_it_was_measured_to_be_faster(kind):
    distiller = distiller_of(FASTER[kind](), metrics=["accuracy"])
    assert distiller.jit_compile is True
    assert distiller_of(FASTER[kind](), jit_compile="auto").jit_compile is True


@pytest.mark.parametrize("kind", NOT_KNOWN)
def test_auto_is_keras_own_choice_elsewhere(kind):
    student = NOT_KNOWN[kind]()
    assert distiller_of(student).jit_compile is False
    assert distiller_of(student, jit_compile=True).jit_compile is True


def test_what_was_asked_for_stands():
    assert distiller_of(nets.deep(), jit_compile=False).jit_compile is False


def test_eager_steps_and_strategies_are_not_compiled(mirrored_strategy):
    assert distiller_of(nets.deep(), run_eagerly=True).jit_compile is False
    with mirrored_strategy.scope():
        assert distiller_of(nets.deep()).jit_compile is False


@pytest.mark.slow
def test_metrics_of_ones_own_may_do_what_xla_cannot():
    def in_python(labels, logits):
        del labels
        rows = tf.numpy_function(lambda z: z.mean(-1), [logits], tf.float32)
        return tf.ensure_shape(rows, [None])

    wrapped = keras.metrics.MeanMetricWrapper(in_python, name="wrapped")
    assert distiller_of(nets.deep(), metrics=[wrapped]).jit_compile is False
    distiller = distiller_of(nets.deep(), metrics=["accuracy", in_python])
    assert distiller.jit_compile is False
    logs = distiller.fit(
        nets.inputs(),
        {"labels": nets.labels(), "teacher_logits": np.zeros((12, 4))},
        verbose=0,
    )
    assert np.isfinite(logs.history["in_python"]).all()
    known = [
        keras.metrics.SparseCategoricalAccuracy(),
        kdtf.metrics.FidelityKL(),
        keras.losses.Huber(),
    ]
    assert distiller_of(nets.deep(), metrics=known).jit_compile is True


def test_a_loaded_distiller_decides_anew(tmp_path):
    distiller = distiller_of(nets.deep())
    distiller.save(tmp_path / "distiller.keras")
    again = keras.saving.load_model(tmp_path / "distiller.keras")
    assert again.jit_compile is True


def test_convolutions_are_not_looped_over_in_one_program():
    settings = {"jit_compile": True, "steps_per_execution": 2}
    assert multi_step.applies(distiller_of(nets.deep(), **settings))
    student = convolution()
    nested = keras.Sequential([keras.Input(IMAGES[1:]), student])
    assert not multi_step.applies(distiller_of(student, **settings))
    assert not multi_step.applies(distiller_of(nested, **settings))


def test_on_a_gpu_keras_decides(monkeypatch):
    distiller = distiller_of(convolution(), steps_per_execution=2)
    monkeypatch.setattr(compile_policy, "on_gpu", lambda: True)
    assert not compile_policy.is_faster(distiller_of(nets.deep()))
    assert compile_policy.loops_fast(distiller.student)
    assert compile_policy.compiles_loss(tf.zeros((2, 4)))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, 1000), True),
        ((None, 7, 1000), True),
        ((None, None, 1000), False),
        ((32, 10), False),
    ],
)
def test_the_loss_of_many_classes_is_compiled(shape, expected):
    assert compile_policy.compiles_loss(tf.TensorSpec(shape)) is expected


@pytest.mark.slow
def test_many_classes_train_alike_compiled_or_not(monkeypatch):
    calls, compiled = [], objective._compiled_entry_losses

    def recorded(*arguments):
        calls.append(arguments)
        return compiled(*arguments)

    monkeypatch.setattr(objective, "_compiled_entry_losses", recorded)
    x = nets.inputs()
    v = np.random.default_rng(3).normal(size=(12, 300)).astype(np.float32)
    y = {"labels": nets.labels(), "teacher_logits": v}
    weights = []
    for many in (256, 1000):
        monkeypatch.setattr(compile_policy, "_MANY_CLASSES", many)
        keras.utils.set_random_seed(0)
        student = keras.Sequential([keras.Input((5,)), LAYERS.Dense(300)])
        distiller = distiller_of(student, jit_compile=False)
        distiller.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        weights.append(nets.values(student))
        assert bool(calls) is (many == 256)
        calls.clear()
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)

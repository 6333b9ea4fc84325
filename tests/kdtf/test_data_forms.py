"""Distiller: data in every form that Keras takes train the same student."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets

ROWS, BATCH = 22, 4  # the last batch is a partial one
X, Y = nets.inputs(ROWS), nets.labels(ROWS, unlabelled=(3,))


def dense(seed):
    initializer = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(nets.CLASSES, kernel_initializer=initializer)


def of_two_inputs(structure):
    def net(seed):
        both = [keras.Input((5,), name="a"), keras.Input((2,), name="b")]
        joined = keras.layers.Concatenate()(both)
        given = dict(zip("ab", both, strict=True))
        given = given if structure is dict else structure(both)
        return keras.Model(given, dense(seed)(joined))

    return net


def of_strings(seed):
    x = keras.Input((1,), dtype="string")
    classes = keras.layers.StringLookup(vocabulary=["a", "b"])(x)
    one_hot = keras.layers.CategoryEncoding(3)(classes)
    return keras.Model(x, dense(seed)(one_hot))


def of_sparse(seed):
    x = keras.Input((nets.FEATURES,), sparse=True)
    return keras.Model(x, dense(seed)(x))


class OfRagged(keras.Model):
    """Lists of numbers, each of a length of its own."""

    def __init__(self, seed):
        super().__init__()
        self.dense = dense(seed)

    def call(self, x):
        return self.dense(tf.reduce_mean(x, axis=1)[:, None])


def generated(*parts):
    for i in range(0, ROWS, BATCH):
        yield tuple(None if p is None else p[i : i + BATCH] for p in parts)


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        return X[rows], Y[rows]


def dataset():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)


def ragged():
    lengths = np.arange(ROWS) % 3 + 1
    values = np.arange(lengths.sum(), dtype=np.float32) / 10
    return tf.RaggedTensor.from_row_lengths(values, lengths)


STRINGS = tf.constant([["a"], ["b"], ["other"]] * (ROWS // 3))
# The net, and the arguments of `fit`, made anew each time.
FORMS = {
    "arrays": (nets.linear, lambda: (X, Y)),
    "arrays without labels": (nets.linear, lambda: (X,)),
    "two inputs in a dict": (
        of_two_inputs(dict),
        lambda: ({"a": X, "b": X[:, :2]}, Y),
    ),
    "two inputs in a list": (of_two_inputs(list), lambda: ([X, X[:, :2]], Y)),
    "two inputs in a tuple": (of_two_inputs(list), lambda: ((X, X[:, :2]), Y)),
    "strings": (of_strings, lambda: (STRINGS, Y[: len(STRINGS)])),
    "sparse": (of_sparse, lambda: (tf.sparse.from_dense(X), Y)),
    "ragged": (OfRagged, lambda: (ragged(), Y)),
    "generator": (nets.linear, lambda: (generated(X, Y),)),
    "generator of y None": (nets.linear, lambda: (generated(X, None),)),
    "generator of weights None": (
        nets.linear,
        lambda: (generated(X, Y, None),),
    ),
    "PyDataset": (nets.linear, lambda: (Sequence(),)),
    "data set": (nets.linear, lambda: (dataset(),)),
    "data set of y None": (
        nets.linear,
        lambda: (dataset().map(lambda x, y: (x, None)),),
    ),
    "data set of weights None": (
        nets.linear,
        lambda: (dataset().map(lambda x, y: (x, y, None)),),
    ),
}


def trained(net, data, **compiled):
    """The student's weights and the history after an epoch."""
    teacher = net(7)
    if not teacher.built:
        teacher(data[0])
    distiller = kdtf.Distiller(net(0), teacher, temperature=2.0)
    distiller.compile("sgd", metrics=["accuracy"], **compiled)
    batched = isinstance(
        data[0], (tf.data.Dataset, Sequence, types.GeneratorType)
    )
    fit = {} if batched else {"batch_size": BATCH}
    history = distiller.fit(*data, shuffle=False, verbose=0, **fit)
    return nets.values(distiller.student), history.history


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_many_steps_under_xla_train_as_eager_ones(form):
    net, data = FORMS[form]
    weights, history = trained(net, data(), run_eagerly=True)
    found, reported = trained(
        net, data(), jit_compile=True, steps_per_execution=3
    )
    for ours, eager in zip(found, weights, strict=True):
        np.testing.assert_allclose(ours, eager, rtol=1e-4, atol=1e-6)
    assert set(reported) == set(history)
    for name, values in history.items():
        assert reported[name] == pytest.approx(values, rel=1e-3, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("steps", (1, 2))
def test_an_epoch_of_endless_data_has_its_steps(steps):
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd", jit_compile=True, steps_per_execution=steps)
    history = distiller.fit(
        dataset().repeat(),
        initial_epoch=1,
        epochs=3,
        steps_per_epoch=8,
        verbose=0,
    )
    assert history.epoch == [1, 2]
    assert int(distiller.optimizer.iterations) == 16


@pytest.mark.slow
def test_validation_data_have_a_batch_size_of_their_own():
    batches = []
    note = keras.callbacks.LambdaCallback(
        on_test_begin=lambda logs: batches.append(0)
    )
    note.on_test_batch_end = lambda batch, logs: batches.append(batch)
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd")
    distiller.fit(
        X,
        Y,
        batch_size=11,
        validation_data=(X, Y),
        validation_batch_size=5,
        callbacks=[note],
        verbose=0,
    )
    assert batches[1:] == [0, 1, 2, 3, 4]


def of_frames():
    x = keras.Input((None, nets.FEATURES))
    return keras.Model(x, dense(0)(x))


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", (False, True))
@pytest.mark.parametrize(
    ("y", "spec"),
    (
        # One for all frames of an example, in a data set that tells nothing.
        (np.zeros((BATCH, 1), "int64"), [None, None]),
        (np.zeros((BATCH, 1), "int64"), [None, 1]),
        (np.ones((BATCH, 1, nets.CLASSES), "float32"), [None, None, None]),
        (
            {"teacher_logits": np.ones((BATCH, 1, nets.CLASSES), "float32")},
            {"teacher_logits": tf.TensorSpec([None, None, nets.CLASSES])},
        ),
    ),
)
def test_what_is_of_one_frame_is_not_repeated_over_all(y, spec, jit_compile):
    x = np.ones((BATCH, 6, nets.FEATURES), "float32")
    if not isinstance(spec, dict):
        spec = tf.TensorSpec(spec, y.dtype)
    data = tf.data.Dataset.from_generator(
        lambda: iter([(x, y)]),
        output_signature=(tf.TensorSpec([None, None, nets.FEATURES]), spec),
    )
    soft_weight = 0.9 if isinstance(y, dict) else 0.0
    distiller = kdtf.Distiller(
        of_frames(), temperature=2.0, soft_weight=soft_weight
    )
    distiller.compile("sgd", jit_compile=jit_compile)
    with pytest.raises(
        ValueError, match=r"^`\w+` must have.*would be broadcast"
    ):
        distiller.fit(data, verbose=0)

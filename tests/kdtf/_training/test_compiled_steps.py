"""XLA compiles the student's part of a step, and never the teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets

VOCABULARY = ["cat", "dog", "hen"]


def lookup(vocabulary_of):
    """A net over strings, which XLA cannot compile."""
    words = keras.Input((), dtype="string", name="words")
    classes = keras.layers.StringLookup(vocabulary=vocabulary_of)(words)
    x = keras.layers.Embedding(4, 3, embeddings_initializer="ones")(classes)
    return keras.Model(words, keras.layers.Dense(nets.CLASSES)(x))


class InPython(keras.Model):
    def call(self, x):
        logits = tf.numpy_function(
            lambda x: x[:, : nets.CLASSES], [x], tf.float32
        )
        return tf.ensure_shape(logits, [None, nets.CLASSES])


class ByName(keras.Model):
    """Looks its input up in a table, which XLA cannot do either."""

    def __init__(self):
        super().__init__()
        keys = tf.constant([str(i) for i in range(8)])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                keys, tf.range(8, dtype=tf.int64)
            ),
            -1,
        )

    def call(self, x):
        rows = self.table.lookup(tf.strings.as_string(tf.argmax(x, axis=-1)))
        return tf.one_hot(rows, nets.CLASSES) * 3.0


def built(model):
    model(nets.inputs())
    return model


TEACHERS = {
    "python": lambda: built(InPython()),
    "table": lambda: built(ByName()),
    "lambda": lambda: (
        lambda x: tf.py_function(
            lambda x: x[:, : nets.CLASSES], [x], tf.float32
        )
    ),
}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kind", "jit_compile", "steps"),
    (
        slow("python", "auto", 1),
        slow("lambda", "auto", 3),
        slow("table", True, 3),
    ),
)
def test_teachers_that_xla_cannot_compile(kind, jit_compile, steps):
    teacher = TEACHERS[kind]()
    x, y = nets.inputs(), nets.labels()
    trained = []
    for arguments in (
        {"jit_compile": jit_compile, "steps_per_execution": steps},
        {"run_eagerly": True, "jit_compile": False},
    ):
        student = nets.linear()
        distiller = kdtf.Distiller(student, teacher, temperature=2.0)
        distiller.compile("sgd", metrics=["accuracy"], **arguments)
        assert distiller.jit_compile is ("run_eagerly" not in arguments)
        for _ in range(2):
            distiller.fit(
                x,
                y,
                5,
                validation_data=(x, y),
                shuffle=False,
                verbose=0,
            )
        logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
        trained.append([*nets.values(student), logs["loss"]])
    for compiled, eager in zip(*trained, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_students_part_is_one_program():
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd", jit_compile=True)
    traced = []

    class Noted(keras.layers.Layer):
        def call(self, x):
            traced.append(tf.compat.v1.get_default_graph())
            return x

    teacher = keras.Sequential([keras.Input((5,)), Noted(), nets.linear(7)])
    student = keras.Sequential([keras.Input((5,)), Noted(), nets.linear()])
    distiller = kdtf.Distiller(student, teacher, temperature=2.0)
    distiller.compile("sgd", jit_compile=True)
    traced.clear()
    distiller.train_on_batch(nets.inputs(), nets.labels())
    programs = distiller._programs._programs
    [concrete] = [
        c for f in programs.values() for c in f._list_all_concrete_functions()
    ]
    assert concrete.function_def.attr["_XlaMustCompile"].b
    assert traced[-1] is concrete.graph  # the student
    assert traced[-2] is not concrete.graph  # the teacher, before


class OfNumbers(keras.Model):
    """Leaves the words to its teacher."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(nets.CLASSES)

    def call(self, x):
        return self.dense(x["numbers"])


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", ("auto", True))
@pytest.mark.parametrize("steps", (1, 2))
def test_strings_beside_the_students_input(jit_compile, steps):
    """The teacher reads the words, the student the numbers; twice."""
    student = OfNumbers()
    words = np.array([VOCABULARY[i % 3] for i in range(12)])
    by_word = lookup(VOCABULARY)
    distiller = kdtf.Distiller(
        student, lambda x: by_word(x["words"]), temperature=2.0
    )
    distiller.compile("sgd", jit_compile=jit_compile, steps_per_execution=steps)
    x = {"numbers": nets.inputs(), "words": words}
    dataset = tf.data.Dataset.from_tensor_slices((x, nets.labels())).batch(4)
    student({key: values[:1] for key, values in x.items()})
    before = nets.values(student)
    for _ in range(2):
        distiller.fit(dataset, validation_data=dataset, verbose=0)
    distiller.evaluate(dataset, verbose=0)
    assert not np.array_equal(before[0], nets.values(student)[0])


@pytest.mark.slow
def test_a_student_of_strings():
    student = lookup(VOCABULARY)
    distiller = kdtf.Distiller(student, lookup(VOCABULARY), temperature=2.0)
    distiller.compile("sgd", steps_per_execution=2)
    words = tf.constant([VOCABULARY[i % 3] for i in range(12)])
    dataset = tf.data.Dataset.from_tensor_slices((words, nets.labels()))
    for _ in range(2):
        history = distiller.fit(dataset.batch(4), verbose=0)
    assert np.isfinite(history.history["loss"]).all()

"""_inputs: the keys of a signature, whatever the process made before."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf.export import _inputs
from tests import nets


def keys(student):
    """The keys of a student's inputs, in their order."""
    specs = keras.tree.flatten(_inputs.specs_of(student, None))
    return [spec.name for spec in specs]


def joined(*inputs, structure=None):
    merged = keras.layers.Concatenate()(list(inputs))
    model = structure if structure is not None else list(inputs)
    return keras.Model(model, keras.layers.Dense(2)(merged))


def test_an_unnamed_input_is_x_however_many_there_were():
    for _ in range(3):
        assert keys(nets.linear()) == ["x"]
    built = keras.Sequential([keras.layers.Dense(2)])
    built(np.ones((2, 3), "float32"))
    assert keys(built) == ["x"]


def test_a_loaded_model_has_the_same_keys(tmp_path):
    """Keras stores the name that it made as if it had been given."""
    for _ in range(2):
        keras.Input((3,))
    student = joined(keras.Input((3,)), keras.Input((2,)))
    student.save(tmp_path / "student.keras")
    assert keys(student) == ["x", "x_1"]
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    assert keys(loaded) == ["x", "x_1"]


def test_names_that_were_given_stay():
    student = joined(
        keras.Input((3,)),
        keras.Input((2,), name="x"),
        keras.Input((2,)),
        keras.Input((2,), name="input_ids"),
    )
    assert keys(student) == ["x_1", "x", "x_2", "input_ids"]


@pytest.mark.parametrize(
    ("name", "key"),
    (
        ("my input", "my_input"),
        ("a-b", "a_b"),
        ("é", "arg__"),
        ("9x", "arg_9x"),
    ),
)
def test_names_that_tensorflow_does_not_allow(name, key):
    student = joined(keras.Input((3,), name=name), keras.Input((3,)))
    assert keys(student) == [key, "x"]


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_dict_has_its_own_keys():
    first, second = keras.Input((3,)), keras.Input((2,), name="other")
    student = joined(
        first, second, structure={"input": first, "second": second}
    )
    assert keys(student) == ["input", "second"]


class Sum(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        leaves = x.values() if isinstance(x, dict) else x
        return self.dense(keras.ops.concatenate(list(leaves), axis=-1))


@pytest.mark.parametrize(
    ("x", "expected"),
    (
        ({"b": 2, "a": 3}, ["a", "b"]),
        ([2, 3], ["x", "x_1"]),
    ),
)
def test_a_subclass(x, expected):
    student = Sum()
    student(keras.tree.map_structure(lambda size: tf.zeros((4, size)), x))
    assert keys(student) == expected


def test_inputs_of_half_precision_become_float32():
    specs = {
        "half": tf.TensorSpec((None, 2), tf.bfloat16, "half"),
        "ids": tf.TensorSpec((None,), tf.int32, "ids"),
        "double": tf.TensorSpec((None,), tf.float64, "double"),
    }
    changed = _inputs.in_float32(specs)
    assert changed["half"] == tf.TensorSpec((None, 2), tf.float32, "half")
    assert changed["ids"] == specs["ids"]
    assert changed["double"] == specs["double"]


def test_keys_that_would_come_twice():
    """As those of dicts in a dict."""
    given = ["ids", "ids", None, "x", "ids_1"]
    expected = ["ids", "ids_2", "x_1", "x", "ids_1"]
    assert _inputs._unique_keys(given) == expected


class BuiltByItself(keras.Model):
    """Its layers are built where they are made, as in models of others."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(nets.CLASSES)
        self.dense.build((None, nets.FEATURES))
        self.built = True

    def call(self, x):
        return self.dense(x)


def test_a_subclass_that_keras_has_not_built_is_refused():
    student = BuiltByItself()
    student(nets.inputs())  # Keras takes its word for it
    with pytest.raises(ValueError, match=r"must be built by Keras.*Received"):
        _inputs.specs_of(student, None)
    student.build((None, nets.FEATURES))
    spec = _inputs.specs_of(student, None)
    assert spec.shape.as_list() == [None, nets.FEATURES]

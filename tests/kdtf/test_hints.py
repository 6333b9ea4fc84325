"""kdtf.Hint: what it takes, what it refuses, how it is saved."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf import hints
from kdtf.hints import Hint


@keras.saving.register_keras_serializable("tests")
def largest_gap(y_true, y_pred):
    return tf.reduce_max(tf.abs(y_true - y_pred), axis=-1)


def saved_and_loaded(hint):
    config = keras.saving.serialize_keras_object(hint)
    return keras.saving.deserialize_keras_object(config)


def test_defaults():
    hint = Hint("backbone/block_3", "block_4")
    assert (hint.student, hint.teacher) == ("backbone/block_3", "block_4")
    assert (hint.loss, hint.weight, hint.projection) == ("mse", 1.0, "auto")
    assert (hint.name, hint.teacher_shape) == ("block_3_hint", None)


def test_a_tensor_stands_for_the_layer_that_gives_it():
    x = keras.Input((3,))
    hidden = keras.layers.Dense(2, name="hidden")(x)
    total = keras.ops.add(hidden, 1.0)
    hint = Hint(hidden, total)
    assert hint.student == "hidden"
    assert hint.teacher == total._keras_history.operation.name


def test_it_is_never_changed():
    hint = Hint("a", "b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        hint.weight = 2.0
    knowing = hint.with_teacher_shape((None, 7))
    assert hint.teacher_shape is None
    assert knowing.teacher_shape == (None, 7)
    assert (knowing.student, knowing.weight) == ("a", 1.0)


@pytest.mark.parametrize(
    "loss", ("huber", keras.losses.Huber(0.1), largest_gap)
)
def test_its_loss_is_saved(loss):
    loaded = saved_and_loaded(Hint("a", "b", loss=loss))
    u, v = np.array([[0.0, 3.0]]), np.array([[0.5, 1.0]])
    np.testing.assert_allclose(
        hints.row_losses(loaded.loss)(u, v), hints.row_losses(loss)(u, v)
    )
    assert type(loaded.loss) is type(loss)


def test_all_else_is_saved():
    hint = Hint("x/a", "b", weight=0.25, projection=None, name="first")
    hint = hint.with_teacher_shape((None, 7))
    assert saved_and_loaded(hint) == hint
    layer = keras.layers.Dense(7, name="map", use_bias=False)
    loaded = saved_and_loaded(Hint("a", "b", projection=layer))
    assert loaded.projection.get_config() == layer.get_config()


@pytest.mark.parametrize(
    "loss",
    ("mean_sqared_error", None, 3, keras.losses.Huber, {"class_name": "Huber"}),
)
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(ValueError, match="`loss` must be the name of a Keras"):
        Hint("a", "b", loss=loss)


@pytest.mark.parametrize("weight", (-0.1, math.nan, math.inf, "1", None, True))
def test_a_weight_is_a_number_from_0(weight):
    with pytest.raises(ValueError, match=r"`weight` must .*Received: weight="):
        Hint("a", "b", weight=weight)


@pytest.mark.parametrize("argument", ("student", "teacher"))
@pytest.mark.parametrize(
    "path", ("", "/a", "a/", "a//b", 3, None, keras.KerasTensor((2, 3)))
)
def test_what_names_no_layer_is_refused(argument, path):
    paths = {"student": "a", "teacher": "b", argument: path}
    with pytest.raises(ValueError, match=f"`{argument}` must be the name of"):
        Hint(**paths)


@pytest.mark.parametrize("name", ("", "a/b", "soft", "hard", 3))
def test_names_that_a_metric_cannot_have_are_refused(name):
    with pytest.raises(ValueError, match=r"`name` must be a string without"):
        Hint("a", "b", name=name)


@pytest.mark.parametrize("projection", ("linear", 3, lambda x: x))
def test_what_is_no_projection_is_refused(projection):
    with pytest.raises(ValueError, match='`projection` must be "auto", None'):
        Hint("a", "b", projection=projection)

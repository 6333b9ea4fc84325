"""Temperature and weights of the loss refuse what cannot be right."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets


def distiller_of(**arguments):
    arguments = {"temperature": 4.0, **arguments}
    return kdtf.Distiller(nets.linear(), nets.linear(7), **arguments)


@pytest.mark.parametrize("value", (0.0, -1.0, math.nan, math.inf))
@pytest.mark.parametrize("name", ("temperature", "soft_weight"))
def test_assign_refuses_what_the_constructor_refuses(name, value):
    if name == "soft_weight" and value == 0:
        value = -0.1  # 0 alone is fine
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        distiller_of(**{name: value})
    variable = getattr(distiller_of(), name)
    before = float(variable)
    for given in (value, np.float32(value), tf.constant(value)):
        with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
            variable.assign(given)
    with pytest.raises(ValueError, match=rf"`{name}`"):
        variable.assign_sub(100.0)
    assert float(variable) == before


def test_weights_must_not_both_become_zero():
    distiller = distiller_of()
    distiller.soft_weight.assign(0.0)
    with pytest.raises(ValueError, match="must not both be zero"):
        distiller.hard_weight.assign(0.0)
    distiller.hard_weight.assign(1.0)
    assert float(distiller.hard_weight) == 1.0


@pytest.mark.parametrize("value", ("hot", None, [1.0, 2.0]))
def test_a_temperature_is_one_number(value):
    with pytest.raises((ValueError, TypeError)):
        distiller_of(temperature=value)
    with pytest.raises((ValueError, TypeError)):
        distiller_of().temperature.assign(value)


def test_they_are_assigned_within_a_graph_too():
    distiller = distiller_of()

    @tf.function
    def halve():
        distiller.temperature.assign(distiller.temperature * 0.5)

    halve()
    assert float(distiller.temperature) == 2.0


@pytest.mark.slow
def test_best_weights_come_back_without_old_hyperparameters():
    """`EarlyStopping` puts the model's weights back, and nothing else."""
    distiller = distiller_of(hard_weight=0.5)
    distiller.compile(keras.optimizers.SGD(1e-3))
    assert len(distiller.weights) == len(distiller.student.weights)
    annealing = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: distiller.temperature.assign(
            4.0 - epoch
        )
    )
    # Every epoch is worse, so that the first one's weights come back.
    worse = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(worse=epoch)
    )
    stopping = keras.callbacks.EarlyStopping(
        "worse", mode="min", patience=5, restore_best_weights=True
    )
    distiller.fit(
        nets.inputs(),
        nets.labels(),
        epochs=3,
        verbose=0,
        callbacks=[annealing, worse, stopping],
    )
    assert stopping.best_epoch == 0
    assert float(distiller.temperature) == 2.0


def test_a_weights_file_says_what_it_brings_back(tmp_path):
    distiller = distiller_of()
    distiller.save_weights(tmp_path / "same.weights.h5")
    distiller.load_weights(tmp_path / "same.weights.h5")  # nothing to say
    distiller.temperature.assign(2.0)
    with pytest.warns(UserWarning, match=r"temperature from 2 to 4\. That"):
        distiller.load_weights(tmp_path / "same.weights.h5")
    assert float(distiller.temperature) == 4.0


@pytest.mark.filterwarnings("error:A file of a Distiller")
def test_a_whole_model_brings_them_back_as_it_should(tmp_path):
    distiller = distiller_of(soft_weight=1.0, hard_weight=0.0)
    distiller.hard_weight.assign(0.5)
    distiller.soft_weight.assign(0.0)
    distiller.temperature.assign(3.0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    found = [loaded.temperature, loaded.soft_weight, loaded.hard_weight]
    assert [float(value) for value in found] == [3.0, 0.0, 0.5]


def test_they_cannot_be_replaced():
    with pytest.raises(AttributeError, match=r"distiller\.temperature\.assign"):
        distiller_of().temperature = 2.0

"""kdtf._training.fit_loops: what `fit` and its kin add to Keras's."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, stores

WAYS = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "many steps": {"jit_compile": True, "steps_per_execution": 3},
}
SLOW_WAYS = (
    "eager",
    "graph",
    pytest.param("xla", marks=pytest.mark.slow),
    pytest.param("many steps", marks=pytest.mark.slow),
)


def compiled(student, teacher=None, *, temperature=2.0, **kwargs):
    distiller = kdtf.Distiller(student, teacher, temperature=temperature)
    distiller.compile(keras.optimizers.SGD(0.1), **kwargs)
    return distiller


def tempered(directory, temperature):
    """A data set with soft targets that hold for one temperature."""
    ensemble = kdtf.Ensemble([nets.linear(3), nets.linear(4)])
    store = stores.write(directory, ensemble, temperature=temperature)
    joined = store.join(stores.dataset(None))
    return joined.shuffle(8).batch(4)


@pytest.mark.slow
@pytest.mark.parametrize("way", SLOW_WAYS)
def test_targets_of_another_temperature_are_refused(tmp_path, way):
    """Student equal to teacher would have a loss of about 1, not of 0."""
    data = tempered(tmp_path, 1.0)
    message = r"`temperature`.*made at, 1:.*temperature=20"
    other = compiled(nets.linear(), temperature=20.0, **WAYS[way])
    before = nets.values(other.student)
    with pytest.raises(ValueError, match=message):
        other.fit(data, verbose=0)
    with pytest.raises(ValueError, match=message):
        other.evaluate(data, verbose=0)
    for old, new in zip(before, nets.values(other.student), strict=True):
        np.testing.assert_array_equal(old, new)
    same = compiled(nets.linear(), temperature=1.0, **WAYS[way])
    same.fit(data, validation_data=data, verbose=0)
    same.temperature.assign(20.0)
    with pytest.raises(ValueError, match=message):
        same.fit(data, verbose=0)
    with pytest.raises(ValueError, match=message):
        same.evaluate(data, verbose=0)


@pytest.mark.slow
def test_a_temperature_assigned_during_fit_is_refused(tmp_path):
    distiller = compiled(nets.linear(), temperature=1.0, jit_compile=True)
    anneal = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: distiller.temperature.assign(
            1.0 + epoch
        )
    )
    with pytest.raises(ValueError, match="temperature=2"):
        distiller.fit(
            tempered(tmp_path, 1.0), epochs=2, callbacks=[anneal], verbose=0
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", ("train_on_batch", "test_on_batch"))
def test_a_batch_of_another_temperature_is_refused(tmp_path, method):
    [batch] = tempered(tmp_path, 1.0).take(1)
    distiller = compiled(nets.linear(), temperature=1.0)
    getattr(distiller, method)(*batch)
    distiller.temperature.assign(2.0)
    with pytest.raises(ValueError, match="temperature=2"):
        getattr(distiller, method)(*batch)


def test_top_k_of_another_temperature_is_refused(tmp_path):
    store = stores.write(tmp_path, temperature=2.0, top_k=2)
    data = store.join(stores.dataset())
    distiller = compiled(nets.linear(), temperature=3.0)
    with pytest.raises(ValueError, match=r"made at, 2:.*temperature=3"):
        distiller.fit(data, verbose=0)


@pytest.mark.slow
def test_logits_of_any_temperature_stay_free(tmp_path):
    data = stores.write(tmp_path).join(stores.dataset())
    distiller = compiled(nets.linear(), temperature=3.0)
    for temperature in (3.0, 1.0):
        distiller.temperature.assign(temperature)
        history = distiller.fit(data, verbose=0)
        assert np.isfinite(history.history["soft_loss"]).all()


HEAVY = dict.fromkeys(range(4), 5.0)


def trained(distiller, class_weight):
    """The weights after an epoch from the same start."""
    distiller.student.set_weights(nets.linear().get_weights())
    distiller.fit(
        nets.inputs(),
        nets.labels(),
        class_weight=class_weight,
        batch_size=4,
        shuffle=False,
        verbose=0,
    )
    return nets.values(distiller.student)


@pytest.fixture(scope="module")
def trained_alone():
    """Function from class weights to what their first and only fit makes."""

    def train(class_weight):
        distiller = compiled(nets.linear(), nets.linear(7), run_eagerly=True)
        return trained(distiller, class_weight)

    return {None: train(None), "heavy": train(HEAVY)}.get


@pytest.mark.slow
@pytest.mark.parametrize("way", SLOW_WAYS)
def test_every_fit_uses_its_own_class_weight(way, trained_alone):
    """Compiled steps hold the weights that they were traced with."""
    distiller = compiled(nets.linear(), nets.linear(7), **WAYS[way])
    trained(distiller, {0: 1.0})
    for class_weight in (HEAVY, None, HEAVY):
        for ours, alone in zip(
            trained(distiller, class_weight),
            trained_alone(class_weight and "heavy"),
            strict=True,
        ):
            np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-7)


def warnings_of_shuffle(model, **asked):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        data = stores.dataset()
        if not isinstance(model, kdtf.Distiller):
            data = data.map(lambda x, y: (x, tf.one_hot(y, 4)))
        model.fit(data, verbose=0, **asked)
    return len([w for w in found if "shuffle=True" in str(w.message)])


@pytest.mark.slow
@pytest.mark.parametrize("steps", (1, 3))
def test_a_shuffle_that_cannot_be_is_warned_of_as_in_keras(steps):
    """Once, if it was asked for; Keras 3.12 does not warn at all."""
    distiller = compiled(
        nets.linear(),
        nets.linear(7),
        jit_compile=True,
        steps_per_execution=steps,
    )
    plain = nets.linear()
    plain.compile("sgd", "mse")
    # Without being asked, plain Keras warns of its own default.
    assert warnings_of_shuffle(distiller) == 0
    as_in_keras = warnings_of_shuffle(plain, shuffle=True)
    assert warnings_of_shuffle(distiller, shuffle=True) == as_in_keras


@pytest.mark.slow
def test_shuffle_may_be_given_by_position():
    distiller = compiled(nets.linear(), nets.linear(7))
    data = stores.dataset()
    positional = (None, None, 1, 0, None, 0.0, None, False)
    history = distiller.fit(data, *positional)
    assert np.isfinite(history.history["loss"]).all()
    assert isinstance(data, tf.data.Dataset)


@pytest.mark.slow
@pytest.mark.parametrize("way", SLOW_WAYS)
def test_what_is_wrong_with_soft_targets_is_said_first(tmp_path, way):
    store = stores.write(tmp_path)
    distiller = compiled(nets.linear(), **WAYS[way])
    others = store.join(stores.dataset().map(lambda x, y: (x + 1, y)))
    some = stores.dataset().take(3).filter(lambda *_: True)
    (shard, *_) = sorted(tmp_path.glob("*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[-10] ^= 1
    for data, message in (
        (others, "^`dataset` must be the one that was written.*example 0 "),
        (store.join(some), "^`x` must have as many elements"),
        (store.join(stores.dataset()), "^`x` must come from files as they"),
    ):
        if "files" in message:
            shard.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            distiller.fit(data, verbose=0)
        with pytest.raises(ValueError, match=message):
            distiller.evaluate(data, verbose=0)

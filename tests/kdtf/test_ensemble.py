"""kdtf.Ensemble against the mean of probabilities in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference

WEIGHTS = (0.2, 0.5, 0.3)


def members():
    """Three nets of different architectures and dtypes."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = nets.linear(3)
    finally:
        keras.config.set_dtype_policy("float32")
    return [nets.linear(1), nets.deep(2), half]


def outputs(models, x):
    return [tf.cast(m(x), tf.float64).numpy() for m in models]


@pytest.mark.parametrize("weights", (None, WEIGHTS))
@pytest.mark.parametrize("temperature", (0.5, 1.0, 4.0, 1000.0))
@pytest.mark.parametrize("scale", (1.0, 100.0))
def test_arithmetic_mean_of_tempered_probabilities(weights, temperature, scale):
    models, x = members(), nets.inputs() * scale
    ensemble = kdtf.Ensemble(models, weights=weights)
    parts = [reference.softmax(v, temperature) for v in outputs(models, x)]
    expected = np.average(parts, axis=0, weights=weights)
    u = np.asarray(ensemble.tempered_logits(x, temperature), np.float64)
    assert np.isfinite(u).all()
    np.testing.assert_allclose(
        reference.softmax(u, temperature), expected, atol=1e-5
    )


@pytest.mark.parametrize("weights", (None, WEIGHTS))
def test_geometric_mean_is_the_mean_of_logits_at_any_temperature(weights):
    models, x = members(), nets.inputs()
    ensemble = kdtf.Ensemble(models, combine="geometric", weights=weights)
    expected = np.average(outputs(models, x), axis=0, weights=weights)
    for temperature in (0.5, 1.0, 20.0):
        u = ensemble.tempered_logits(x, temperature)
        np.testing.assert_allclose(u, expected, rtol=1e-4, atol=1e-5)


def test_called_it_gives_the_combination_at_temperature_1():
    ensemble, x = kdtf.Ensemble(members()), nets.inputs()
    np.testing.assert_array_equal(ensemble(x), ensemble.tempered_logits(x, 1.0))
    assert ensemble(x).dtype == tf.float32
    np.testing.assert_allclose(
        ensemble.predict(x, verbose=0), ensemble(x), rtol=1e-5, atol=1e-5
    )


def test_weights_are_normalised():
    x = nets.inputs()
    one = kdtf.Ensemble(members(), weights=WEIGHTS)
    other = kdtf.Ensemble(members(), weights=[10 * w for w in WEIGHTS])
    assert other.weights_of_members == pytest.approx(list(WEIGHTS))
    np.testing.assert_allclose(one(x), other(x), rtol=1e-5)


def test_members_that_are_sure_of_different_classes():
    """Where every probability underflows but one a member."""
    sure = [nets.linear(i) for i in (1, 2)]
    for i, net in enumerate(sure):
        net.layers[0].kernel.assign(np.zeros((5, 4)))
        net.layers[0].bias.assign(np.eye(4)[i] * 1e4)
    u = kdtf.Ensemble(sure)(nets.inputs(1))
    np.testing.assert_allclose(
        reference.softmax(u), [[0.5, 0.5, 0, 0]], atol=1e-6
    )
    assert np.isfinite(u).all()


def test_members_run_in_inference_mode():
    ensemble = kdtf.Ensemble([nets.deep(0, dropout=0.5)])
    before = nets.values(ensemble)
    x = nets.inputs()
    np.testing.assert_array_equal(ensemble(x, training=True), ensemble(x))
    for old, new in zip(before, nets.values(ensemble), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("combine", ("arithmetic", "geometric"))
def test_saved_and_loaded(tmp_path, combine):
    ensemble = kdtf.Ensemble(members(), combine=combine, weights=WEIGHTS)
    x = nets.inputs()
    ensemble(x)
    ensemble.save(tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_array_equal(loaded(x), ensemble(x))
    assert loaded.combine == combine
    assert loaded.weights_of_members == ensemble.weights_of_members
    assert len(loaded.members) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"members": []}, "`members` must be a non-empty list"),
        ({"members": ["net"]}, r"`members`.*Received: \['net'\]"),
        ({"combine": "mean"}, r"`combine`.*Received: combine='mean'"),
        ({"weights": [1.0]}, r"`weights` must be 2.*Received: weights=\[1.0\]"),
        ({"weights": [1.0, -1.0]}, "`weights` must be 2 positive"),
        ({"weights": [1.0, float("nan")]}, "`weights` must be 2 positive"),
    ),
)
def test_bad_arguments(arguments, message):
    given = {"members": [nets.linear(1), nets.linear(2)], **arguments}
    with pytest.raises(ValueError, match=message):
        kdtf.Ensemble(**given)


def test_members_of_different_class_counts_are_refused():
    wide = keras.Sequential([keras.Input((5,)), keras.layers.Dense(9)])
    with pytest.raises(ValueError, match=r"members of \[4, 9\] classes"):
        kdtf.Ensemble([nets.linear(), wide])

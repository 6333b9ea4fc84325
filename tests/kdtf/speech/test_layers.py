"""kdtf.speech.layers: models that take waveforms, saved and reloaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf import speech


def model_of(samples=None):
    waveforms = keras.Input((samples,))
    x = speech.LogMel(8000)(waveforms)
    mean, variance = np.linspace(-8, 0, 40), np.linspace(1, 9, 40)
    x = keras.layers.Normalization(mean=mean, variance=variance)(x)
    x = speech.ContextWindows()(x)
    return keras.Model(waveforms, keras.layers.Dense(7)(x))


def by_functions(model, waveform):
    """The same model, from functions and numpy."""
    energies = speech.log_mel(waveform, sample_rate=8000).numpy()
    mean, variance = np.linspace(-8, 0, 40), np.linspace(1, 9, 40)
    frames = (energies - mean) / np.sqrt(variance)
    windows = speech.context_windows(frames).numpy().reshape(len(frames), -1)
    kernel, bias = model.layers[-1].get_weights()
    return windows @ kernel + bias


def waveform_of(samples, seed=0):
    rng = np.random.default_rng(seed)
    return (0.1 * rng.normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("samples", (200, 2000))
def test_layers_are_the_functions(samples):
    model, waveform = model_of(), waveform_of(samples)
    actual = model(waveform[None])[0]
    np.testing.assert_allclose(actual, by_functions(model, waveform), atol=1e-3)


def test_static_shapes():
    assert model_of().output.shape == (None, None, 7)
    assert model_of(8000).output.shape == (None, 98, 7)
    assert speech.ContextWindows(1, 2)(np.zeros((2, 9, 5))).shape == (2, 9, 20)


@pytest.mark.slow
def test_saved_and_reloaded(tmp_path):
    model = model_of()
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "export", verbose=False)
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    served = tf.saved_model.load(str(tmp_path / "export"))
    for samples in (200, 3333):
        waveform = waveform_of(samples)[None]
        expected = model(waveform)
        np.testing.assert_array_equal(reloaded(waveform), expected)
        np.testing.assert_allclose(served.serve(waveform), expected, atol=1e-4)


def test_configs():
    for layer, inputs, shape in (
        (speech.LogMel(16000, bands=20, name="a"), (1, 800), (1, 3, 20)),
        (speech.ContextWindows(3, 4, name="b"), (1, 9, 5), (1, 9, 40)),
    ):
        copy = type(layer).from_config(layer.get_config())
        assert copy.name == layer.name
        assert layer(np.zeros(inputs)).shape == shape
        assert copy(np.zeros(inputs)).shape == shape
        assert copy.compute_output_shape(inputs) == shape


def test_energies_in_float32_under_mixed_precision():
    waveform = waveform_of(2000)[None] * 1e-3
    expected = speech.LogMel(8000)(waveform)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = speech.LogMel(8000)
        actual = layer(waveform)
    finally:
        keras.config.set_dtype_policy(before)
    assert actual.dtype == tf.float32
    np.testing.assert_array_equal(actual, expected)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`sample_rate` must"):
        speech.LogMel(80)
    with pytest.raises(ValueError, match="`bands` must"):
        speech.LogMel(8000, bands=0)
    with pytest.raises(ValueError, match="`before` must"):
        speech.ContextWindows(before=-1)

"""kdtf.speech.features: against energies in float64 and windows by loops."""

import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

from kdtf import speech
from kdtf.speech import features


def hertz_to_mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def reference_log_mel(waveform, rate, bands=40):
    """By definition, frame by frame and band by band, in float64."""
    window, step = round(0.025 * rate), round(0.010 * rate)
    # Zero padding changes the frequencies of the bins, so it is part of the
    # definition.
    padded = {8000: 256, 11025: 512, 16000: 512, 44100: 2048}[rate]
    # The periodic Hann window.
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    corners = np.linspace(hertz_to_mel(64), hertz_to_mel(rate / 2), bands + 2)
    bins = hertz_to_mel(np.fft.rfftfreq(padded, 1 / rate))
    rows = []
    for start in range(0, len(waveform) - window + 1, step):
        cut = waveform[start : start + window] * hann
        power = np.abs(np.fft.rfft(cut, padded)) ** 2
        triangles = [
            np.interp(bins, corners[b : b + 3], [0, 1, 0]) @ power
            for b in range(bands)
        ]
        rows.append(np.log(np.array(triangles) + 1e-7))
    return np.array(rows)


def waveform_of(rate, seconds=0.3, seed=0):
    """A falling tone in noise, within [-1, 1]."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(rate * seconds)) / rate
    tone = 0.5 * np.sin(2 * np.pi * (900 - 800 * t) * t)
    return tone + 0.01 * rng.normal(size=len(t))


@pytest.mark.parametrize("rate", (8000, 11025, 16000, 44100))
def test_log_mel_is_the_definition(rate):
    waveform = waveform_of(rate)
    expected = reference_log_mel(waveform, rate)
    actual = speech.log_mel(waveform, sample_rate=rate)
    assert actual.dtype == tf.float32
    assert len(expected) == speech.num_frames(len(waveform), rate)
    np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_16_bit_samples_of_any_integer_dtype():
    samples = np.round(waveform_of(8000) * 20000).astype(np.int16)
    expected = speech.log_mel(samples / 32768, sample_rate=8000)
    for dtype in (np.int16, np.int32, np.int64):
        actual = speech.log_mel(samples.astype(dtype), sample_rate=8000)
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_tone_is_in_its_band_and_silence_at_the_floor():
    corners = np.linspace(hertz_to_mel(64), hertz_to_mel(4000), 42)
    for hertz in (200, 1000, 3000):
        tone = np.sin(2 * np.pi * hertz * np.arange(800) / 8000)
        loudest = np.argmax(speech.log_mel(tone, sample_rate=8000), -1)
        nearest = np.abs(corners[1:-1] - hertz_to_mel(hertz)).argmin()
        assert np.abs(loudest - nearest).max() <= 1
    silence = speech.log_mel(np.zeros(800), sample_rate=8000)
    np.testing.assert_allclose(silence, np.log(1e-7), rtol=1e-5)


@pytest.mark.parametrize("rate", (1000, 4000, 8000, 22050, 48000))
def test_no_band_is_empty(rate):
    noise = np.random.default_rng(0).normal(size=rate // 10)
    energies = speech.log_mel(noise, sample_rate=rate).numpy()
    assert (energies > -10).all()


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (199, 0), (200, 1), (279, 1), (280, 2)]
)
def test_frames_of_short_waveforms(samples, frames):
    assert speech.num_frames(samples, 8000) == frames
    energies = speech.log_mel(np.zeros(samples), sample_rate=8000)
    assert energies.shape == (frames, 40)


def test_batches_graphs_and_pipelines_give_the_same():
    waveforms = np.stack([waveform_of(8000, seed=s) for s in range(3)])
    alone = [speech.log_mel(w, sample_rate=8000) for w in waveforms]
    together = speech.log_mel(waveforms, sample_rate=8000)
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4)
    pipeline = tf.data.Dataset.from_tensor_slices(waveforms).map(
        lambda w: speech.context_windows(speech.log_mel(w, sample_rate=8000))
    )
    for energies, windows in zip(alone, pipeline, strict=True):
        expected = speech.context_windows(energies)
        np.testing.assert_allclose(windows, expected, atol=1e-4)


def test_cepstra_are_cosine_transforms_and_slopes():
    rng = np.random.default_rng(0)
    log_mels = rng.normal(size=(9, 40))
    actual = speech.cepstra(log_mels, coefficients=5).numpy()
    c = scipy.fft.dct(log_mels, norm="ortho")[:, :5]
    c[:, 0] *= np.sqrt(2)  # HTK scales the first like the others
    np.testing.assert_allclose(actual[:, :5], c, atol=1e-5)
    for source, slopes in (
        (c, actual[:, 5:10]),
        (actual[:, 5:10], actual[:, 10:]),
    ):
        padded = np.pad(source, ((2, 2), (0, 0)), mode="edge")
        lines = [
            np.polyfit(np.arange(5), padded[t : t + 5], 1)[0] for t in range(9)
        ]
        np.testing.assert_allclose(slopes, lines, atol=1e-5)
    assert speech.cepstra(log_mels[None]).shape == (1, 9, 39)
    assert speech.cepstra(log_mels[:0]).shape == (0, 39)


def test_statistics_are_those_of_all_frames():
    rng = np.random.default_rng(0)
    clips = [rng.normal(1e4, 0.1, size=(n, 3)) for n in (5, 0, 90, 40)]
    for clip in clips:
        clip[:, 2] = -16.0
    together = np.concatenate(clips)
    mean, deviation = speech.statistics(iter(clips))
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean, together.mean(0))
    np.testing.assert_allclose(
        deviation, [*together[:, :2].std(0), 1.0], rtol=1e-5
    )


def naive_windows(frames, before, after):
    last = len(frames) - 1
    return np.array(
        [
            [
                frames[min(max(t + k, 0), last)]
                for k in range(-before, after + 1)
            ]
            for t in range(len(frames))
        ]
    )


@pytest.mark.parametrize("time", (1, 3, 30))
@pytest.mark.parametrize(("before", "after"), [(20, 5), (0, 0), (2, 7)])
def test_windows_repeat_the_ends(time, before, after):
    frames = np.random.default_rng(0).normal(size=(time, 4)).astype("float32")
    expected = naive_windows(frames, before, after)
    actual = speech.context_windows(frames, before=before, after=after)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(actual[:, before], frames)
    batch = speech.context_windows(
        np.stack([frames, -frames]), before=before, after=after
    )
    np.testing.assert_array_equal(batch, [expected, -expected])


def test_the_21st_of_26_frames_is_the_current_one():
    frames = np.arange(100.0)[:, None]
    window = speech.context_windows(frames)[50, :, 0]
    np.testing.assert_array_equal(window, np.arange(30, 56))


def test_padding_is_never_seen():
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(n, 4)) for n in (7, 30, 1)]
    padded = np.full((3, 30, 4), np.nan)
    for i, clip in enumerate(clips):
        padded[i, : len(clip)] = clip
    windows = speech.context_windows(padded, lengths=[7, 30, 1])
    for i, clip in enumerate(clips):
        expected = speech.context_windows(clip)
        np.testing.assert_array_equal(windows[i, : len(clip)], expected)


def test_windows_of_concatenated_utterances():
    rng = np.random.default_rng(0)
    lengths = np.array([7, 30, 1, 12])
    clips = [rng.normal(size=(n, 4)) for n in lengths]
    expected = np.concatenate([speech.context_windows(c) for c in clips])
    ends = np.cumsum(lengths)
    first, last = (
        np.repeat(ends - lengths, lengths),
        np.repeat(ends - 1, lengths),
    )
    order = rng.permutation(lengths.sum())
    frames = np.concatenate(clips)
    actual = speech.windows_at(frames, order, first[order], last[order])
    np.testing.assert_array_equal(actual, expected[order])
    one = tf.function(speech.windows_at)(frames, 3, 0, 6, before=1, after=4)
    np.testing.assert_array_equal(one, frames[[2, 3, 4, 5, 6, 6]])


@pytest.mark.parametrize("rate", (0, 999, float("nan"), -8000))
def test_bad_sample_rates(rate):
    with pytest.raises(ValueError, match=f"`sample_rate`.*sample_rate={rate}"):
        speech.log_mel(np.zeros(800), sample_rate=rate)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match=r"`bands` must.*bands=0\.5"):
        speech.log_mel(np.zeros(800), sample_rate=8000, bands=0.5)
    with pytest.raises(ValueError, match="`coefficients` must be from 1 to 40"):
        speech.cepstra(np.zeros((3, 40)), coefficients=41)
    for bad in ({"before": -1}, {"after": 2.0}):
        [name] = bad
        with pytest.raises(ValueError, match=f"`{name}` must be an int"):
            speech.context_windows(np.zeros((3, 40)), **bad)
    for clips in ([], [np.zeros((0, 3))]):
        with pytest.raises(
            ValueError, match="`clips` must contain at least one frame"
        ):
            speech.statistics(clips)
    with pytest.raises(ValueError, match="`clips` must be finite"):
        speech.statistics([np.array([[1.0, np.inf]])])
    assert features.framing(11025) == (276, 110)


@pytest.mark.parametrize(
    ("clips", "shape"),
    [
        (np.ones((9, 4)), r"\(4,\)"),  # one clip, and not a list of clips
        ([np.ones((3, 9, 4))], r"\(3, 9, 4\)"),
        ([np.ones((9, 4)), np.ones((9, 1))], r"\(9, 1\), after one of 4"),
        ([np.ones((0, 4)), np.ones((9, 3))], r"\(9, 3\), after one of 4"),
    ],
)
def test_statistics_of_other_shapes_are_refused(clips, shape):
    with pytest.raises(ValueError, match=rf"`clips` must be a.*{shape}"):
        speech.statistics(clips)
    batch = np.random.default_rng(0).normal(size=(3, 9, 4))
    mean, deviation = speech.statistics(batch)  # of clips of one length
    np.testing.assert_allclose(mean, batch.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(deviation, batch.std((0, 1)), rtol=1e-6)


def test_a_sample_rate_that_is_no_number_is_refused():
    """Such as the tensor that tf.audio.decode_wav returns."""
    wave = np.zeros(800, np.float32)
    for rate in (tf.constant(8000), "8000", None, np.inf, np.array([8000])):
        with pytest.raises(ValueError, match=r"`sample_rate` must be a number"):
            speech.log_mel(wave, sample_rate=rate)
    rate = int(tf.constant(8000))
    expected = speech.log_mel(wave, sample_rate=8000)
    for same in (rate, np.int32(8000), np.float32(8000)):
        found = speech.log_mel(wave, sample_rate=same)
        np.testing.assert_array_equal(found, expected)

"""trainers.speech.hearings."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kdtf import speech
from tests import speech_corpora
from trainers.speech import hearings

RATE = 8000
WINDOW, STEP = 200, 80  # 25 and 10 ms
COUNT = 4000
RAMP = (np.arange(COUNT) / COUNT).astype(np.float32)
SAME = hearings.Kind(speed=1.0, loudness=0.0, noise=3000.0)


@pytest.fixture
def frames_of(monkeypatch):
    """Function from a seed and a kind to `(frames, states)` of the ramp.

    A frame is what is in its window, not its energies: samples of the ramp
    tell where they come from. The states are the numbers of the clip's frames.
    """
    monkeypatch.setattr(hearings, "_FAINTEST", 3000.0)
    monkeypatch.setattr(hearings, "_BANDS", WINDOW)
    monkeypatch.setattr(
        speech, "log_mel", lambda frames, **_: tf.expand_dims(frames, 1)
    )
    count = speech.num_frames(COUNT, RATE)

    def hear(seed, **changes):
        heard = hearings.hear(
            tf.constant(RAMP),
            tf.range(count),
            tf.constant([seed, 7]),
            dataclasses.replace(SAME, **changes),
            RATE,
        )
        return [np.array(each, np.float64) for each in heard]

    return hear


def inside(frames):
    """All but the first and the last, where the ramp ends."""
    return frames[1:-1]


def slope(samples):
    return np.diff(samples, axis=-1).mean()


@pytest.mark.parametrize("factor", (1.05, 1.3))
def test_speed_and_start(frames_of, factor):
    speeds, starts = [], []
    for seed in range(30):
        frames, _ = frames_of(seed, speed=factor)
        samples = COUNT * inside(frames)
        speeds.append(slope(samples))
        starts.append(samples[0, 0] - STEP * speeds[-1])
        np.testing.assert_allclose(
            np.diff(samples, axis=1), speeds[-1], atol=0.02
        )
        # Frames are as far apart as ever, and reach to the end of the clip.
        apart = np.diff(samples[:, 0]) / speeds[-1]
        np.testing.assert_allclose(apart, STEP, atol=0.02)
        end = samples[-1, -1] + STEP * speeds[-1]
        assert COUNT - (STEP + 1) * speeds[-1] < end < COUNT
    exponents = np.log(speeds) / np.log(factor)
    assert -1.001 < min(exponents) < -0.7 and 0.7 < max(exponents) < 1.001
    assert 0 <= min(starts) < 0.2 * STEP and 0.8 * STEP < max(starts) < STEP


def test_tempo_moves_the_frames_and_leaves_the_voice(frames_of):
    tempos = []
    for seed in range(30):
        frames, _ = frames_of(seed, tempo=1.2)
        samples = COUNT * inside(frames)
        np.testing.assert_allclose(np.diff(samples, axis=1), 1, atol=0.02)
        tempos.append(np.diff(samples[:, 0]).mean() / STEP)
    exponents = np.log(tempos) / np.log(1.2)
    assert -1.02 < min(exponents) < -0.7 and 0.7 < max(exponents) < 1.02


@pytest.mark.parametrize("seed", range(6))
def test_every_frame_has_the_state_of_the_nearest_of_the_clip(frames_of, seed):
    frames, states = frames_of(seed, speed=1.2, tempo=1.1)
    assert len(states) == len(frames)
    middles = COUNT * frames[:, WINDOW // 2]
    count = speech.num_frames(COUNT, RATE)
    distances = abs(middles[:, None] - (np.arange(count) * STEP + WINDOW / 2))
    nearest = np.sort(distances, 1)
    # A frame begins at a whole sample.
    clear = nearest[:, 1] - nearest[:, 0] > 2.5
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(states[clear], distances.argmin(1)[clear])


@pytest.mark.slow
def test_loudness_noise_and_range(monkeypatch):
    """What becomes of a tone, whose frames are fitted by sine and cosine."""
    monkeypatch.setattr(
        speech, "log_mel", lambda frames, **_: tf.expand_dims(frames, 1)
    )
    monkeypatch.setattr(hearings, "_BANDS", WINDOW)
    turns = 0.1 * np.pi * np.arange(COUNT)
    tone = 0.1 * np.sin(turns)
    shape = np.stack([np.sin(turns[:WINDOW]), np.cos(turns[:WINDOW])]).T
    kind = hearings.Kind(speed=1.0, loudness=6.0, noise=20.0)
    loudness, noise = [], []
    for seed in range(40):
        frames, _ = hearings.hear(
            tf.constant(tone, tf.float32),
            tf.zeros(speech.num_frames(COUNT, RATE), tf.int32),
            tf.constant([seed, 0]),
            kind,
            RATE,
        )
        heard = np.array(frames).T
        fitted = shape @ np.linalg.lstsq(shape, heard, rcond=None)[0]
        power = np.mean(fitted**2)
        loudness.append(10 * np.log10(power / np.mean(tone**2)))
        noise.append(10 * np.log10(power / np.mean((heard - fitted) ** 2)))
    assert -6.1 < min(loudness) < -4.5 and 4.5 < max(loudness) < 6.1
    # From 20 to 50 decibels below the voice.
    assert 19.5 < min(noise) < 24 and 46 < max(noise) < 50.5


def test_high_tones_are_not_lost_between_samples():
    """Half a sample off, a straight line would leave cos(0.4 pi) = 31 %."""
    turns = 2 * np.pi * 0.4 * np.arange(200)
    for start in (0.25, 0.5, 40.75):
        heard = hearings._played(
            tf.constant(np.sin(turns), tf.float32), start, 1.0
        )
        assert len(heard) == 200 - int(np.ceil(start))
        expected = np.sin(2 * np.pi * 0.4 * start + turns[: len(heard)])
        middle = slice(8, -8)
        np.testing.assert_allclose(heard[middle], expected[middle], atol=0.03)


def heard_by_ear(seed, kind):
    corpus = speech_corpora.corpus()
    clip = corpus.used["training"][0]
    states = corpus.training.split(corpus.training.states)[0]
    return hearings.hear(
        tf.constant(corpus.clips.waveforms[clip]),
        tf.constant(states),
        tf.constant([seed, 0]),
        kind,
        corpus.clips.sample_rate,
    )


def test_a_hearing_is_a_function_of_its_seed():
    kind = hearings.Kind(
        speed=1.2, loudness=6.0, noise=10.0, tempo=1.1, colour=0.5
    )
    first, again, other = (heard_by_ear(s, kind)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).numpy().any()


def test_a_frame_sounds_like_the_one_it_is_taken_for():
    """By the states of a clip that are the numbers of its frames."""
    corpus = speech_corpora.corpus()
    clip, rate = corpus.used["training"][0], corpus.clips.sample_rate
    waveform = corpus.clips.waveforms[clip]
    own = np.array(speech.log_mel(waveform, sample_rate=rate))
    kind = dataclasses.replace(SAME, speed=1.15, tempo=1.1)
    heard, places = hearings.hear(
        tf.constant(waveform),
        tf.range(len(own)),
        tf.constant([3, 0]),
        kind,
        rate,
    )
    shuffled = np.random.default_rng(1).permutation(places)
    near, far = (abs(heard - own[p]).numpy().mean() for p in (places, shuffled))
    assert near < far / 2


def test_a_colour_is_the_same_for_all_frames_and_smooth():
    plain, _ = heard_by_ear(3, SAME)
    coloured, _ = heard_by_ear(3, dataclasses.replace(SAME, colour=0.5))
    added = np.array(coloured - plain)
    np.testing.assert_allclose(
        added, np.tile(added[0], (len(added), 1)), atol=1e-4
    )
    # Of the first four cosines over the bands and nothing else.
    bands = (np.arange(40) + 0.5) / 40
    cosines = np.cos(np.pi * np.arange(1, 5)[:, None] * bands)
    left = added[0] - added[0] @ cosines.T @ cosines / 20
    assert abs(left).max() < 1e-3 < 0.1 < abs(added[0]).max()

"""trainers.speech.views."""

import itertools

import numpy as np
import pytest

from kdtf import speech
from tests import speech_corpora
from trainers.speech import views

RATE = 8000
WINDOW, STEP = 200, 80  # 25 and 10 ms
COUNT = 4000
RAMP = (np.arange(COUNT) / COUNT).astype(np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def undisturbed(monkeypatch):
    """Neither noise nor loudness."""
    monkeypatch.setattr(views, "_NOISE", 3000.0)
    monkeypatch.setattr(views, "_FAINTEST", 3000.0)
    monkeypatch.setattr(views, "_LOUDNESS", 0.0)


@pytest.mark.parametrize("spread", (1.0, 4.0))
def test_speed_and_start(undisturbed, spread):
    """A ramp's values tell from which sample they come."""
    speeds, starts = [], []
    for seed in range(40):
        heard, _ = views.augment(RAMP, RATE, spread, rng(seed))
        samples = heard.astype(np.float64) * COUNT
        speed = np.diff(samples).mean()
        np.testing.assert_allclose(np.diff(samples), speed, atol=1e-2)
        # To the end of the clip, and not beyond it.
        assert COUNT - 1 - speed < samples[-1] + 1e-2 and samples[-1] < COUNT
        speeds.append(np.log(speed) / np.log(1.05))
        starts.append(samples[0])
    assert -spread - 1e-3 < min(speeds) < -0.8 * spread
    assert 0.8 * spread < max(speeds) < spread + 1e-3
    assert 0 <= min(starts) < 0.2 * STEP and 0.8 * STEP < max(starts) < STEP


@pytest.mark.parametrize("seed", range(8))
def test_every_frame_is_of_the_nearest_frame_of_the_clip(undisturbed, seed):
    heard, places = views.augment(RAMP, RATE, 3.0, rng(seed))
    assert len(places) == speech.num_frames(len(heard), RATE)
    middles = heard[np.arange(len(places)) * STEP + WINDOW // 2] * COUNT
    frames = np.arange(speech.num_frames(COUNT, RATE))
    distances = abs(middles[:, None] - (frames * STEP + WINDOW / 2))
    nearest = np.sort(distances, 1)
    # Some are half way between two, to the last bit of a float.
    clear = nearest[:, 1] - nearest[:, 0] > 0.1
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(
        np.minimum(places, len(frames) - 1)[clear], distances.argmin(1)[clear]
    )


@pytest.mark.parametrize("spread", (1, 3))
def test_loudness_and_noise(monkeypatch, spread):
    monkeypatch.setattr(views, "_SPEED", 1.0)
    tone = 0.1 * np.sin(2 * np.pi * 0.05 * np.arange(COUNT))
    basis = np.stack(
        [f(0.1 * np.pi * np.arange(COUNT)) for f in (np.sin, np.cos)]
    )
    loudness, noise = [], []
    for seed in range(60):
        heard, _ = views.augment(
            tone.astype(np.float32), RATE, spread, rng(seed)
        )
        shape = basis[:, : len(heard)].T
        fitted = shape @ np.linalg.lstsq(shape, heard, rcond=None)[0]
        power = np.mean(fitted**2)
        loudness.append(10 * np.log10(power / np.mean(tone**2)))
        noise.append(10 * np.log10(power / np.mean((heard - fitted) ** 2)))
    most = 2 * spread
    assert -most - 0.1 < min(loudness) < -0.8 * most
    assert 0.8 * most < max(loudness) < most + 0.1
    assert 30 / spread - 0.5 < min(noise) < 30 / spread + 3
    assert 47 < max(noise) < 51


def test_loud_clips_stay_within_their_range():
    square = np.sign(np.sin(np.arange(COUNT))).astype(np.float32)
    heard = [
        views.augment(square, RATE, 1.0, rng(seed))[0] for seed in range(8)
    ]
    assert max(abs(h).max() for h in heard) == 1.0


def test_the_clips_come_first_and_then_their_views():
    corpus = speech_corpora.corpus()
    clips = len(corpus.training.lengths)
    made = views.transfer_set(corpus, 1.0, 2, 1.0)
    assert len(made.lengths) == 3 * clips
    assert len(made) == len(made.states) == made.lengths.sum()
    as_they_are = slice(0, len(corpus.training))
    for name in ("values", "states"):
        np.testing.assert_array_equal(
            getattr(made, name)[as_they_are], getattr(corpus.training, name)
        )
    # A view takes as long as its clip, but for the speed and its start.
    ratios = made.lengths.reshape(3, clips) / made.lengths[:clips]
    assert (abs(np.log(ratios)) < np.log(1.3)).all() and ratios[1:].std() > 0.01
    # Its states follow each other as its clip's do; a short one may be missed.
    runs = [
        [s for s, _ in itertools.groupby(p)] for p in made.split(made.states)
    ]
    for i, run in enumerate(runs[clips:]):
        rest = iter(runs[i % clips])
        assert all(state in rest for state in run)
        assert len(run) > len(runs[i % clips]) / 2


def test_a_clips_views_are_the_same_whatever_the_share():
    corpus = speech_corpora.corpus()
    few, clips = corpus.nested(0.3), len(corpus.training.lengths)
    of_few = views.transfer_set(corpus, 0.3, 1, 1.0)
    of_all = views.transfer_set(corpus, 1.0, 1, 1.0)
    for name in ("values", "states"):
        some = of_few.split(getattr(of_few, name))
        every = of_all.split(getattr(of_all, name))
        for i, clip in enumerate(few):
            np.testing.assert_array_equal(some[i], every[clip])
            np.testing.assert_array_equal(
                some[len(few) + i], every[clips + clip]
            )


def test_no_view_is_like_another():
    corpus = speech_corpora.corpus()
    made = views.transfer_set(corpus, 1.0, 3, 1.0)
    parts = made.split(made.values)
    assert len({p.tobytes() for p in parts}) == len(parts)


def test_a_frame_sounds_like_the_one_it_is_taken_for(undisturbed):
    """A view's frames sound like those of the clip that they are taken for."""
    corpus = speech_corpora.corpus()
    clip = corpus.used["training"][0]
    waveform = corpus.clips.waveforms[clip]
    heard, places = views.augment(
        waveform, corpus.clips.sample_rate, 3.0, rng(3)
    )
    own, other = (corpus.frames([w]).values for w in (waveform, heard))
    places = np.minimum(places, len(own) - 1)
    shuffled = rng(1).permutation(places)
    near, far = (abs(other - own[p]).mean() for p in (places, shuffled))
    assert near < far / 2

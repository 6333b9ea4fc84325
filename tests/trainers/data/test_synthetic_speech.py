"""trainers.data.synthetic_speech: sound that matches its labels."""

import numpy as np
import pytest

from kdtf import speech
from trainers.data import synthetic_speech

VOICE = synthetic_speech.Voice(pitch=120, formants=1.0, tempo=1.0, level=1.0)


def speak(words, lexicon, seed=0, **settings):
    rng = np.random.default_rng(seed)
    return synthetic_speech.speak(words, lexicon, VOICE, rng, **settings)


def test_clips_depend_on_the_seed_alone():
    settings = {"voices": 2, "recordings": 2}
    first, second, other = (
        synthetic_speech.load(seed=seed, **settings) for seed in (0, 0, 1)
    )
    assert len(first.waveforms) == 2 * 10 * 2
    for a, b in zip(first.waveforms, second.waveforms, strict=True):
        np.testing.assert_array_equal(a, b)
    # Longer sets begin with the same clips.
    more = synthetic_speech.load(seed=0, voices=1, recordings=3)
    np.testing.assert_array_equal(more.waveforms[1], first.waveforms[1])
    lengths = [[len(w) for w in c.waveforms] for c in (first, other)]
    assert lengths[0] != lengths[1]
    assert len(set(lengths[0])) > 20


def test_clips_are_labelled():
    clips = synthetic_speech.load(voices=2, recordings=3)
    assert clips.speaker_names == ["voice0", "voice1"]
    assert clips.words == speech.digits().words
    np.testing.assert_array_equal(np.bincount(clips.labels), [6] * 10)
    assert clips.recordings[:4].tolist() == [0, 1, 2, 0]
    for waveform, states, word in zip(
        clips.waveforms, clips.states, clips.transcripts(), strict=True
    ):
        assert waveform.dtype == np.float32 and np.abs(waveform).max() < 1
        assert len(states) == speech.num_frames(len(waveform), 8000)
        spoken = states[states >= 3]
        # States of two ticks may fall between the middles of two frames.
        [expected] = speech.digits().states(word)
        assert set(spoken) <= set(expected) and (np.diff(spoken) >= 0).all()
        assert len(set(spoken)) >= 0.8 * len(expected)


@pytest.mark.parametrize("sample_rate", (8000, 16000))
def test_boundaries_are_where_the_sound_changes(sample_rate):
    """From silence through S, loud and high, to a vowel, loud and low."""
    lexicon = speech.Lexicon({"saw": ["S AO"]})
    utterances = [
        speak(["saw"], lexicon, seed, sample_rate=sample_rate)
        for seed in range(8)
    ]
    utterances = [u for u in utterances if u.states[0] == 0]
    assert 3 < len(utterances) < 8  # some begin without silence
    for utterance in utterances:
        starts = dict(zip(utterance.states, utterance.starts, strict=True))
        s, vowel = starts[3], starts[6]
        # Away from the 15 ms in which sounds glide into each other.
        edge = round(0.01 * sample_rate)
        power = [
            np.mean(utterance.waveform[a + edge : b - edge] ** 2)
            for a, b in ((0, s), (s, vowel), (vowel, vowel + 8 * edge))
        ]
        assert power[0] < 0.1 * power[1] and power[0] < 0.1 * power[2]

        def centre(a, b, utterance=utterance):
            spectrum = np.abs(np.fft.rfft(utterance.waveform[a:b])) ** 2
            return (
                np.fft.rfftfreq(b - a, 1 / sample_rate)
                @ spectrum
                / (spectrum.sum())
            )

        assert centre(s + edge, vowel - edge) > 3000
        assert centre(vowel + edge, vowel + 8 * edge) < 1200


def test_frame_states_are_those_in_the_middle_of_the_frames():
    utterance = synthetic_speech.Utterance(
        np.zeros(1000, np.float32),
        states=np.array([0, 7, 8], np.int32),
        starts=np.array([0, 180, 421]),
        sample_rate=8000,
    )
    # Middles at samples 100, 180, 260, 340, 420, 500, ...
    expected = [0, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8]
    np.testing.assert_array_equal(utterance.frame_states(), expected)


@pytest.mark.parametrize("snr", (0.0, 20.0))
def test_noise_has_the_given_signal_to_noise_ratio(snr):
    lexicon = speech.Lexicon({"a": ["AA"]})
    clean, noisy = (
        speak(["a"], lexicon, snr=level).waveform for level in (np.inf, snr)
    )
    noise = noisy - clean
    found = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
    assert found == pytest.approx(snr, abs=0.5)


def test_pitch_and_formants_are_those_of_the_voice():
    lexicon = speech.Lexicon({"a": ["AA"]})
    slow = synthetic_speech.Voice(100, 1.0, 20.0, 1.0)
    rng = np.random.default_rng(0)
    utterance = synthetic_speech.speak(["a"], lexicon, slow, rng, snr=np.inf)
    start = dict(zip(utterance.states, utterance.starts, strict=True))[4]
    vowel = utterance.waveform[start : start + 2000]
    spectrum = np.abs(np.fft.rfft(vowel * np.hanning(2000), 16000))
    peak = np.argmax(spectrum) / 2  # hertz
    assert abs(peak - 730) < 100  # AA's first formant, to the next harmonic
    # Harmonics repeat with the period of the pitch: 10 ms, give or take 15 %.
    correlation = np.correlate(vowel, vowel, "full")[2000:]
    assert 8.5 < (np.argmax(correlation[50:120]) + 51) / 8 < 11.8


def test_every_clip_is_drawn_independently():
    """Whether one begins with silence depends on voice, word and recording."""
    clips = synthetic_speech.load(voices=2, recordings=4)
    silent = np.reshape([states[0] < 3 for states in clips.states], (2, 10, 4))
    assert 0.6 < silent.mean() < 0.95
    for axis in range(3):
        assert (silent != np.roll(silent, 1, axis)).any()


def test_strings_of_words():
    lexicon = speech.digits()
    utterance = speak(["one", "two"], lexicon)
    order = [s for s in utterance.states if s >= 3]
    assert order == [*lexicon.states("one")[0], *lexicon.states("two")[0]]
    assert (np.diff(utterance.starts) >= 80).all()  # 10 ms


def test_voices_differ_and_stay_the_same():
    voices = [synthetic_speech.voice_of(k) for k in range(6)]
    assert len(set(voices)) == 6
    assert voices[3] == synthetic_speech.voice_of(3)
    assert voices[0] != synthetic_speech.voice_of(0, seed=1)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`phone` must be one.*phone='AH0'"):
        synthetic_speech.load(speech.Lexicon({"a": ["AH0"]}))
    for name in ("voices", "recordings"):
        with pytest.raises(ValueError, match=f"`{name}` must be.*{name}=0"):
            synthetic_speech.load(**{name: 0})
    with pytest.raises(ValueError, match="which it lacks"):
        speak(["ten"], speech.digits())

"""trainers.speech.utterances."""

import collections

import numpy as np

from tests import speech_corpora
from trainers.speech import utterances


def test_strings_of_one_speaker_and_of_three_to_seven_clips():
    speakers = np.array(["b", "a"] * 30)
    clips = np.arange(10, 60)
    found = utterances.strings(speakers, clips, "test")
    assert found == utterances.strings(speakers, clips, "test")
    used = collections.Counter(i for chain in found for i in chain)
    for chain in found:
        assert 3 <= len(chain) <= 7 and len(set(chain)) == len(chain)
        assert len(set(speakers[list(chain)])) == 1
    # Each of four times, or left over then, two of them at most.
    assert set(used) == set(clips.tolist()) and max(used.values()) == 4
    assert sum(used.values()) >= 4 * (50 - 2 * 2)


def test_noise_is_as_loud_as_asked_for():
    rng = np.random.default_rng(0)
    voice = np.sin(np.arange(20_000) / 7).astype(np.float32)
    assert utterances.add_noise(voice, None, rng) is voice
    for snr in (20.0, -5.0):
        noise = utterances.add_noise(voice, snr, rng) - voice
        # 10 log10 of the ratio of mean powers; 20,000 draws are within 0.1.
        found = 10 * np.log10(np.mean(voice**2) / np.mean(noise**2))
        assert abs(found - snr) < 0.1


def test_conditions():
    corpus = speech_corpora.corpus()
    found = utterances.conditions(corpus, "test", (10.0,))
    assert list(found) == [
        "isolated, clean",
        "isolated, 10 dB",
        "connected, clean",
        "connected, 10 dB",
    ]
    isolated = found["isolated, clean"]
    assert isolated.isolated and not found["connected, clean"].isolated
    # Computed twice: on some processors sums depend on how memory is aligned.
    np.testing.assert_allclose(
        isolated.frames.values, corpus.test.values, rtol=1e-6, atol=1e-6
    )
    transcripts = corpus.clips.transcripts()
    assert isolated.words == [(transcripts[i],) for i in corpus.used["test"]]
    assert found["connected, clean"].words == found["connected, 10 dB"].words
    noisy = found["isolated, 10 dB"].frames
    assert noisy.lengths.tolist() == isolated.frames.lengths.tolist()
    assert (noisy.values != isolated.frames.values).mean() > 0.9


def test_too_few_clips_for_a_string():
    assert utterances.strings(np.array(["a", "a"]), np.arange(2), "test") == []

"""kdtf.speech.alignment: likelihoods rise, known states are recovered."""

import numpy as np
import pytest

from kdtf import speech
from tests.kdtf.speech import reference
from trainers.data import synthetic_speech

LEXICON = speech.Lexicon({"ab": ["A B"], "ba": ["B A"], "c": ["C", "D C"]})


def clips_of(seed, count=40, noise=0.7, lexicon=LEXICON, words_a_clip=1):
    """Clips of five features, their words and their states.

    Each state has its own mean; silence is quiet in the first feature.
    """
    means = np.random.default_rng(0).normal(size=(lexicon.num_states, 5)) * 2
    means[:, 0] = 3.0
    means[:3, 0] = -3.0
    rng = np.random.default_rng(seed)
    clips, transcripts, truth = [], [], []
    for _ in range(count):
        words = tuple(rng.choice(lexicon.words, words_a_clip))
        states = [*(0, 1, 2) * rng.integers(2)]
        for word in words:
            ways = lexicon.states(word)
            states += [
                *ways[rng.integers(len(ways))],
                *(0, 1, 2) * rng.integers(2),
            ]
        states = np.repeat(states, rng.integers(1, 6, len(states)))
        clips.append(means[states] + noise * rng.normal(size=(len(states), 5)))
        transcripts.append(words[0] if words_a_clip == 1 else words)
        truth.append(states)
    return clips, transcripts, truth


@pytest.mark.parametrize(
    ("sharing", "words_a_clip"), [("none", 1), ("position", 1), ("none", 2)]
)
def test_the_likelihood_never_falls_and_settles(sharing, words_a_clip):
    ways = {"ab": ["A B"], "ba": ["B A"], "c": ["C", "D C"]}
    lexicon = speech.Lexicon(ways, sharing=sharing)
    clips, transcripts, _ = clips_of(
        1, count=30, noise=2.0, lexicon=lexicon, words_a_clip=words_a_clip
    )
    model, alignment = speech.train_hmms(
        clips, transcripts, lexicon, tolerance=2e-3
    )
    assert len(model.history) == 3  # for 1, 2 and 4 components
    for gains in model.history:
        assert len(gains) > 2 and (np.diff(gains) > -1e-9).all()
        assert gains[-1] - gains[-2] <= 2e-3 < gains[-2] - gains[-3]
    assert model.history[-1][-1] > model.history[0][-1]
    assert alignment.log_likelihood == model.history[-1][-1]
    assert model.mixtures.means.shape[1] == 4


def test_states_are_the_best_path_of_the_model():
    """By densities and transitions of the model, no other path is better."""
    clips, transcripts, _ = clips_of(2)
    model, alignment = speech.train_hmms(
        clips, transcripts, LEXICON, components=2
    )
    total = 0
    for clip, word, states in zip(
        clips, transcripts, alignment.states, strict=True
    ):
        assert states.dtype == np.int32 and len(states) == len(clip)
        if len(clip) > 14:
            continue  # too many paths
        value, best = reference.best_string(
            [word], LEXICON, model.log_likelihoods(clip), model.stay
        )
        np.testing.assert_array_equal(states, best)
        one = model.align([clip], [word])
        np.testing.assert_array_equal(one.states[0], best)
        assert one.log_likelihood == pytest.approx(value / len(clip))
        total += 1
    assert total > 3
    again = model.align(clips, transcripts)
    assert again.log_likelihood == alignment.log_likelihood


@pytest.mark.parametrize("words_a_clip", (1, 3))
@pytest.mark.parametrize(
    ("sharing", "ways"), [("none", ["C A"]), ("position", ["C A", "A C B"])]
)
def test_states_are_recovered(sharing, ways, words_a_clip):
    lexicon = speech.Lexicon(
        {"ab": ["A B"], "ba": ["B A"], "c": ways}, sharing=sharing
    )
    clips, transcripts, truth = clips_of(
        3, count=100, lexicon=lexicon, words_a_clip=words_a_clip
    )
    _, alignment = speech.train_hmms(clips, transcripts, lexicon, components=1)
    right = np.concatenate(alignment.states) == np.concatenate(truth)
    # A flat start may settle with shifted neighbours; chance gives 1 in 20.
    assert right.mean() > 0.7


def test_nothing_is_random():
    clips, transcripts, _ = clips_of(4)
    first, second = (
        speech.train_hmms(clips, transcripts, LEXICON) for _ in range(2)
    )
    assert first[0].history == second[0].history
    for a, b in zip(first[1].states, second[1].states, strict=True):
        np.testing.assert_array_equal(a, b)


def phone_starts(states):
    """The frame with which each phone of a word begins, silence left out."""
    phones = states // 3
    return {p: np.flatnonzero(phones == p)[0] for p in set(phones) - {0}}


def test_boundaries_of_synthetic_speech():
    lexicon = speech.digits()
    clips = synthetic_speech.load(lexicon, voices=2, recordings=3)
    cepstra = [
        speech.cepstra(speech.log_mel(w, sample_rate=8000)).numpy()
        for w in clips.waveforms
    ]
    mean, deviation = speech.statistics(cepstra)
    cepstra = [(c - mean) / deviation for c in cepstra]
    model, alignment = speech.train_hmms(
        cepstra, clips.transcripts(), lexicon, components=1
    )
    errors = []
    for states, truth in zip(alignment.states, clips.states, strict=True):
        found, known = phone_starts(states), phone_starts(truth)
        assert set(found) == set(known)
        errors += [abs(found[p] - known[p]) for p in known]
    assert np.median(errors) <= 2 and np.mean(errors) < 3
    silent = [np.concatenate(s) < 3 for s in (alignment.states, clips.states)]
    assert (silent[0] == silent[1]).mean() > 0.9
    words = speech.decode(
        [model.log_likelihoods(c) for c in cepstra],
        lexicon,
        isolated=True,
        stay=model.stay,
    )
    wrong = np.array(clips.transcripts()) != np.array(words)[:, 0]
    assert wrong.mean() < 0.05


def test_transitions_are_counted():
    """With four frames per state, a path stays three times out of four."""
    means = np.random.default_rng(0).normal(size=(9, 4)) * 9
    means[:, 0] = 0  # nothing is quiet
    clips = [
        np.repeat(means[3:], 4, axis=0)
        + np.random.default_rng(k).normal(size=(24, 4))
        for k in range(5)
    ]
    model, _ = speech.train_hmms(
        clips, ["ab"] * 5, speech.Lexicon({"ab": ["A B"]}), components=1
    )
    np.testing.assert_allclose(model.stay, [0.5] * 3 + [0.75] * 6)


def bad_clips():
    """Good clips, then one of each kind that cannot be aligned."""
    clips, transcripts, _ = clips_of(5)
    broken = clips[0].copy()
    broken[2, 1] = np.nan
    clips += [np.zeros((5, 5)), np.full((30, 5), -16.0), broken, np.zeros(30)]
    return clips, [*transcripts, "ab", "ab", "ab", "ab"]


def test_clips_that_cannot_be_aligned_are_skipped_and_counted():
    clips, transcripts = bad_clips()
    model, alignment = speech.train_hmms(
        clips, transcripts, LEXICON, components=1, skip_unusable=True
    )
    assert alignment.skipped == {
        40: "5 frames, fewer than the 6 states",
        41: "silent: all frames are equal",
        42: "not finite",
        43: "must be [time, features], is of shape (30,)",
    }
    assert [i for i, s in enumerate(alignment.states) if s is None] == [
        *range(40, 44)
    ]
    _, good = speech.train_hmms(
        clips[:40], transcripts[:40], LEXICON, components=1
    )
    assert good.log_likelihood == alignment.log_likelihood
    again = model.align(clips[38:], transcripts[38:], skip_unusable=True)
    assert sorted(again.skipped) == [2, 3, 4, 5]


@pytest.mark.parametrize("level", (0.0, 1e-6))
def test_a_waveform_of_silence_is_recognised(level):
    """Also after normalisation; a constant offset is silence too."""
    waveform = np.full(8000, level, np.float32)
    frames = speech.cepstra(speech.log_mel(waveform, sample_rate=8000)).numpy()
    lexicon = speech.digits()
    for clip in (frames, (frames - frames.mean(0)) / 3.0):
        with pytest.raises(ValueError, match="'one': silent: all frames are"):
            speech.train_hmms([clip], ["one"], lexicon)


@pytest.mark.parametrize("bad", range(40, 44))
def test_clips_that_cannot_be_aligned_are_refused(bad):
    clips, transcripts = bad_clips()
    chosen = [*range(5), bad]
    with pytest.raises(
        ValueError, match=r"`clips` must be alignable.*clip 5, 'ab': "
    ):
        speech.train_hmms(
            [clips[i] for i in chosen],
            [transcripts[i] for i in chosen],
            LEXICON,
        )


def test_other_bad_arguments():
    clips, transcripts, _ = clips_of(6, count=3)
    with pytest.raises(ValueError, match=r"`components`.*components=3"):
        speech.train_hmms(clips, transcripts, LEXICON, components=3)
    with pytest.raises(ValueError, match="`transcripts` must be as many"):
        speech.train_hmms(clips, transcripts[:2], LEXICON)
    with pytest.raises(ValueError, match="Received: ten, which it lacks"):
        speech.train_hmms(clips, ["ten"] * 3, LEXICON, skip_unusable=True)
    for nothing, expected in (
        ([], "Received: 0 clips, 0 of them unusable$"),
        ([np.zeros((5, 5))], "1 of them unusable, the first of which: 5 fra"),
    ):
        with pytest.raises(ValueError, match=f"can be aligned.*{expected}"):
            speech.train_hmms(
                nothing, ["ab"] * len(nothing), LEXICON, skip_unusable=True
            )


def test_clips_of_other_features_are_refused():
    clips, transcripts, _ = clips_of(6, count=4)
    other = [*clips[:3], clips[3][:, :4]]
    message = r"`clips` must be \[time, features\].*here 5\. .*shape \(\d+, 4\)"
    with pytest.raises(ValueError, match=message):
        speech.train_hmms(other, transcripts, LEXICON, components=1)
    hmms, _ = speech.train_hmms(clips, transcripts, LEXICON, components=1)
    with pytest.raises(ValueError, match=message):
        hmms.align(other, transcripts)
    with pytest.raises(ValueError, match=message):
        hmms.log_likelihoods(other[3])

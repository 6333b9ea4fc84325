"""trainers.speech.corpora."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from tests import speech_corpora
from trainers.speech import corpora


def recordings(corpus, part):
    return set(corpus.clips.recordings[corpus.used[part]].tolist())


def test_parts_of_the_recordings():
    corpus = speech_corpora.corpus()
    # 0 to 4 are the test set's; a tenth of 8, rounded, is 1: the last.
    assert recordings(corpus, "test") == {0, 1, 2, 3, 4}
    assert recordings(corpus, "training") == {5, 6}
    assert recordings(corpus, "held_out") == {7}
    assert len(corpus.used["training"]) == 2 * 3 * 2


def test_a_speaker_is_left_out():
    corpus = speech_corpora.make(split="speaker:voice1")
    speakers = corpus.clips.speakers
    assert set(speakers[corpus.used["test"]]) == {"voice1"}
    for part in ("training", "held_out"):
        assert set(speakers[corpus.used[part]]) == {"voice0"}


def with_parts(part_of):
    """The clips, each in the part that a function of its recording tells."""
    clips = speech_corpora.clips()
    parts = np.array([part_of(r) for r in clips.recordings.tolist()])
    return dataclasses.replace(clips, parts=parts)


def test_what_the_data_set_itself_holds_out():
    parts = ("training",) * 5 + ("held_out",) * 2 + ("test",)
    corpus = speech_corpora.make(with_parts(parts.__getitem__), "given")
    assert recordings(corpus, "training") == {0, 1, 2, 3, 4}
    assert recordings(corpus, "held_out") == {5, 6}
    assert recordings(corpus, "test") == {7}


def test_last_recordings_are_held_out_where_the_data_set_holds_out_none():
    clips = with_parts(lambda r: "test" if r < 2 else "training")
    corpus = speech_corpora.make(clips, "given")
    assert recordings(corpus, "training") == {2, 3, 4, 5, 6}
    assert recordings(corpus, "held_out") == {7}


def test_a_word_without_training_clips_is_named():
    clips = speech_corpora.clips()
    parts = np.where(clips.recordings > 2, "training", "test").astype(object)
    parts[clips.labels == 1] = "test"
    given = dataclasses.replace(clips, parts=parts)
    with pytest.raises(
        ValueError, match=r"every word.*test clips of six alone"
    ):
        speech_corpora.make(given, "given")


def test_each_speaker_and_word_has_last_recordings_of_its_own():
    """Those that say a word less often than others are held out, too."""
    clips = speech_corpora.clips()
    parts = np.full(len(clips.recordings), "training", dtype=object)
    parts[clips.recordings == 0] = "test"
    own = clips.labels == 1
    # Of word 1 recordings 1 to 3 are trained on, by voice1 nothing but 1.
    parts[own & (clips.recordings > 3)] = "test"
    alone = own & (clips.speakers == "voice1")
    parts[alone & (clips.recordings > 1)] = "test"
    corpus = speech_corpora.make(
        dataclasses.replace(clips, parts=parts), "given"
    )
    held_out = corpus.used["held_out"]
    found = zip(
        clips.speakers[held_out],
        clips.labels[held_out].tolist(),
        clips.recordings[held_out].tolist(),
        strict=True,
    )
    assert set(found) == {
        ("voice0", 0, 7),
        ("voice0", 1, 3),
        ("voice0", 2, 7),
        ("voice1", 0, 7),
        ("voice1", 2, 7),
    }
    assert (
        np.flatnonzero(alone & (clips.recordings == 1))[0]
        in (corpus.used["training"])
    )


def test_states_are_those_that_were_spoken():
    corpus = speech_corpora.corpus()
    for part in corpora.PARTS:
        true = np.concatenate(
            [corpus.clips.states[i] for i in corpus.used[part]]
        )
        frames = getattr(corpus, part)
        # Of two recordings a word and voice; chance would be 1 in 27.
        assert (frames.states == true).mean() > 0.4
        assert len(frames) == len(true)


def test_training_frames_have_mean_0_and_deviation_1():
    values = speech_corpora.corpus().training.values
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(0), 1, atol=1e-4)


def test_nothing_is_learned_from_held_out_and_test_clips():
    clips = speech_corpora.clips()
    corpus = speech_corpora.corpus()
    waveforms = list(clips.waveforms)
    rng = np.random.default_rng(0)
    for part in ("held_out", "test"):
        for i in corpus.used[part]:
            noise = rng.normal(0, 0.1, len(waveforms[i]))
            waveforms[i] = noise.astype(np.float32)
    other = speech_corpora.make(dataclasses.replace(clips, waveforms=waveforms))
    np.testing.assert_array_equal(corpus.training.states, other.training.states)
    np.testing.assert_array_equal(corpus.mean, other.mean)
    np.testing.assert_array_equal(corpus.log_priors, other.log_priors)


def test_unusable_clips_are_skipped_and_counted():
    clips = speech_corpora.clips()
    training, test = clips.split("recordings")
    waveforms = list(clips.waveforms)
    waveforms[training[0]] = np.zeros(8000, np.float32)
    waveforms[training[1]] = np.full(8000, np.nan, np.float32)
    waveforms[test[0]] = waveforms[test[0]][:400]
    corpus = speech_corpora.make(
        dataclasses.replace(clips, waveforms=waveforms)
    )
    assert corpus.skipped["training"] == {"silent": 1, "not finite": 1}
    assert corpus.skipped["test"] == {"fewer frames than states": 1}
    assert corpus.skipped["held_out"] == {}
    assert not set(training[:2]) & set(corpus.used["training"])
    assert test[0] not in corpus.used["test"]
    assert len(corpus.test.lengths) == len(corpus.used["test"])


@pytest.mark.parametrize("part", corpora.PARTS)
def test_a_part_without_a_usable_clip_is_named(part):
    clips = speech_corpora.clips()
    waveforms = list(clips.waveforms)
    for i in speech_corpora.corpus().used[part]:
        waveforms[i] = np.zeros(0, np.float32)
    with pytest.raises(
        ValueError,
        match=f"{part} clips of split=recordings.*the first of which: 0 frames",
    ):
        speech_corpora.make(dataclasses.replace(clips, waveforms=waveforms))


def test_shares_of_the_training_clips_are_nested_and_balanced():
    corpus = speech_corpora.corpus()
    clips = corpus.used["training"]
    shares = [set(corpus.nested(share)) for share in (0.01, 0.5, 0.8, 1.0)]
    # Of 12 clips: one at least, 6, 9.6, all.
    assert [len(s) for s in shares] == [1, 6, 10, 12]
    for less, more in itertools.pairwise(shares):
        assert less < more
    half = [clips[i] for i in shares[1]]
    keys = zip(
        corpus.clips.speakers[half], corpus.clips.labels[half], strict=True
    )
    # As many as there are pairs of speaker and word.
    assert set(collections.Counter(keys).values()) == {1}


def test_a_split_that_leaves_nothing_to_train_on():
    clips = speech_corpora.clips()
    kept = np.flatnonzero(clips.recordings < 6)
    few = dataclasses.replace(
        clips,
        waveforms=[clips.waveforms[i] for i in kept],
        labels=clips.labels[kept],
        speakers=clips.speakers[kept],
        recordings=clips.recordings[kept],
        states=None,
    )
    with pytest.raises(ValueError, match="beside those held out"):
        speech_corpora.make(few)

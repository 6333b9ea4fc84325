"""trainers.speech.scores."""

import dataclasses

import numpy as np
import pytest

from tests import speech_corpora
from trainers.core.errors import FlagsError
from trainers.speech import recipes, scores
from trainers.speech.utterances import Utterances


@pytest.fixture
def knowing(monkeypatch):
    """Nets that are arrays of what they say of the frames' states."""

    def predict(net, frames, rows=None):
        del rows
        wrong = net if frames is corpus.test else 0
        states = np.array(frames.states)
        states[:wrong] = (states[:wrong] + 1) % corpus.lexicon.num_states
        return 10 * np.eye(corpus.lexicon.num_states, dtype=np.float32)[states]

    corpus = speech_corpora.corpus()
    monkeypatch.setattr(scores, "predict", predict)
    return corpus


def test_frames(knowing):
    """Nets that get the first 0 and the first 5 frames wrong."""
    found = scores.of_frames([0, 5], knowing)
    assert found.wrong.sum(1).tolist() == [0, 5]
    assert found.wrong[1, 0] == 5 and not found.wrong[1, 1:].any()
    count = len(knowing.test)
    np.testing.assert_allclose(found.accuracy, [1, 1 - 5 / count])
    assert found.held_out_accuracy.tolist() == [1, 1]
    # -log of e^10 / (e^10 + states - 1), and 10 more where it is wrong.
    states = knowing.lexicon.num_states
    right = np.log1p((states - 1) * np.exp(-10))
    expected = [right, right + 10 * 5 / count]
    np.testing.assert_allclose(found.nll, expected, rtol=1e-3)
    # Confidence exp(-right) against the accuracy, all in one bin.
    gap = abs(np.exp(-right) - (1 - 5 / count))
    np.testing.assert_allclose(found.ece[1], gap, atol=1e-4)


def test_who_knows_the_states_hears_the_words(knowing):
    transcripts = knowing.clips.transcripts()
    said = [(transcripts[i],) for i in knowing.used["test"]]
    utterances = Utterances(knowing.test, said, isolated=True)
    assert scores.recognise(0, knowing, utterances, 0.0) == said
    found, chosen = scores.with_words(
        scores.of_frames([0], knowing), [0], knowing, {"all": utterances}, {}
    )
    assert found.word_errors["all"].shape == (1, len(said))
    assert not found.word_errors["all"].any() and chosen == {}
    assert found.words["all"].tolist() == [1] * len(said)


def test_the_penalty_in_the_middle_of_the_best(knowing, monkeypatch):
    """One word too many below -10, one too few above 20."""

    def decode(posteriors, corpus, utterances, penalty):
        if penalty < -10:
            return [("no", "no")]
        return [("no",) if penalty <= 20 else ()]

    monkeypatch.setattr(scores, "_decode", decode)
    utterances = Utterances(knowing.held_out, [("no",)], isolated=False)
    # Right at -10, 0, 10, 20; of four the third.
    chosen = scores.choose_penalty([0], knowing, utterances)
    assert (chosen["penalty"], chosen["held_out_rate"]) == (10, 0.0)
    # One insertion, nothing, or one deletion, of one word.
    assert chosen["rates"] == [
        [penalty, float(penalty < -10 or penalty > 20)]
        for penalty in scores.PENALTIES
    ]
    monkeypatch.setattr(scores, "PENALTIES", (30.0,))
    chosen = {"clean": scores.choose_penalty([0, 0], knowing, utterances)}
    # The only word is missing, in what both nets hear.
    assert chosen["clean"]["held_out_rate"] == 1.0
    assert scores.penalty_of(chosen, "clean") == 30
    assert scores.penalty_of(chosen, "10 dB") == 0


def score(frames, wrong, words):
    return scores.Scores(
        np.array(frames),
        np.array(wrong),
        nll=np.array([1.0, 3.0]) * len(frames),
        ece=np.array([0.1, 0.2]),
        held_out_accuracy=np.array([0.5, 0.7]),
        word_errors={"isolated": np.array(words)},
        words={"isolated": np.ones(len(words[0]), int)},
    )


def pair():
    return (
        score([10, 20], [[1, 2], [3, 4]], [[0, 1], [1, 1]]),
        score([10], [[5], [0]], [[0], [0]]),
    )


def test_folds_are_pooled():
    found = scores.pool(pair())
    assert found.frames.tolist() == [10, 20, 10]
    assert found.wrong.tolist() == [[1, 2, 5], [3, 4, 0]]
    # 8 and 7 of 40 frames.
    np.testing.assert_allclose(found.accuracy, [1 - 8 / 40, 1 - 7 / 40])
    # 30 frames of nll 2 and 6, 10 of 1 and 3.
    np.testing.assert_allclose(found.nll, [70 / 40, 210 / 40])
    assert found.word_errors["isolated"].tolist() == [[0, 1, 0], [1, 1, 0]]


def test_a_fold_may_lack_a_condition():
    """A speaker may have too few clips for a string."""
    first, second = pair()
    for whole, without in ((first, second), (second, first)):
        name = "connected"
        given = dataclasses.replace(
            whole,
            word_errors={**whole.word_errors, name: np.array([[1], [2]])},
            words={**whole.words, name: np.array([3])},
        )
        folds = [without, given] if without is first else [given, without]
        found = scores.pool(folds)
        assert found.word_errors[name].tolist() == [[1], [2]]
        assert found.words[name].tolist() == [3]
        assert found.word_errors["isolated"].shape == (2, 3)


def test_summary():
    figures = scores.summarise(scores.pool(pair()))
    assert figures["nets"] == 2
    np.testing.assert_allclose(figures["accuracy"]["mean"], 1 - 7.5 / 40)
    words = figures["words"]["isolated"]
    assert words["each"] == [1, 2] and words["said"] == 3
    np.testing.assert_allclose(words["rate"], 1.5 / 3)


def test_words_are_compared_on_the_same_utterances():
    first, second = score([1] * 4, [[0] * 4] * 2, [[0, 1, 1, 1]] * 2), None
    second = score([1] * 4, [[0] * 4] * 2, [[1, 1, 1, 1], [0, 1, 0, 1]])
    tests = scores.compare_words(first, second)
    # A net of the first errs 3 times, of the second (4 + 2) / 2 times.
    assert tests["isolated"]["difference"] == 0
    assert tests["all"] == tests["isolated"]


def test_scores_are_stored_and_read_again(tmp_path):
    """All of them: nothing of a finished run is decoded anew."""
    found = score([3, 4], [[1, 0]], [[0, 2]])
    chosen = {"isolated": {"penalty": -20.0, "held_out_rate": 0.25}}
    path = tmp_path / "scores" / "baseline.json"
    scores.write(path, found, chosen)
    again, same = scores.read(path)
    assert same == chosen
    for field in dataclasses.fields(scores.Scores):
        a, b = getattr(found, field.name), getattr(again, field.name)
        np.testing.assert_equal(a, b)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
    path.write_text(path.read_text().replace("-20.0", "-10.0"))
    with pytest.raises(FlagsError, match=r"delete .*baseline\.json"):
        scores.read(path)


def test_other_weights_have_another_fingerprint():
    arm = recipes.member(speech_corpora.settings())
    one, same, other = (
        speech_corpora.untrained(arm, speech_corpora.corpus(), seed, None).net
        for seed in (0, 0, 1)
    )
    fingerprints = [
        scores.fingerprint(nets)
        for nets in ([one], [same], [other], [one, other])
    ]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3

"""kdtf.speech.decoding: the best words, compared with all sequences."""

import itertools

import numpy as np
import pytest

from kdtf import speech
from tests.kdtf.speech import reference

LEXICON = speech.Lexicon({"a": ["X"], "b": ["Y Z", "Z"], "c": ["X Y"]})


def scores_of(seed, time, scale=2.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(time, LEXICON.num_states)) * scale


def best_words(scores, stay, *, penalty=0.0, isolated=False):
    """Tries all sequences of words that fit."""
    fewest, most = (1, 1) if isolated else (0, len(scores) // 3)
    best = (-np.inf, ())
    for count in range(fewest, most + 1):
        for words in itertools.product(LEXICON.words, repeat=count):
            value, _ = reference.best_string(words, LEXICON, scores, stay)
            if value - penalty * count > best[0]:
                best = value - penalty * count, words
    return best[1]


@pytest.mark.parametrize("isolated", (False, True))
@pytest.mark.parametrize(
    ("stay", "penalty"), [(0.5, 0.0), (0.1, 0.0), (0.9, -3.0), (0.5, 4.0)]
)
def test_no_sequence_is_better(stay, penalty, isolated):
    stays = np.full(LEXICON.num_states, stay)
    # Lengths that differ, so that batches are padded, and are not sorted.
    lengths = [9, 3, 10, 6, 8, 9, 5, 7, 4, 10, 9, 2]
    scores = [scores_of(k, n) for k, n in enumerate(lengths)]
    actual = speech.decode(
        scores, LEXICON, penalty=penalty, isolated=isolated, stay=stay
    )
    expected = [
        best_words(s, stays, penalty=penalty, isolated=isolated) for s in scores
    ]
    assert actual == expected
    assert actual[-1] == ()  # two frames are too few
    if isolated:
        assert all(len(words) == 1 for words in actual[:-1])
    else:
        assert len({len(words) for words in actual}) > 1


def test_each_state_stays_with_its_own_probability():
    stays = np.random.default_rng(5).uniform(0.05, 0.95, LEXICON.num_states)
    scores = [scores_of(k, 9, scale=1.0) for k in range(8)]
    actual = speech.decode(scores, LEXICON, stay=stays)
    assert actual == [best_words(s, stays) for s in scores]
    assert actual != speech.decode(scores, LEXICON)


def scores_along(states, num_states, margin=5.0):
    """Scores that are `margin` higher for the states of a path."""
    scores = np.zeros((len(states), num_states))
    scores[np.arange(len(states)), states] = margin
    return scores


def test_long_sequences_of_digits_with_and_without_silence():
    lexicon = speech.digits()
    rng = np.random.default_rng(0)
    scores, spoken = [], []
    for _ in range(300):
        words = tuple(rng.choice(lexicon.words, rng.integers(1, 12)))
        states = [*(0, 1, 2) * rng.integers(2)]
        for word in words:
            states += [*lexicon.states(word)[0], *(0, 1, 2) * rng.integers(2)]
        times = rng.integers(1, 4, len(states))
        scores.append(scores_along(np.repeat(states, times), 99))
        spoken.append(words)
    assert speech.decode(scores, lexicon) == spoken
    alone = [i for i, words in enumerate(spoken) if len(words) == 1]
    assert speech.decode(
        [scores[i] for i in alone], lexicon, isolated=True
    ) == [spoken[i] for i in alone]


def test_silence_is_not_a_word():
    silence = scores_along(np.repeat([0, 1, 2], 10), LEXICON.num_states)
    assert speech.decode([silence], LEXICON) == [()]
    assert len(speech.decode([silence], LEXICON, isolated=True)[0]) == 1


def test_a_penalty_deletes_words_and_a_bonus_inserts_some():
    scores = [scores_of(k, 60) for k in range(5)]
    counts = [
        sum(map(len, speech.decode(scores, LEXICON, penalty=penalty)))
        for penalty in (-20, -2, 0, 2, 20)
    ]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_priors_are_subtracted():
    labels = np.array([0, 0, 0, 5, 5, 14])
    priors = speech.log_priors_of(labels, 15)
    counts = np.ones(15)
    counts[[0, 5, 14]] += [3, 2, 1]
    np.testing.assert_allclose(np.exp(priors), counts / 21)
    priors = np.random.default_rng(0).normal(size=LEXICON.num_states)
    scores = [scores_of(k, 30) for k in range(5)]
    expected = speech.decode([s - priors for s in scores], LEXICON)
    assert speech.decode(scores, LEXICON, log_priors=priors) == expected
    assert speech.decode(scores, LEXICON) != expected


def test_impossible_states_are_avoided():
    scores = scores_of(0, 12)
    scores[:, list(LEXICON.states("a")[0])] = -np.inf
    [words] = speech.decode([scores], LEXICON, penalty=-50)
    assert words and "a" not in words


def test_nothing_to_decode():
    empty = np.zeros((0, LEXICON.num_states))
    assert speech.decode([], LEXICON) == []
    assert speech.decode([empty, scores_of(0, 2)], LEXICON) == [(), ()]


@pytest.mark.parametrize("shape", ((5,), (5, 14), (2, 5, 15)))
def test_bad_shapes(shape):
    good = scores_of(0, 5)
    with pytest.raises(
        ValueError, match=r"`scores` must.*utterance 1 of shape"
    ):
        speech.decode([good, np.zeros(shape)], LEXICON)


def test_other_bad_arguments():
    good = scores_of(0, 5)
    with pytest.raises(ValueError, match=r"must not be NaN.*utterance 0"):
        speech.decode([good * np.nan], LEXICON)
    for stay in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="`stay` must be more than 0"):
            speech.decode([good], LEXICON, stay=stay)
    for labels in ([0, 15], [-1, 3]):
        with pytest.raises(ValueError, match="`labels` must be from 0 to 14"):
            speech.log_priors_of(labels, 15)


@pytest.mark.parametrize("never", (0, 5))
def test_a_state_that_never_occurred_is_refused(never):
    """Less its log-frequency of -inf, its score would be +inf: the best."""
    counts = np.ones(LEXICON.num_states)
    counts[never] = 0
    with np.errstate(divide="ignore"):
        priors = np.log(counts / counts.sum())
    message = rf"`log_priors` must be finite.*-inf for state {never}$"
    with pytest.raises(ValueError, match=message):
        speech.decode([scores_of(0, 30)], LEXICON, log_priors=priors)


@pytest.mark.parametrize("shape", ((), (1,), (20,), (30, 21)))
def test_priors_of_other_states_are_refused(shape):
    with pytest.raises(ValueError, match=r"`log_priors` must.*21 states.*shap"):
        speech.decode([scores_of(0, 30)], LEXICON, log_priors=np.zeros(shape))


@pytest.mark.parametrize("penalty", (np.nan, np.inf, "1", None, [0.0]))
def test_a_penalty_is_a_finite_number(penalty):
    with pytest.raises(ValueError, match="`penalty` must be a finite number"):
        speech.decode([scores_of(0, 30)], LEXICON, penalty=penalty)
    found = speech.decode([scores_of(0, 30)], LEXICON, penalty=np.float32(2))
    assert found == speech.decode([scores_of(0, 30)], LEXICON, penalty=2.0)


def test_stay_of_other_states_is_refused():
    for shape in ((20,), (1,), (30, 21)):
        with pytest.raises(ValueError, match=r"`stay` must.*21 states"):
            speech.decode([scores_of(0, 30)], LEXICON, stay=np.full(shape, 0.5))

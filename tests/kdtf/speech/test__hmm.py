"""kdtf.speech._hmm: the best path, compared with all paths."""

import numpy as np
import pytest

from kdtf import speech
from kdtf.speech import _hmm
from tests.kdtf.speech import reference

LEXICON = speech.Lexicon({"a": ["X"], "b": ["Y Z", "Z"], "c": ["X Y"]})
STAY = np.random.default_rng(7).uniform(0.1, 0.9, LEXICON.num_states)


def scores_of(seed, time):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(time, LEXICON.num_states)) * 3


def viterbi(words, clips):
    """Paths of states and scores, from clips of scores of all states."""
    graph = _hmm.graph_of(words, LEXICON)
    lengths = np.array([len(clip) for clip in clips])
    emissions = np.full((len(clips), max(lengths), len(graph.states)), 9.0)
    for i, clip in enumerate(clips):
        emissions[i, : len(clip)] = clip[:, graph.states]
    log_stay, log_leave = np.log(STAY), np.log(1 - STAY)
    paths, scores = _hmm.viterbi(
        graph,
        emissions,
        lengths,
        log_stay[graph.states],
        log_leave[graph.states],
    )
    assert (
        (paths == -1) == (np.arange(max(lengths)) >= lengths[:, None])
    ).all()
    return [
        graph.states[path[:length]]
        for path, length in zip(paths, lengths, strict=True)
    ], scores


@pytest.mark.parametrize("words", (["a"], ["b"], ["c"], ["a", "a"], ["b", "a"]))
def test_the_best_of_all_paths(words):
    clips = [scores_of(k, time) for k, time in enumerate((10, 6, 11, 9, 10))]
    paths, scores = viterbi(words, clips)
    for clip, path, score in zip(clips, paths, scores, strict=True):
        best, states = reference.best_string(words, LEXICON, clip, STAY)
        assert score == pytest.approx(best)
        np.testing.assert_array_equal(path, states)


def test_silence_is_optional_between_words():
    """Two words of three states each, three silences of three states."""
    graph = _hmm.graph_of(["a", "a"], LEXICON)
    silent = [0, 1, 2]
    a = list(LEXICON.states("a")[0])
    assert graph.states.tolist() == silent + a + silent + a + silent
    assert np.flatnonzero(graph.entries).tolist() == [0, 3]
    assert np.flatnonzero(graph.exits).tolist() == [11, 14]
    before = [set(row) - {-1} for row in graph.predecessors.tolist()]
    assert before[0] == set() and before[3] == {2}
    assert before[6] == {5} and before[9] == {5, 8} and before[12] == {11}
    assert graph.fewest_frames == 6


def test_the_shortest_pronunciation_counts():
    assert _hmm.graph_of(["b"], LEXICON).fewest_frames == 3
    assert _hmm.graph_of(["c", "b"], LEXICON).fewest_frames == 9


def test_too_short_for_any_path():
    graph = _hmm.graph_of(["a"], LEXICON)
    zeros = np.zeros(len(graph.states))
    paths, scores = _hmm.viterbi(
        graph, np.zeros((2, 3, len(zeros))), np.array([2, 3]), zeros, zeros
    )
    assert (paths[0] == -1).all() and scores[0] == -np.inf
    assert (graph.states[paths[1]] == LEXICON.states("a")[0]).all()
    assert scores[1] == 0


def test_bad_words():
    with pytest.raises(
        ValueError, match="`words` must contain at least one word"
    ):
        _hmm.graph_of([], LEXICON)
    with pytest.raises(ValueError, match="Received: d, which it lacks"):
        _hmm.graph_of(["a", "d"], LEXICON)

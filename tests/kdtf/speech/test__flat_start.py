"""kdtf.speech._flat_start: states of clips, written out by hand."""

import numpy as np
import pytest

from kdtf import speech
from kdtf.speech import _hmm
from kdtf.speech._flat_start import flat_start

LEXICON = speech.Lexicon({"a": ["X"], "b": ["Y Z", "Z"]})


def start(word, loudness, index=0):
    """States of a clip of which only the loudness is given."""
    clip = np.array([loudness, np.zeros(len(loudness))], float).T
    graph = _hmm.graph_of([word], LEXICON)
    return flat_start(graph, clip, index).tolist()


@pytest.mark.parametrize(
    ("loudness", "expected"),
    [
        # No quiet ends: the word's three states alone.
        ([9] * 6, [3, 3, 4, 4, 5, 5]),
        # Four quiet frames first, three last: three states of silence each.
        ([0] * 4 + [9] * 6 + [0] * 3, [0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 0, 1, 2]),
        # Two quiet frames are too few for silence, and belong to the word.
        ([0] * 2 + [9] * 4, [3, 3, 4, 4, 5, 5]),
        # Silence at the beginning leaves no room for silence at the end.
        ([0] * 3 + [9] + [0] * 3, [0, 1, 2, 3, 3, 4, 5]),
        # Three frames are just enough for the word.
        ([0, 0, 9], [3, 4, 5]),
        # A quiet frame inside is not silence.
        ([9, 9, 0, 9, 9, 9], [3, 3, 4, 4, 5, 5]),
        # What is louder than a fifth of the range is not quiet.
        ([3] * 3 + [9] * 3 + [0] * 3, [3, 3, 4, 4, 5, 5, 0, 1, 2]),
    ],
)
def test_states_by_hand(loudness, expected):
    assert start("a", loudness) == expected


def test_clips_alternate_between_pronunciations():
    long, short = LEXICON.states("b")
    starts = [start("b", [9] * 6, index) for index in range(3)]
    assert starts[0] == starts[2] == list(long)
    assert starts[1] == np.repeat(short, 2).tolist()

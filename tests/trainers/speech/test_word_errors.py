"""trainers.speech.word_errors: the fewest edits, by their definition."""

import functools

import numpy as np
import pytest

from trainers.speech import word_errors


def distance(said, heard):
    @functools.cache
    def edits(i, j):
        if not i or not j:
            return i + j
        return min(
            edits(i - 1, j) + 1,
            edits(i, j - 1) + 1,
            edits(i - 1, j - 1) + (said[i - 1] != heard[j - 1]),
        )

    return edits(len(said), len(heard))


def test_errors_are_the_fewest_edits():
    rng = np.random.default_rng(0)
    words = ["one", "two", "three"]
    references = [tuple(rng.choice(words, n)) for n in rng.integers(1, 8, 40)]
    hypotheses = [tuple(rng.choice(words, n)) for n in rng.integers(0, 8, 40)]
    found = word_errors.count(references, hypotheses)
    expected = [*map(distance, references, hypotheses)]
    np.testing.assert_array_equal(found["errors"], expected)
    np.testing.assert_array_equal(found["words"], [*map(len, references)])
    assert found["rate"] == sum(expected) / sum(map(len, references))
    kinds = ("substitutions", "deletions", "insertions")
    assert sum(found[kind] for kind in kinds) == sum(expected)


def test_kinds_of_errors():
    said = [("one", "two"), ("three",), ("four", "five")]
    heard = [("one", "six"), (), ("four", "zero", "five")]
    found = word_errors.count(said, heard)
    assert found["errors"].tolist() == [1, 1, 1]
    assert found["substitutions"] == found["deletions"] == 1
    assert found["insertions"] == 1 and found["rate"] == 3 / 5


@pytest.mark.parametrize(
    ("said", "heard"), [([("a",)], []), ([()], [("a",)]), ([], [])]
)
def test_bad_arguments(said, heard):
    with pytest.raises(ValueError, match="`references` must"):
        word_errors.count(said, heard)

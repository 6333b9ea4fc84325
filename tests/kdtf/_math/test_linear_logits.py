"""Rows are divided into passes of one size, and nothing is lost or doubled."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf._math import entries
from kdtf._math.linear_logits import Division, LinearLogits, Unmade


@pytest.mark.parametrize("rows", (0, 1, 5, 6, 13))
@pytest.mark.parametrize("most", (1, 3, 6, 20))
def test_every_row_is_new_in_one_pass(rows, most):
    division = Division.of(tf.zeros([rows, 2]), most)
    seen = []
    for i in range(division.number):
        new = division.is_new(i).numpy()
        found = division.cut(tf.range(rows), i).numpy()
        assert len(found) == division.size <= most
        seen.extend(found[new])
    assert seen == list(range(rows))


@pytest.mark.parametrize("rows", (0, 5, 6))
def test_a_loop_finds_every_row(rows):
    values = tf.range(rows)

    def one(i, state):
        found = division.cut(values, i)
        return {"double": 2 * found}, [state[0] + 1]

    division = Division.of(tf.zeros([rows, 2]), 4)
    found, state = division.loop(one, {"double": (tf.int32, [])}, [0])
    np.testing.assert_array_equal(found["double"], 2 * np.arange(rows))
    assert state[0] == division.number


def test_unmade_logits_have_their_shape():
    hidden, embeddings = tf.zeros([2, 3, 4]), tf.zeros([7, 4])
    logits = Unmade(LinearLogits(hidden, embeddings, None, True))
    assert logits.shape == [2, 3, 7]
    assert entries.dynamic_shape(logits).numpy().tolist() == [2, 3, 7]

"""trainers.speech.frames."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kdtf import speech
from trainers.speech import frames as module
from trainers.speech.frames import Frames

LENGTHS = (3, 5, 2)
BANDS = 2


def frames():
    """Ten frames; frame i has the values 2 i and 2 i + 1, and state i."""
    values = np.arange(20, dtype=np.float32).reshape(10, BANDS)
    return Frames(values, np.array(LENGTHS), np.arange(10, dtype=np.int32))


def test_normalised_end_to_end():
    made = Frames.of(
        [np.full((1, 2), 3.0), np.array([[5.0, 7.0]])],
        np.array([3.0, 3.0]),
        np.array([1.0, 2.0]),
        [[4], [5]],
    )
    # (3 - 3) / 1, (3 - 3) / 2; (5 - 3) / 1, (7 - 3) / 2.
    np.testing.assert_array_equal(made.values, [[0, 0], [2, 2]])
    assert made.values.dtype == np.float32
    assert made.lengths.tolist() == [1, 1] and made.states.tolist() == [4, 5]


def test_utterances():
    given = frames()
    assert given.utterance.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    first, last = given.ends
    assert first.tolist() == [0, 0, 0, 3, 3, 3, 3, 3, 8, 8]
    assert last.tolist() == [2, 2, 2, 7, 7, 7, 7, 7, 9, 9]
    assert given.rows_of([0, 2]).tolist() == [0, 1, 2, 8, 9]
    # 0 + 1 + 2, 3 + ... + 7, 8 + 9.
    sums = given.per_utterance(np.stack([given.states, np.ones(10, int)]))
    assert sums.tolist() == [[3, 25, 17], list(LENGTHS)]
    parts = given.split(given.states)
    assert [p.tolist() for p in parts] == [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9]]


def expected_windows():
    """Those of every utterance by itself."""
    parts = frames().split(frames().values)
    windows = [speech.context_windows(p).numpy() for p in parts]
    return np.concatenate([w.reshape(len(w), -1) for w in windows])


def test_windows_do_not_reach_into_the_next_utterance():
    rows = np.array([9, 0, 4])
    np.testing.assert_array_equal(
        frames().windows(tf.constant(rows)), expected_windows()[rows]
    )
    [(x, y)] = frames().in_order()
    np.testing.assert_array_equal(x, expected_windows())
    assert y.numpy().tolist() == list(range(10))


def batches(first_step, last_step):
    dataset = module.training_batches(
        frames(),
        batch_size=4,
        seed=3,
        first_step=first_step,
        last_step=last_step,
    )
    return list(dataset.as_numpy_iterator())


def test_every_pass_has_each_frame_once_in_another_order():
    # Five batches of four are two passes over ten frames.
    states = np.concatenate([y for _, y in batches(0, 5)])
    passes = states[:10], states[10:]
    for each in passes:
        assert sorted(each) == list(range(10))
    assert passes[0].tolist() != passes[1].tolist()


def test_a_batch_depends_on_its_step_alone():
    whole, later = batches(0, 6), batches(4, 6)
    for (x, y), (resumed_x, resumed_y) in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(x, resumed_x)
        np.testing.assert_array_equal(y, resumed_y)


def test_states_are_those_of_the_window():
    for x, y in batches(0, 5):
        np.testing.assert_array_equal(x, expected_windows()[y])


@pytest.mark.parametrize("rows", (None, [7, 1]))
def test_predictions_are_in_order(monkeypatch, rows):
    monkeypatch.setattr(module, "_ROWS", 4)
    net = keras.Sequential(
        [keras.Input((module.WINDOW * BANDS,)), keras.layers.Dense(3)]
    )
    expected = expected_windows() if rows is None else expected_windows()[rows]
    np.testing.assert_allclose(
        module.predict(net, frames(), None if rows is None else np.array(rows)),
        net(expected),
        rtol=1e-5,
    )

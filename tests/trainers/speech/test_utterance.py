"""trainers.speech.utterance."""

import json
import types

import numpy as np
import pytest

from tests import speech_corpora
from trainers.speech import scores, utterance

SHOWN = ("baseline", "ensemble", "distilled")


@pytest.fixture
def fold(monkeypatch):
    """A fold, and nets that are arrays of the states that they choose."""
    corpus = speech_corpora.corpus()

    starts = np.cumsum([0, *corpus.test.lengths])

    def predict(net, frames, rows=None):
        del rows
        if frames is corpus.held_out:
            net = frames.states
        elif frames is not corpus.test:  # a test clip by itself
            [first] = [
                start
                for start in starts[:-1]
                if (corpus.test.values[start] == frames.values[0]).all()
            ]
            net = net[first : first + len(frames)]
        return 10 * np.eye(corpus.lexicon.num_states, dtype=np.float32)[net]

    monkeypatch.setattr(scores, "predict", predict)
    return types.SimpleNamespace(corpus=corpus)


def missing(fold, errors):
    """A net that misses the first frames of some test clips."""
    frames = fold.corpus.test
    states = np.array(frames.states)
    for clip, count in errors.items():
        rows = frames.rows_of([clip])[:count]
        states[rows] = (states[rows] + 1) % fold.corpus.lexicon.num_states
    return states


@pytest.fixture
def nets(fold):
    return {
        # Gains of 8 - 6 = 2, and of 9 - 4 = 5; then none.
        "baseline": [missing(fold, {3: 8, 7: 9, 9: 9}), None],
        "ensemble": [missing(fold, {3: 6, 7: 4, 9: 9})],
        "distilled": [missing(fold, {3: 1, 7: 5}), None],
        "control": [None],
    }


def test_the_clip_with_the_largest_gain_is_picked(fold, nets):
    found = utterance.pick(nets, fold)
    assert json.loads(json.dumps(found)) == found
    corpus = fold.corpus
    clip = corpus.used["test"][7]
    assert found["word"] == corpus.clips.transcripts()[clip]
    assert found["speaker"] == corpus.clips.speakers[clip]
    assert found["recording"] == corpus.clips.recordings[clip]
    assert found["frames_wrong"] == dict(zip(SHOWN, (9, 4, 5), strict=True))
    states = corpus.test.states[corpus.test.rows_of([7])]
    names = [found["state_names"][i] for i in found["alignment"]]
    assert names == [corpus.lexicon.state_names[s] for s in states]
    assert len(found["state_names"]) == len(set(states))
    np.testing.assert_allclose(
        found["log_mel"],
        speech_corpora.log_mels()[clip],
        atol=0.006,  # of two decimals
    )
    for name in SHOWN:
        posteriors = np.array(found["posteriors"][name])
        assert posteriors.shape == (len(states), len(found["state_names"]))
        right = posteriors[np.arange(len(states)), found["alignment"]] > 0.9
        assert (~right).sum() == found["frames_wrong"][name]


def test_a_gain_is_a_share_of_the_clips_frames(fold, nets):
    """Four frames of a short clip are more than five of a long one."""
    lengths = fold.corpus.test.lengths
    short, long = int(lengths.argmin()), int(lengths.argmax())
    assert 4 / lengths[short] > 5 / lengths[long]
    nets = {
        **nets,
        "baseline": [missing(fold, {short: 4, long: 5})],
        "ensemble": [missing(fold, {})],
    }
    clip = fold.corpus.used["test"][short]
    found = utterance.pick(nets, fold)
    assert found["recording"] == fold.corpus.clips.recordings[clip]
    assert len(found["alignment"]) == lengths[short]


def test_plot(fold, nets):
    figures = utterance.pick(nets, fold)
    panels = utterance.plot(figures).axes[:4]
    time = len(figures["alignment"])
    for axes, name, wrong in zip(panels[1:], SHOWN, (9, 4, 5), strict=True):
        assert axes.get_title() == f"{name}: {wrong} of {time} frames wrong"
        [image], [line] = axes.images, axes.lines
        np.testing.assert_array_equal(
            image.get_array(), np.array(figures["posteriors"][name]).T
        )
        # In the middle of a state's row, which is one high.
        heights = np.array(figures["alignment"]) + 0.5
        np.testing.assert_array_equal(line.get_ydata()[:-1], heights)
    spectrum = panels[0].images[0].get_array()
    np.testing.assert_array_equal(spectrum, np.array(figures["log_mel"]).T)
    assert figures["word"] in panels[0].get_title()

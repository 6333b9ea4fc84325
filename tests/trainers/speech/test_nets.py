"""trainers.speech.nets: a killed net ends where it would have."""

import dataclasses
import functools
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import speech_corpora
from trainers.core import training
from trainers.speech import frames, nets, recipes
from trainers.speech.frames import Frames
from trainers.speech.settings import DEFAULTS

ARM = nets.Arm(
    name="control",
    layers=1,
    units=8,
    learning_rate=0.05,
    epochs=5,
    batch_size=32,
    steps=4,
)


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


def weights(net):
    return [np.array(w) for w in net.weights]


def recorded():
    """The clips of the corpus as they are, without a teacher."""
    corpus = speech_corpora.corpus()
    return functools.partial(frames.training_batches, corpus.training), None


def train(directory, arm=ARM, lesson=recorded):
    return nets.train(
        arm,
        speech_corpora.corpus(),
        0,
        directory,
        lesson=lesson,
        checkpoint_every=2,
    )


def kill_in_epoch(monkeypatch, epoch):
    class Killing(training.ProgressBar):
        def on_epoch_begin(self, now, logs=None):
            if now == epoch:
                raise Killed

    monkeypatch.setattr(training, "ProgressBar", Killing)


@pytest.mark.slow
@pytest.mark.parametrize("keep_best", (False, True))
def test_killed_and_resumed_ends_with_the_same_weights(
    tmp_path, monkeypatch, keep_best
):
    arm = dataclasses.replace(ARM, keep_best=keep_best)
    whole = train(tmp_path / "whole", arm)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_in_epoch(patch, 3)
        train(tmp_path / "killed", arm)
    resumed = train(tmp_path / "killed", arm)
    for a, b in zip(weights(whole.net), weights(resumed.net), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.curve == resumed.curve and whole.best == resumed.best


@pytest.mark.slow
def test_the_best_epoch_is_taken_and_not_the_last(tmp_path):
    # A rate that throws the net about.
    arm = dataclasses.replace(ARM, keep_best=True, learning_rate=3.0)
    result = train(tmp_path, arm)
    points = [p["held_out_accuracy"] for p in result.curve]
    assert result.best == result.curve[int(np.argmax(points))]
    corpus = speech_corpora.corpus()
    for name in ("held_out", "test"):
        found = nets.accuracy(result.net, getattr(corpus, name))
        assert found == result.best[f"{name}_accuracy"]


@pytest.mark.slow
def test_the_bar_shows_nothing_of_the_test_clips(tmp_path, capsys):
    [point] = train(tmp_path, dataclasses.replace(ARM, epochs=1)).curve
    bar = capsys.readouterr().err
    for name in ("loss", "train_accuracy", "held_out_accuracy"):
        assert f"{name}={point[name]:.4f}" in bar
    assert "test_accuracy" in point and "test_accuracy" not in bar


@pytest.mark.slow
@pytest.mark.parametrize("stored", (False, True))
def test_a_student_believes_its_teacher(tmp_path, stored):
    """Who tells it another state of every frame."""
    corpus = speech_corpora.corpus()
    heard, states = corpus.training, corpus.lexicon.num_states
    told = dataclasses.replace(heard, states=(heard.states + 1) % states)
    liar = nets.train(
        dataclasses.replace(ARM, epochs=40, steps=20, units=32),
        dataclasses.replace(corpus, training=told),
        1,
        tmp_path / "liar",
        lesson=lambda: (
            functools.partial(frames.training_batches, told),
            None,
        ),
    ).net

    def batches(**options):
        recorded = frames.training_batches(heard, **options)
        if not stored:
            return recorded
        return recorded.map(
            lambda x, y: (x, {"labels": y, "teacher_logits": liar(x)})
        )

    arm = dataclasses.replace(
        ARM,
        epochs=40,
        steps=20,
        units=32,
        soft_weight=1.0,
        hard_weight=0.0,
        share=0.2,
    )
    result = train(
        tmp_path / "student",
        arm,
        lambda: (batches, None if stored else liar),
    )
    assert nets.accuracy(result.net, told) > 0.9
    assert nets.accuracy(result.net, heard) < 0.1
    # Curves are of the clips that an arm sees.
    rows = heard.rows_of(corpus.nested(0.2))
    shown = result.curve[-1]["train_accuracy"]
    assert shown == nets.accuracy(result.net, heard, rows)


def test_control_and_student_start_alike_and_members_otherwise():
    settings = speech_corpora.settings()
    control, student, member = (
        nets.build_net(make(settings), 52, 9, 0)
        for make in (recipes.control, recipes.distilled, recipes.member)
    )
    for a, b in zip(weights(control), weights(student), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (weights(control)[0] != weights(member)[0]).any()


def test_steps_of_an_epoch():
    # 1000 / 32 = 31.25, of which 20 are whole executions.
    passes = dataclasses.replace(ARM, steps=None)
    assert passes.steps_of(1000) == 20
    assert passes.steps_of(400) == 12 and passes.steps_of(3) == 1
    assert ARM.steps_of(1000) == 4


def test_every_arm_has_a_directory_of_its_own():
    settings = DEFAULTS["spoken_digit"]
    different = {
        recipes.member(settings),
        recipes.control(settings),
        recipes.distilled(settings),
        *recipes.sweep(settings).values(),
        *(
            recipes.few_clips(settings, share, soft=soft)
            for share in recipes.SHARES
            for soft in (False, True)
        ),
    }
    names = {arm.directory_name() for arm in different}
    assert len(names) == len(different) == 3 + 8 + 8


def papers_corpus():
    """Random frames, whose states go up to the paper's 14,000."""
    rng = np.random.default_rng(0)

    def made():
        values = rng.normal(size=(64, 40)).astype(np.float32)
        states = rng.integers(0, 14_000, 64).astype(np.int32)
        states[-1] = 13_999
        return Frames(values, np.array([40, 24]), states)

    return dataclasses.replace(
        speech_corpora.corpus(),
        name="random",
        lexicon=types.SimpleNamespace(num_states=14_000),
        training=made(),
        held_out=made(),
        test=made(),
        used={"training": np.array([0, 1])},
    )


@pytest.mark.slow
@pytest.mark.parametrize("units", (64, 2560))
def test_the_papers_net_is_trained(tmp_path, units):
    """26 frames of 40 bands, 8 x 2560, 14,000 states: about 85 million.

    On soft targets, and a narrow one on labels.
    """
    corpus = papers_corpus()
    soft = units == 2560
    arm = dataclasses.replace(
        ARM,
        layers=8,
        units=units,
        learning_rate=0.01,
        epochs=2,
        steps=3,
        batch_size=64,
        soft_weight=float(soft),
        hard_weight=float(not soft),
        temperature=2.0,
    )

    def batches(**options):
        recorded = frames.training_batches(corpus.training, **options)
        if not soft:
            return recorded
        # Of a teacher that is sure of the states.
        return recorded.map(
            lambda x, y: (
                x,
                {"labels": y, "teacher_logits": 8 * tf.one_hot(y, 14_000)},
            )
        )

    result = nets.train(
        arm, corpus, 0, tmp_path, lesson=lambda: (batches, None)
    )
    if soft:
        expected = 1041 * 2560 + 7 * 2561 * 2560 + 2561 * 14_000
        assert result.net.count_params() == expected == 84_412_080
    assert all(np.isfinite(w).all() for w in result.net.get_weights())
    # Every step sees all frames, so that the loss falls from epoch to epoch.
    first, last = (point["loss"] for point in result.curve)
    assert last < first

"""trainers.mnist.nets: a killed arm goes on and ends where it would have."""

import dataclasses
import os
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from trainers.core import training
from trainers.data import ImageData
from trainers.mnist import nets
from trainers.mnist.moves import Moves

ARM = nets.Arm(
    name="teacher",
    units=6,
    learning_rate=0.01,
    epochs=6,
    batch_size=8,
    input_dropout=0.2,
    hidden_dropout=0.5,
    max_norm=1.0,
    moves=Moves(1.0),
)


def data():
    """Forty images of three classes that a net can learn."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60).astype(np.int32)
    images = rng.integers(0, 100, (60, 4, 4)).astype(np.uint8)
    images[np.arange(60), labels, labels] = 255
    return ImageData(images[:40], labels[:40], images[40:], labels[40:], 3, 255)


def weights(net):
    return [np.array(w) for w in net.weights]


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


def kill_in_epoch(monkeypatch, epoch):
    """Makes training die as the 0-based `epoch` begins."""

    class Killing(training.ProgressBar):
        def on_epoch_begin(self, now, logs=None):
            if now == epoch:
                raise Killed

    monkeypatch.setattr(training, "ProgressBar", Killing)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The arm, trained without a break."""
    directory = tmp_path_factory.mktemp("whole")
    return nets.train(ARM, data(), 0, directory, checkpoint_every=2)


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", (1, 3, 5))
def test_killed_and_resumed_ends_with_the_same_weights(
    tmp_path, monkeypatch, killed_in, whole
):
    directory = tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_in_epoch(patch, killed_in)
        nets.train(ARM, data(), 0, directory, checkpoint_every=2)
    saved = killed_in // 2 * 2
    names = os.listdir(directory / "checkpoints") if saved else []
    assert names == ([f"epoch-{saved:05d}"] if saved else [])
    resumed = nets.train(ARM, data(), 0, directory, checkpoint_every=2)
    for a, b in zip(weights(whole.net), weights(resumed.net), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.eval_logits, resumed.eval_logits)
    assert whole.curve == resumed.curve
    assert sorted(os.listdir(directory)) == ["result", "tensorboard"]


@pytest.mark.slow
def test_tensorboard_logs_the_curve_of_held_out_cases(tmp_path):
    curve = nets.train(ARM, data().hold_out(10), 0, tmp_path).curve
    logs = event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard" / "train")
    ).Reload()
    for key in ("loss", "errors"):
        events = logs.Tensors(f"epoch_{key}")
        assert [e.step + 1 for e in events] == [c["epoch"] for c in curve]
        np.testing.assert_allclose(
            [tf.make_ndarray(e.tensor_proto) for e in events],
            [c[key] for c in curve],
            rtol=1e-6,
        )


@pytest.mark.parametrize("held_out", (0, 10))
def test_the_bar_shows_errors_on_held_out_cases_alone(
    tmp_path, capsys, held_out
):
    given = data().hold_out(held_out) if held_out else data()
    nets.train(dataclasses.replace(ARM, epochs=1), given, 0, tmp_path)
    bar = capsys.readouterr().err
    assert "loss=" in bar and ("errors=" in bar) == bool(held_out)


def test_seeds_share_a_program_and_nothing_else(tmp_path, monkeypatch):
    arm = dataclasses.replace(ARM, epochs=2)
    compiled = []
    original = training.compiled_distiller

    def count(*arguments, **options):
        compiled.append(arguments)
        options |= {"jit_compile": False, "run_eagerly": True}
        return original(*arguments, **options)

    monkeypatch.setattr(training, "compiled_distiller", count)
    nets._compiled.cache_clear()
    first, second = (
        nets.train(arm, data(), seed, tmp_path / str(seed)) for seed in (0, 1)
    )
    assert len(compiled) == 1
    nets._compiled.cache_clear()
    alone = nets.train(arm, data(), 1, tmp_path / "alone")
    nets._compiled.cache_clear()
    assert len(compiled) == 2
    for a, b in zip(weights(second.net), weights(alone.net), strict=True):
        np.testing.assert_array_equal(a, b)
    assert second.curve == alone.curve
    # The first one's result stays what it was.
    inputs = data().inputs(data().eval_images)
    np.testing.assert_array_equal(
        nets.predict(first.net, inputs), first.eval_logits
    )
    assert (first.eval_logits != second.eval_logits).any()


@pytest.mark.usefixtures("trains_eagerly")
def test_the_epoch_that_is_best_on_cases_to_stop_by_is_taken(tmp_path):
    given = data()
    aside = given.train_images[30:], given.train_labels[30:]
    seen = dataclasses.replace(
        given,
        train_images=given.train_images[:30],
        train_labels=given.train_labels[:30],
    )
    arm = nets.Arm("labels", 6, 0.05, 8, 8, steps=2, keep_best=True)
    result = nets.train(arm, seen, 0, tmp_path, stop_by=aside)
    assert len(result.curve) == 8
    name = nets._STOP_BY
    best = max(point[name] for point in result.curve)
    assert result.best == next(p for p in result.curve if p[name] == best)
    right = nets.predict(result.net, given.inputs(aside[0])).argmax(-1)
    assert (right == aside[1]).mean() == best
    wrong = result.eval_logits.argmax(-1) != given.eval_labels
    assert wrong.sum() == result.best["errors"]


@pytest.mark.usefixtures("trains_eagerly")
def test_an_epoch_has_the_steps_of_its_arm(tmp_path, monkeypatch):
    asked = []

    def training_batches(*arguments, first_step, last_step, **options):
        asked.append((first_step, last_step))
        return original(
            *arguments, first_step=first_step, last_step=last_step, **options
        )

    original = nets.batches.training_batches
    monkeypatch.setattr(nets.batches, "training_batches", training_batches)
    arm = nets.Arm("labels", 6, 0.01, 3, 8, steps=7)  # a pass is 5
    nets.train(arm, data(), 0, tmp_path)
    assert asked == [(0, 21)]


def test_a_finished_arm_is_loaded_and_not_trained(tmp_path, monkeypatch):
    first = nets.train(ARM, data(), 0, tmp_path / "arm")
    monkeypatch.setattr(nets, "_train", None)
    again = nets.train(ARM, data(), 0, tmp_path / "arm")
    np.testing.assert_array_equal(first.eval_logits, again.eval_logits)
    np.testing.assert_array_equal(
        nets.predict(again.net, data().inputs(data().eval_images)),
        first.eval_logits,
    )


@pytest.mark.slow
def test_max_norm_bounds_the_weights_into_each_hidden_unit(tmp_path):
    arm = dataclasses.replace(ARM, max_norm=0.5, learning_rate=0.1)
    net = nets.train(arm, data(), 0, tmp_path / "arm").net
    dense = [la for la in net.layers if isinstance(la, keras.layers.Dense)]
    for layer in dense[:2]:
        norms = np.linalg.norm(layer.kernel, axis=0)
        assert norms.max() <= 0.5 + 1e-5
    assert np.linalg.norm(dense[2].kernel, axis=0).max() > 0.5


@pytest.mark.slow
def test_a_distilled_arm_learns_its_soft_targets(tmp_path):
    # A student without labels, of a teacher that takes class 2 for 0.
    given = data()
    confused = np.eye(3)[
        np.where(given.train_labels == 2, 0, given.train_labels)
    ]
    arm = nets.Arm(
        name="distilled",
        units=16,
        learning_rate=0.01,
        epochs=40,
        batch_size=8,
        temperature=2.0,
        soft_weight=1.0,
        hard_weight=0.0,
    )
    result = nets.train(
        arm, given, 0, tmp_path / "arm", soft_targets=8 * confused[None]
    )
    choices = nets.predict(result.net, given.inputs(given.train_images))
    choices = choices.argmax(-1)
    assert (choices == confused.argmax(-1)).mean() > 0.9
    assert not (choices == 2).any()


def test_logit_matching_is_the_distance_of_zero_meaned_logits():
    rng = np.random.default_rng(0)
    theirs, ours = rng.normal(size=(2, 5, 3)).astype(np.float32)
    student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    distiller = nets.LogitMatching(student, temperature=4.0)
    targets = types.SimpleNamespace(teacher_logits=theirs)
    gap = (ours - theirs).astype(np.float64)
    gap -= gap.mean(-1, keepdims=True)
    loss = distiller.compute_loss(y=targets, y_pred=tf.constant(ours))
    expected = (gap**2).sum(-1).mean() / 2
    np.testing.assert_allclose(loss, expected, rtol=1e-6)

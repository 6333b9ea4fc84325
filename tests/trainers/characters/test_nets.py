"""trainers.characters.nets: arms on a few made-up drawings."""

import dataclasses

import numpy as np
import pytest

from tests.character_runs import CLASSES, DATA, SETTINGS, SIZE, make_run
from trainers.characters import nets, views
from trainers.characters import run as runs


def test_multiply_adds():
    """Of three convolutions on 4 x 4, 2 x 2 and 1 x 1 places."""
    arm = dataclasses.replace(runs.labels(SETTINGS), width=5)
    net = nets.build_net(arm, SIZE, CLASSES, seed=0)
    assert nets.multiply_adds(net) == (
        16 * 9 * 1 * 5 + 4 * 9 * 5 * 10 + 9 * 10 * 20 + 20 * CLASSES
    )


def test_students_of_a_seed_begin_alike():
    labels, distilled = runs.labels(SETTINGS), runs.distilled(SETTINGS)
    first, same, other = (
        nets.build_net(arm, SIZE, CLASSES, seed).get_weights()
        for arm, seed in ((labels, 0), (distilled, 0), (labels, 1))
    )
    for a, b in zip(first, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != other[0]).all()


def test_regularisers_are_those_of_the_arm():
    arm = dataclasses.replace(runs.labels(SETTINGS), l2=0.1, dropout=0.5)
    net = nets.build_net(arm, SIZE, CLASSES, seed=0)
    kernels = [w for w in net.get_weights() if w.ndim > 1]
    assert len(kernels) == 4
    expected = sum(0.1 * np.sum(np.square(kernel)) for kernel in kernels)
    assert sum(map(float, net.losses)) == pytest.approx(expected, rel=1e-5)
    x = views.plain(DATA.test_images, 255)
    trained = [net(x, training=True).numpy() for _ in range(2)]
    assert (trained[0] != trained[1]).any()


class Killed(Exception):
    """Ends a training."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.usefixtures("trains_eagerly")
def test_a_student_learns_from_the_teacher_of_its_seed(run, monkeypatch):
    """The soft loss of a batch is the KL to that teacher's softmax at T."""
    arm = dataclasses.replace(runs.distilled(SETTINGS), temperature=3.0)
    [teacher] = run.train(arm.teacher)
    x, losses = views.plain(DATA.train_images, 255), []

    def fit(model, *arguments):
        nets_logits = [nets.predict(n, x) for n in (teacher.net, model.student)]
        theirs, ours = (log_softmax(z.astype(float) / 3) for z in nets_logits)
        kl = (np.exp(theirs) * (theirs - ours)).sum(-1).mean()
        found = model.evaluate(
            x, DATA.train_labels, verbose=0, return_dict=True
        )
        losses.append((found["soft_loss"], kl))
        return {"curve": [], "epoch": 1, "seconds": 0.0}

    monkeypatch.setattr(nets, "_fit", fit)
    [result] = run.train(arm)
    [(found, expected)] = losses
    assert found == pytest.approx(expected, rel=1e-4)
    # What is there is not trained again.
    [again] = run.train(arm)
    assert len(losses) == 1
    np.testing.assert_array_equal(again.eval_logits, result.eval_logits)


@pytest.mark.usefixtures("trains_eagerly")
def test_what_is_stored_is_of_test_and_of_held_out_cases(run):
    [result] = run.train(runs.labels(SETTINGS))
    for images, labels, accuracy in (
        (
            DATA.held_out_images,
            DATA.held_out_labels,
            result.curve[-1]["held_out_accuracy"],
        ),
        (
            DATA.test_images,
            DATA.test_labels,
            1 - run.wrong([result]).mean(),
        ),
    ):
        logits = nets.predict(result.net, views.plain(images, 255))
        right = (logits.argmax(-1) == labels).mean()
        assert accuracy == pytest.approx(right)
    np.testing.assert_allclose(result.eval_logits, logits, atol=1e-5)


@pytest.mark.usefixtures("trains_eagerly")
def test_killed_it_ends_as_undisturbed(run, tmp_path, monkeypatch):
    arm = dataclasses.replace(runs.labels(SETTINGS), epochs=3, dropout=0.3)
    [expected] = run.train(arm)
    predict = nets.predict
    calls = []

    def dies(net, inputs):
        calls.append(net)
        if len(calls) == 2:
            raise Killed
        return predict(net, inputs)

    killed = dataclasses.replace(run, directory=tmp_path)
    monkeypatch.setattr(nets, "predict", dies)
    with pytest.raises(Killed):
        killed.train(arm)
    [found] = killed.train(arm)
    assert [p["epoch"] for p in found.curve] == [1, 2, 3]
    np.testing.assert_allclose(
        found.eval_logits, expected.eval_logits, atol=1e-5
    )

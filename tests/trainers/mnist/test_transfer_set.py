"""trainers.mnist.transfer_set: the teacher's answers about each image."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests.trainers.mnist.test_nets import ARM, data
from trainers.mnist import nets, transfer_set


def teacher():
    return nets.build_net(ARM, 16, 3, seed=0)


@pytest.mark.parametrize("jitter", (0, 1))
@pytest.mark.parametrize("batch", (2000, 7))
def test_soft_targets_are_the_teachers_answers(
    tmp_path, jitter, batch, monkeypatch
):
    monkeypatch.setattr(transfer_set, "_BATCH", batch)
    net, given = teacher(), data()
    store = tmp_path / "store"
    assert not transfer_set.is_stored(store)
    transfer_set.write(net, given, store, jitter=jitter)
    assert transfer_set.is_stored(store)
    stored = transfer_set.read(given, store, jitter=jitter)
    assert stored.shape == ((2 * jitter + 1) ** 2, 40, 3)
    padded = np.pad(given.train_images, ((0, 0), (jitter,) * 2, (jitter,) * 2))
    for (top, left), logits in zip(
        np.ndindex(2 * jitter + 1, 2 * jitter + 1), stored, strict=True
    ):
        shown = padded[:, top : top + 4, left : left + 4]
        expected = nets.predict(net, given.inputs(shown))
        expected -= expected.max(-1, keepdims=True)
        np.testing.assert_allclose(logits, expected, atol=2e-3)


def test_those_of_another_teacher_are_not_taken_for_them(tmp_path):
    transfer_set.write(teacher(), data(), tmp_path)
    other = nets.build_net(ARM, 16, 3, seed=1)
    with pytest.raises(ValueError, match="teacher"):
        transfer_set.write(other, data(), tmp_path)


def test_those_of_other_images_are_not_taken_for_them(tmp_path):
    given = data()
    transfer_set.write(teacher(), given, tmp_path)
    others = dataclasses.replace(given, train_images=given.train_images[::-1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the one that"):
        transfer_set.read(others, tmp_path)


def test_those_of_another_temperature_are_not_taken_for_them(tmp_path):
    ensemble = kdtf.Ensemble([teacher(), nets.build_net(ARM, 16, 3, seed=1)])
    transfer_set.write(ensemble, data(), tmp_path, temperature=2.0)
    transfer_set.read(data(), tmp_path, temperature=2.0)
    with pytest.raises(ValueError, match=r"temperature, 4\.0\. Rec.*=2\.0"):
        transfer_set.read(data(), tmp_path, temperature=4.0)

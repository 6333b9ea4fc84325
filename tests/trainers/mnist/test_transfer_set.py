"""trainers.mnist.transfer_set: the teacher's answers about each image."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests.trainers.mnist.test_nets import ARM, data
from trainers.mnist import architectures, batches, nets, transfer_set
from trainers.mnist.moves import Moves


def teacher():
    return architectures.build_net(ARM, 16, 3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("moves", "views"), [(Moves(), 1), (Moves(1.0), 3)])
@pytest.mark.parametrize("batch", (2000, 7))
def test_soft_targets_are_the_teachers_answers(
    tmp_path, moves, views, batch, monkeypatch
):
    monkeypatch.setattr(transfer_set, "_BATCH", batch)
    net, given = teacher(), data()
    store, shown = tmp_path / "store", {"moves": moves, "views": views}
    assert not transfer_set.is_stored(store)
    transfer_set.write(net, given, store, **shown)
    assert transfer_set.is_stored(store)
    stored = transfer_set.read(given, store, **shown)
    assert stored.shape == (views, 40, 3)
    for number, logits in enumerate(stored):
        [x] = batches.view(
            given.train_images,
            tf.constant(number, tf.int64),
            moves,
            white=given.white,
            batch_size=40,
        )
        expected = nets.predict(net, x)
        expected -= expected.max(-1, keepdims=True)
        np.testing.assert_allclose(logits, expected, atol=2e-3)


def test_those_of_another_teacher_are_not_taken_for_them(tmp_path):
    transfer_set.write(teacher(), data(), tmp_path)
    other = architectures.build_net(ARM, 16, 3, seed=1)
    with pytest.raises(ValueError, match="teacher"):
        transfer_set.write(other, data(), tmp_path)


def test_those_of_other_images_are_not_taken_for_them(tmp_path):
    given = data()
    transfer_set.write(teacher(), given, tmp_path)
    others = dataclasses.replace(given, train_images=given.train_images[::-1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the one that"):
        transfer_set.read(others, tmp_path)


@pytest.mark.slow
def test_those_of_another_temperature_are_not_taken_for_them(tmp_path):
    ensemble = kdtf.Ensemble(
        [teacher(), architectures.build_net(ARM, 16, 3, seed=1)]
    )
    transfer_set.write(ensemble, data(), tmp_path, temperature=2.0)
    transfer_set.read(data(), tmp_path, temperature=2.0)
    with pytest.raises(ValueError, match=r"temperature, 4\.0\. Rec.*=2\.0"):
        transfer_set.read(data(), tmp_path, temperature=4.0)

"""trainers.data: the two data sets and the split for choosing settings."""

import pathlib
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from trainers.data import ImageData, digits, mnist

# Beside the checkout on the machines that have it; nobody else needs it.
MANUAL = (
    pathlib.Path(__file__).resolve().parents[4] / "shared/data/manual/mnist"
)


def test_digits_are_real_and_split_the_same_every_time():
    data, again = digits.load(), digits.load()
    np.testing.assert_array_equal(data.train_images, again.train_images)
    assert data.train_images.shape == (898, 8, 8)
    assert data.eval_images.shape == (899, 8, 8)
    assert data.train_images.max() == data.white == 16
    counts = [np.bincount(y) for y in (data.train_labels, data.eval_labels)]
    assert np.abs(counts[0] - counts[1]).max() <= 1
    assert data.inputs(data.train_images).max() == 1.0


def small():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1)
    labels = np.arange(20, dtype=np.int32)
    return ImageData(images[:15], labels[:15], images[15:], labels[15:], 20, 20)


def test_held_out_cases_are_training_cases_and_the_test_set_is_gone():
    data = small().hold_out(5)
    assert data.eval_name == "held-out" and len(data.eval_labels) == 5
    kept, held_out = set(data.train_labels), set(data.eval_labels)
    assert kept | held_out == set(range(15)) and not kept & held_out
    np.testing.assert_array_equal(data.train_images[:, 0, 0], data.train_labels)
    np.testing.assert_array_equal(data.eval_images[:, 0, 0], data.eval_labels)
    again = small().hold_out(5)
    np.testing.assert_array_equal(again.eval_labels, data.eval_labels)


@pytest.mark.parametrize("count", (0, -1, 15, 99))
def test_as_many_held_out_as_there_are_is_refused(count):
    with pytest.raises(ValueError, match="`held_out` must be from 1 to 14"):
        small().hold_out(count)


def test_mnist_that_cannot_be_had_names_the_flags(tmp_path, monkeypatch):
    class Unreachable:
        def download_and_prepare(self, download_config):
            raise ConnectionError("no network")

    # The whole name, since older versions of TFDS load their attributes late.
    unreachable = types.SimpleNamespace(
        builder=lambda *_, **__: Unreachable(), download=tfds.download
    )
    monkeypatch.setattr(mnist, "tfds", unreachable)
    expected = "--manual_dir=.*--data_dir=.*--dataset=digits.*no network"
    with pytest.raises(RuntimeError, match=expected):
        mnist.load(str(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(not MANUAL.exists(), reason="needs MNIST's four files")
def test_mnist_from_its_original_files(tmp_path):
    data = mnist.load(str(tmp_path), str(MANUAL))
    assert data.train_images.shape == (60000, 28, 28)
    assert data.eval_images.shape == (10000, 28, 28)
    # The paper's 1,010 test 3s.
    assert (data.eval_labels == 3).sum() == 1010

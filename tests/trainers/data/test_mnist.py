"""trainers.data.mnist: what helps without the data; the original files."""

import functools
import gzip
import pathlib
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from trainers.data import mnist, tfds_builders

# Next to the checkout on machines that have it; not needed otherwise.
MANUAL = (
    pathlib.Path(__file__).resolve().parents[4] / "shared/data/manual/mnist"
)


def test_advice_if_mnist_cannot_be_prepared(tmp_path, monkeypatch):
    class Unreachable:
        def download_and_prepare(self, download_config):
            raise ConnectionError("no network")

    # All of `tfds` is replaced, since older versions load attributes lazily.
    unreachable = types.SimpleNamespace(
        builder=lambda *_, **__: Unreachable(), download=tfds.download
    )
    monkeypatch.setattr(mnist, "tfds", unreachable)
    expected = "--manual_dir=.*--data_dir=.*--dataset=digits.*no network"
    with pytest.raises(RuntimeError, match=expected):
        mnist.load(str(tmp_path))


def original(part):
    """The first 10,000 images and labels of two of the original files."""
    with gzip.open(MANUAL / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(16 + 10_000 * 784)[16:], np.uint8)
    with gzip.open(MANUAL / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + 10_000)[8:], np.uint8)
    return images.reshape(-1, 28, 28), labels


def pairs(images, labels):
    """Sorted images with their labels: TFDS shuffles when it prepares."""
    return sorted(
        (image.tobytes(), int(label))
        for image, label in zip(images, labels, strict=True)
    )


@pytest.mark.slow
@pytest.mark.skipif(not MANUAL.exists(), reason="needs MNIST's four files")
def test_mnist_from_its_original_files(tmp_path, monkeypatch):
    """All test images, and as many training images: the rest takes 10 s."""
    config = functools.partial(
        tfds.download.DownloadConfig, max_examples_per_split=10_000
    )
    monkeypatch.setattr(
        tfds_builders,
        "tfds",
        types.SimpleNamespace(
            download=types.SimpleNamespace(DownloadConfig=config)
        ),
    )
    data = mnist.load(str(tmp_path), str(MANUAL))
    assert data.train_images.shape == (10_000, 28, 28)
    assert data.eval_images.shape == (10_000, 28, 28)
    # The paper's 1,010 test 3s.
    assert (data.eval_labels == 3).sum() == 1010
    train = pairs(data.train_images, data.train_labels)
    assert train == pairs(*original("train"))
    test = pairs(data.eval_images, data.eval_labels)
    assert test == pairs(*original("t10k"))

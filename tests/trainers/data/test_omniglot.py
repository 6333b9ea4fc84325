"""trainers.data.omniglot: made-up characters whose pixels name them."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import omniglot

SPLITS = {"train": (0, 2), "test": (1,)}  # the characters of each


def case(label, drawer):
    """A character in one shade, `20 * label + drawer` darker than white."""
    shade = 255 - (20 * label + drawer)
    return np.full((56, 56, 3), shade, np.uint8), label


def use(monkeypatch, case=case):
    """Puts the cases in place of TFDS's, drawer by drawer."""

    class Builder:
        def download_and_prepare(self, download_config):
            pass

        def as_dataset(self, split, shuffle_files):
            assert not shuffle_files
            cases = [case(k, d) for d in range(20) for k in SPLITS[split]]
            images, labels = map(np.stack, zip(*cases, strict=True))
            return tf.data.Dataset.from_tensor_slices(
                {"image": images, "label": labels}
            )

    def builder(name, data_dir):
        assert (name, data_dir) == ("omniglot", "there")
        return Builder()

    monkeypatch.setattr(
        omniglot, "tfds", types.SimpleNamespace(builder=builder)
    )


@pytest.mark.parametrize("characters", (1, 2, 3))
def test_fifteen_drawers_train_and_five_test(monkeypatch, characters):
    use(monkeypatch)
    data = omniglot.load("there", characters=characters)
    assert data.classes == characters and data.white == 255
    for images, labels, drawers in (
        (data.train_images, data.train_labels, range(15)),
        (data.eval_images, data.eval_labels, range(15, 20)),
    ):
        expected = np.repeat(np.arange(characters), len(drawers))
        np.testing.assert_array_equal(labels, expected)
        assert labels.dtype == np.int32
        assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)
        # Ink is white, and twice as bright.
        shades = [2 * (20 * k + d) for k in range(characters) for d in drawers]
        np.testing.assert_array_equal(images[:, 3, 4], shades)


def test_strokes_are_averaged_then_brightened_up_to_white(monkeypatch):
    """Blocks of 2 x 2 pixels with 0, 1, 2 and 4 black pixels."""
    image = np.full((56, 56, 3), 255, np.uint8)
    image[0, 2] = image[0:2, 4] = image[0:2, 6:8] = 0
    use(monkeypatch, lambda label, drawer: (image, label))
    data = omniglot.load("there", characters=3)
    # 255 times a quarter, a half and all of the block, times 2, at most 255.
    np.testing.assert_array_equal(
        data.train_images[0, 0, :5], [0, 128, 255, 255, 0]
    )
    assert not data.train_images[:, 1:].any()


@pytest.mark.parametrize("characters", (0, -1, 4))
def test_as_many_characters_as_there_are(monkeypatch, characters):
    use(monkeypatch)
    expected = f"`characters` must be from 1 to 3.*characters={characters}"
    with pytest.raises(ValueError, match=expected):
        omniglot.load("there", characters=characters)


@pytest.mark.parametrize("characters", (1, 3))
def test_thirteen_drawers_train_two_are_held_out(monkeypatch, characters):
    use(monkeypatch)
    data = omniglot.load_split("there", characters=characters)
    assert data.classes == characters and data.white == 255
    assert (
        data.class_names
        == ("character 0", "character 1", "character 2")[:characters]
    )
    for images, labels, drawers in (
        (data.train_images, data.train_labels, range(13)),
        (data.held_out_images, data.held_out_labels, range(13, 15)),
        (data.test_images, data.test_labels, range(15, 20)),
        (data.class_images, np.arange(characters, dtype=np.int32), range(1)),
    ):
        expected = np.repeat(np.arange(characters), len(drawers))
        np.testing.assert_array_equal(labels, expected)
        assert labels.dtype == np.int32
        shades = [2 * (20 * k + d) for k in range(characters) for d in drawers]
        np.testing.assert_array_equal(images[:, 3, 4], shades)
        assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)


def test_data_that_are_not_there(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise ConnectionError("no network")

    builder = type(tfds.builder("omniglot", data_dir=str(tmp_path)))
    monkeypatch.setattr(builder, "download_and_prepare", no_network)
    expected = "Omniglot could not be prepared. Give --data_dir=FOLDER"
    with pytest.raises(RuntimeError, match=expected):
        omniglot.load_split(str(tmp_path))


def test_images_of_any_size(monkeypatch):
    use(monkeypatch)
    data = omniglot.load_split("there", characters=2, size=14)
    assert data.test_images.shape == (10, 14, 14)
    shades = [2 * (20 * k + d) for k in range(2) for d in range(15, 20)]
    np.testing.assert_array_equal(data.test_images[:, 3, 4], shades)

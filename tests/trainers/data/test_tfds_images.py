"""trainers.data.tfds_images: data sets that TFDS has written to disk."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests import tfds_words
from trainers.data import tfds_images

NAMES = ("rose", "tulip", "aster")
GREY = (None, None, 1)


def write(data_dir, examples, *, shape=GREY, dtype=np.uint8, **others):
    """Writes images and labels in place of words."""
    features = {
        "audio": None,
        "image": tfds.features.Image(shape=shape, dtype=dtype),
        "label": tfds.features.ClassLabel(names=NAMES),
        **others,
    }
    return tfds_words.write(data_dir, examples, **features)


def load(data_dir, **options):
    return tfds_images.load(
        tfds_words.NAME, data_dir=data_dir, **{"size": 2, **options}
    )


def example(shade, label="rose", side=4, channels=1):
    return {
        "image": np.full((side, side, channels), shade, np.uint8),
        "label": label,
    }


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """20 training cases in shades of 0 to 19, and 2 test cases."""
    examples = {
        "train": [example(k, NAMES[2 * (k % 2)]) for k in range(20)],
        "test": [example(100, "aster"), example(101)],
    }
    return write(tmp_path_factory.mktemp("twenty"), examples)


def test_three_parts(twenty):
    data = load(twenty, held_out=0.25)
    assert data.classes == 3 and data.class_names == NAMES
    assert data.white == 255
    assert len(data.train_labels) == 15 and len(data.held_out_labels) == 5
    shades = []
    for images, labels in (
        (data.train_images, data.train_labels),
        (data.held_out_images, data.held_out_labels),
    ):
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        assert images.shape == (len(labels), 2, 2)
        shades.append(images[:, 0, 0])
        np.testing.assert_array_equal(labels, 2 * (shades[-1] % 2))
    assert sorted(np.concatenate(shades)) == list(range(20))
    np.testing.assert_array_equal(data.test_images[:, 1, 1], [100, 101])
    np.testing.assert_array_equal(data.test_labels, [2, 0])
    # The first training cases of two classes; there is none of the second.
    np.testing.assert_array_equal(data.class_images[:, 0, 0], [0, 0, 1])
    again = load(twenty, held_out=0.25)
    np.testing.assert_array_equal(again.held_out_images, data.held_out_images)
    assert set(shades[1]) != set(range(5)) and set(shades[1]) != set(
        range(15, 20)
    )


@pytest.mark.parametrize("share, count", ((0.001, 1), (0.1, 2), (0.999, 19)))
def test_a_case_is_left_on_either_side(share, count, twenty):
    data = load(twenty, held_out=share)
    assert len(data.held_out_labels) == count
    assert len(data.train_labels) == 20 - count


def test_pixels_are_means_of_the_areas_that_they_cover(tmp_path):
    """A picture of 4 x 6 and one of 2 x 2, in colours, as 2 x 2."""
    rng = np.random.default_rng(0)
    wide = rng.integers(256, size=(4, 6, 3), dtype=np.uint8)
    small = rng.integers(256, size=(2, 2, 3), dtype=np.uint8)
    examples = {
        "train": [example(0, channels=3)] * 2,
        "test": [{"image": image, "label": "tulip"} for image in (wide, small)],
    }
    data_dir = write(tmp_path, examples, shape=(None, None, 3))
    data = load(data_dir)
    assert data.train_images.shape == (1, 2, 2, 3)
    assert data.class_images.shape == (3, 2, 2, 3)
    means = wide.astype(float).reshape(2, 2, 2, 3, 3).mean((1, 3))
    assert abs(data.test_images[0] - means).max() <= 0.5
    np.testing.assert_array_equal(data.test_images[1], small)


@pytest.mark.parametrize(
    "others, message",
    (
        ({"label": tfds.features.Text()}, "a feature `label`.*ClassLabel"),
        (
            {"image": tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8)},
            "a feature `image`.*Image.*=tiny_words",
        ),
        (
            {"image": tfds.features.Image(shape=(4, 4, 1), dtype=np.uint16)},
            "images of 1 or 3 channels and 8 bits.*of 1 channels, uint16",
        ),
    ),
)
def test_unsuitable_features(others, message, tmp_path):
    case = example(1)
    if "image" in others:
        case["image"] = case["image"].astype(others["image"].np_dtype)
    data_dir = write(tmp_path, {"train": [case] * 2}, **others)
    with pytest.raises(ValueError, match=f"--dataset must have {message}"):
        load(data_dir)


@pytest.mark.parametrize(
    "examples, message",
    (
        (
            {"train": [example(1)] * 2},
            "a split `test`.*=tiny_words with train",
        ),
        (
            {"full": [example(1)], "test": [example(1)] * 2},
            "a split `train`.*with full, test",
        ),
        (
            {"train": [example(1)], "test": [example(1)] * 2},
            "at least two cases in its split `train`",
        ),
        (
            {"train": [example(1)] * 2, "test": [example(1), example(2, -1)]},
            "a label for every case of `test`.*, 1 without one",
        ),
    ),
)
def test_unsuitable_splits(examples, message, tmp_path):
    data_dir = write(tmp_path, examples)
    with pytest.raises(ValueError, match=f"--dataset must have {message}"):
        load(data_dir)


@pytest.mark.parametrize(
    "options, message",
    (
        ({"size": 0}, "`size` must be at least 1 pixel. Received: size=0"),
        ({"held_out": 0.0}, "`held_out` must be a share.*held_out=0.0"),
        ({"held_out": 1.0}, "`held_out` must be a share.*held_out=1.0"),
    ),
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        load("nowhere", **options)


def test_an_unknown_data_set(tmp_path):
    expected = r"--dataset must be glyphs, omniglot, or.*=nobodys_flowers"
    with pytest.raises(ValueError, match=expected):
        tfds_images.load("nobodys_flowers", data_dir=str(tmp_path))

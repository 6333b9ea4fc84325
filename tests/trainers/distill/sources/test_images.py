"""trainers.distill.sources.images: pixels, sizes, colours and broken files."""

import struct

import numpy as np
import pytest
import tensorflow as tf

from tests import distill_data
from trainers.distill.sources import images, specs

SPEC = specs.of_data("folder:there")


@pytest.mark.parametrize("channels", (1, 2, 3, 4))
def test_pixels_stay_as_they_are(channels):
    image = np.random.default_rng(0).integers(256, size=(4, 5, channels))
    same = 3 if channels >= 3 else 1
    shown = images.shown(tf.constant(image), (4, 5), same, "antialias")
    assert shown.dtype == tf.float32 and shown.shape == (4, 5, same)
    np.testing.assert_array_equal(shown, image[..., :same])


def test_colours():
    grey = np.arange(6.0).reshape(2, 3, 1)
    shown = images.shown(tf.constant(grey), (2, 3), 3, "antialias")
    np.testing.assert_array_equal(shown, np.repeat(grey, 3, -1))
    red = np.zeros((1, 1, 3))
    red[..., 0] = 100.0
    shown = images.shown(tf.constant(red), (1, 1), 1, "antialias")
    # ITU-R BT.601
    np.testing.assert_allclose(shown, [[[29.89]]], atol=0.01)


def test_areas():
    image = np.arange(16.0).reshape(4, 4, 1)
    shown = images.shown(tf.constant(image), (2, 2), 1, "area")
    np.testing.assert_allclose(shown[..., 0], [[2.5, 4.5], [10.5, 12.5]])


def test_bilinear_is_that_of_keras_loader(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        image = rng.integers(256, size=(9, 7, 3))
        distill_data.write_image(tmp_path / name / "1.png", image)
    import keras

    expected = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(4, 4), shuffle=False, verbose=False
    )
    [(pixels, _)] = expected
    for path, wanted in zip("ab", pixels, strict=True):
        image = images.decode((tmp_path / path / "1.png").read_bytes())
        shown = images.shown(image, (4, 4), 3, "bilinear")
        np.testing.assert_allclose(shown, wanted, atol=1e-4)


def test_sixteen_bits_become_eight():
    wide = tf.io.encode_png(np.full((1, 1, 1), 65535, np.uint16))
    assert images.decode(wide).numpy() == [[[255]]]


def broken(tmp_path):
    """Files that cannot be read, and what is said of them."""
    distill_data.write_image(tmp_path / "whole.png", np.ones((9, 9, 3)))
    whole = (tmp_path / "whole.png").read_bytes()
    jpeg = tf.io.encode_jpeg(np.ones((99, 99, 3), np.uint8)).numpy()
    return {
        "empty.png": b"",
        "text.png": b"no image at all",
        "cut.png": whole[:-20],
        "cut.jpg": jpeg[: len(jpeg) // 2],
    }


@pytest.mark.parametrize("most", (0, 2**20))
@pytest.mark.parametrize(
    "name", ("empty.png", "text.png", "cut.png", "cut.jpg")
)
def test_broken_files_are_named(name, most, tmp_path, monkeypatch):
    """Of few files and of many."""
    monkeypatch.setattr(images, "DECODED_BYTES", most)
    path = tmp_path / name
    path.write_bytes(broken(tmp_path)[name])
    files = [str(tmp_path / "whole.png"), str(path)]
    with pytest.raises(ValueError, match=f"--data must.*whose file .*{name}"):
        images.require_readable(files, SPEC)


@pytest.mark.parametrize("most", (0, 2**20))
def test_whole_files_pass(most, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "DECODED_BYTES", most)
    image = np.ones((9, 9, 3), np.uint8)
    jpeg = tf.io.encode_jpeg(image).numpy()
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (tmp_path / "more.jpg").write_bytes(jpeg + b"after its end")
    distill_data.write_image(tmp_path / "b.png", image)
    images.require_readable([str(p) for p in tmp_path.iterdir()], SPEC)


def bmp_of_palette(numbers, palette):
    """A BMP of 8 bits: `[4, 4]` numbers of colours, `[256, 3]` colours."""
    rows = np.asarray(numbers, np.uint8)[::-1].tobytes()  # the lowest first
    # Blue, green, red and an unused byte.
    colours = np.pad(np.asarray(palette, np.uint8)[:, ::-1], [(0, 0), (0, 1)])
    start = 14 + 40 + colours.size
    return (
        struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
        + struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 8, 0, len(rows), *[0] * 4)
        + colours.tobytes()
        + rows
    )


@pytest.mark.parametrize("most", (0, 2**20))
def test_palettes_of_bmp(most, tmp_path, monkeypatch):
    """One of greys is no palette to speak of; of colours they would be lost."""
    monkeypatch.setattr(images, "DECODED_BYTES", most)
    numbers, path = np.arange(16).reshape(4, 4), tmp_path / "a.bmp"
    greys = np.tile(np.arange(256)[:, None], 3)
    path.write_bytes(bmp_of_palette(numbers, greys))
    images.require_readable([path], SPEC)
    pixels = images.decode(path.read_bytes())
    np.testing.assert_array_equal(pixels, numbers[..., None])
    for other in (greys[::-1], greys * [1, 0, 1]):
        path.write_bytes(bmp_of_palette(numbers, other))
        with pytest.raises(ValueError, match=r"a\.bmp is none: .* palette"):
            images.require_readable([path], SPEC)

"""Images as nets take them, and files that hold one."""

import concurrent.futures
import pathlib

import numpy as np
import tensorflow as tf

from trainers.distill.sources import parts

METHODS = ("antialias", "bilinear", "area", "nearest")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# So much is decoded before a run begins, to find what cannot be. Of more only
# beginning and end are looked at.
DECODED_BYTES = 256 * 2**20
# No BMP, whose palette is in its middle.
_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")
_ENDS = {b"\x89PNG": b"IEND\xaeB`\x82", b"\xff\xd8": b"\xff\xd9"}


def decode(encoded):
    """The pixels of a PNG, JPEG, GIF (its first image) or BMP.

    Args:
      encoded: scalar string tensor.

    Returns:
      `[height, width, channels]` uint8 tensor.
    """
    return tf.io.decode_image(encoded, expand_animations=False)


def shown(image, size, channels, resize):
    """An image of some size and colours.

    Args:
      image: `[height, width, 1 to 4]` tensor, 0 to 255; of a second or fourth
        channel, which is opacity, nothing is used.
      size: `(height, width)`; the image is stretched to it.
      channels: 1 or 3.
      resize: str, one of `METHODS`.

    Returns:
      `[*size, channels]` float32 tensor, 0 to 255.
    """
    image = _coloured(tf.cast(image, tf.float32), channels)
    # Not done for nothing: tf.image.resize rounds differently on a GPU.
    if tuple(image.shape[:2]) != tuple(size):
        image = tf.image.resize(
            image,
            size,
            "bilinear" if resize == "antialias" else resize,
            antialias=resize == "antialias",
        )
    return tf.ensure_shape(image, (*size, channels))


def _coloured(image, channels):
    known = image.shape[-1]
    colours = tf.shape(image)[-1] >= 3 if known is None else known >= 3
    if channels == 3:
        return _either(
            colours,
            lambda: image[..., :3],
            lambda: tf.image.grayscale_to_rgb(image[..., :1]),
        )
    return _either(
        colours,
        lambda: tf.image.rgb_to_grayscale(image[..., :3]),
        lambda: image[..., :1],
    )


def _either(condition, first, second):
    """One of two functions' results; of a bool the other is not traced."""
    if isinstance(condition, bool):
        return first() if condition else second()
    return tf.cond(condition, first, second)


def channels_of(image):
    """1 or 3, as an image has: grey or colours, whatever its opacity."""
    return 3 if image.shape[-1] >= 3 else 1


def require_readable(files, flag):
    """Requires that files can be decoded.

    Args:
      files: list of paths.
      flag: `specs.Spec` that named them.

    Raises:
      ValueError: if one cannot be; the message has its path.
    """
    total = sum(pathlib.Path(file).stat().st_size for file in files)
    wrong = _undecodable if total <= DECODED_BYTES else _suspicious
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for file, reason in zip(files, pool.map(wrong, files), strict=True):
            if reason:
                raise ValueError(
                    f"--{flag.flag} must have images that can be read (PNG, "
                    f"JPEG, GIF, BMP): mend or remove this one. Received: "
                    f"{flag}, whose file {file} is none: {reason}"
                )


def _suspicious(file):
    """As `_undecodable`, decoding only what begins or ends unusually."""
    with open(file, "rb") as opened:
        start = opened.read(16)
        opened.seek(0, 2)
        opened.seek(max(opened.tell() - 8, 0))
        end = opened.read()
    return None if looks_whole(start, end) else _undecodable(file)


def _undecodable(file):
    return reason_against(pathlib.Path(file).read_bytes())


def looks_whole(start, end):
    """Whether an image may begin and end with these bytes."""
    marks = [m for s, m in _ENDS.items() if start.startswith(s)]
    return start.startswith(_STARTS) and all(end.endswith(m) for m in marks)


def reason_against(encoded):
    """Why bytes are no image, a string, or None."""
    if not encoded:
        return "it is empty"
    try:
        decode(encoded)
    except tf.errors.OpError as error:
        return parts.reason_of(error)
    if _has_palette(encoded):
        return (
            "a BMP whose colours are in a palette, of which TensorFlow reads "
            "the numbers: store it as PNG"
        )
    return None


def _has_palette(encoded):
    """Whether bytes are a BMP of 8 bits whose colours are not its numbers."""
    if not encoded.startswith(b"BM"):
        return False
    start, header = (
        int.from_bytes(encoded[at : at + 4], "little") for at in (10, 14)
    )
    bits = int.from_bytes(encoded[28:30], "little")
    palette = np.frombuffer(encoded[14 + header : start], np.uint8)
    colours = palette[: len(palette) // 4 * 4].reshape(-1, 4)[:, :3]
    return bits == 8 and bool((np.arange(len(colours)) != colours.T).any())

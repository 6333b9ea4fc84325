"""Omniglot through TensorFlow Datasets: many handwritten characters."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import tfds_builders
from trainers.data.images import ImageData, SplitImages

SIZE = 28  # pixels, height and width
_DRAWERS, _TRAINING_DRAWERS = 20, 15
_HELD_OUT_DRAWERS = 2  # the last of the training drawers


def load(data_dir: str | None = None, *, characters: int = 1000) -> ImageData:
    """Loads characters by 20 drawers each, 15 for training and 5 for test.

    Args:
      data_dir: folder in which TFDS has prepared "omniglot", or None for its
        default.
      characters: int, how many of the 1,623 characters to take, in the order of
        their labels.

    Returns:
      `ImageData` with images of 28 x 28 pixels, in white on black.

    Raises:
      ValueError: if `characters` is less than 1, or more than there are.
      RuntimeError: if the data are not prepared and cannot be; the message
        names the flag that helps.
    """
    images = _by_character(data_dir, characters, SIZE)
    training, test = np.split(images, [_TRAINING_DRAWERS], axis=1)
    return ImageData(
        *_flat(training), *_flat(test), classes=characters, white=255
    )


def load_split(
    data_dir: str | None = None, *, characters: int = 1623, size: int = SIZE
) -> SplitImages:
    """Loads characters by 20 drawers, of whom 13 train and 2 are held out.

    Args:
      data_dir: folder in which TFDS has prepared "omniglot", or None for its
        default.
      characters: int, how many of the 1,623 characters to take, in the order of
        their labels.
      size: int, pixels of an image's height and width.

    Returns:
      `SplitImages` with images of size x size pixels, in white on black. The
      test cases are those of `load`, the training and held-out cases its
      training cases; the image of a class is that of the first drawer.

    Raises:
      ValueError: if `characters` is less than 1, or more than there are.
      RuntimeError: if the data are not prepared and cannot be; the message
        names the flags that help.
    """
    images = _by_character(data_dir, characters, size)
    kept = _TRAINING_DRAWERS - _HELD_OUT_DRAWERS
    training, held_out, test = np.split(
        images, [kept, _TRAINING_DRAWERS], axis=1
    )
    return SplitImages(
        *_flat(training),
        *_flat(held_out),
        *_flat(test),
        classes=characters,
        white=255,
        class_names=tuple(f"character {k}" for k in range(characters)),
        class_images=images[:, 0],
    )


def _by_character(
    data_dir: str | None, characters: int, size: int
) -> np.ndarray:
    """Returns `[characters, drawers, size, size]` uint8."""
    images, labels = _all_cases(data_dir, size)
    found = len(np.unique(labels))
    if not 0 < characters <= found:
        raise ValueError(
            f"`characters` must be from 1 to {found}. "
            f"Received: characters={characters}"
        )
    where = np.argsort(labels, kind="stable").reshape(-1, _DRAWERS)
    return images[where[:characters]]


def _flat(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images of some drawers as cases, and their labels."""
    characters, drawers = images.shape[:2]
    labels = np.repeat(np.arange(characters, dtype=np.int32), drawers)
    return images.reshape(-1, *images.shape[2:]), labels


def _all_cases(
    data_dir: str | None, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of both of TFDS's splits.

    They divide the characters, not the drawers, so a test on drawers needs
    both.
    """
    builder = tfds.builder("omniglot", data_dir=data_dir)
    tfds_builders.prepare(
        builder,
        "Omniglot",
        "Give --data_dir=FOLDER where TFDS has prepared it before.",
        data_dir=data_dir,
    )
    images, labels = [], []
    for split in ("train", "test"):
        dataset = builder.as_dataset(split=split, shuffle_files=False).map(
            functools.partial(_small, size=size),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        for image, label in dataset.batch(1000).as_numpy_iterator():
            images.append(image)
            labels.append(label)
    return np.concatenate(images), np.concatenate(labels)


def _small(case: dict[str, Any], *, size: int) -> tuple[Any, Any]:
    """Returns the small image of a case, in white on black, and its label."""
    ink = 255.0 - tf.cast(case["image"][..., :1], tf.float32)
    small = tf.image.resize(ink, (size, size), "area")[..., 0]
    # Averaging makes thin strokes grey; this makes them bright again.
    bright = tf.minimum(2.0 * small, 255.0)
    return tf.cast(tf.round(bright), tf.uint8), case["label"]

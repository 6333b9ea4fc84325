"""Omniglot through TensorFlow Datasets: many handwritten characters."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data.images import ImageData

SIZE = 28  # pixels, height and width
_DRAWERS, _TRAINING_DRAWERS = 20, 15


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
    """
    images, labels = _all_cases(data_dir)
    found = len(np.unique(labels))
    if not 0 < characters <= found:
        raise ValueError(
            f"`characters` must be from 1 to {found}. "
            f"Received: characters={characters}"
        )
    # `[characters, drawers]`, the indices of the images of each character.
    where = np.argsort(labels, kind="stable").reshape(-1, _DRAWERS)[:characters]
    training, test = np.split(where, [_TRAINING_DRAWERS], axis=1)

    def labels_of(cases: np.ndarray) -> np.ndarray:
        return np.repeat(np.arange(characters, dtype=np.int32), cases.shape[1])

    return ImageData(
        images[training.reshape(-1)],
        labels_of(training),
        images[test.reshape(-1)],
        labels_of(test),
        classes=characters,
        white=255,
    )


def _all_cases(data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of both of TFDS's splits.

    They divide the characters, not the drawers, so a test on drawers needs
    both.
    """
    images, labels = [], []
    for split in ("train", "test"):
        dataset = tfds.load(
            "omniglot", split=split, data_dir=data_dir, shuffle_files=False
        ).map(_small, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        for image, label in dataset.batch(1000).as_numpy_iterator():
            images.append(image)
            labels.append(label)
    return np.concatenate(images), np.concatenate(labels)


def _small(case: dict[str, Any]) -> tuple[Any, Any]:
    """Returns the 28 x 28 image of a case, in white on black, and its label."""
    ink = 255.0 - tf.cast(case["image"][..., :1], tf.float32)
    small = tf.image.resize(ink, (SIZE, SIZE), "area")[..., 0]
    # Averaging makes thin strokes grey; this makes them bright again.
    bright = tf.minimum(2.0 * small, 255.0)
    return tf.cast(tf.round(bright), tf.uint8), case["label"]

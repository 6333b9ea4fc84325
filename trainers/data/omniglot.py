"""Omniglot through TensorFlow Datasets: many handwritten characters."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import ImageData

SIZE = 28
_DRAWERS, _TRAINING_DRAWERS = 20, 15


def load(data_dir=None, *, characters=1000):
    """Characters of 20 drawers each: 15 to learn from, 5 to be tested on.

    Args:
      data_dir: where TFDS has prepared "omniglot"; None for its own default.
      characters: int, how many of the 1,623 to take, in the order of their
        labels.

    Returns:
      `ImageData` of 28 x 28 pixels, ink white.

    Raises:
      ValueError: where there are not as many characters.
    """
    images, labels = [], []
    for split in ("train", "test"):
        dataset = tfds.load(
            "omniglot", split=split, data_dir=data_dir, shuffle_files=False
        ).map(_small, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        for image, label in dataset.batch(1000).as_numpy_iterator():
            images.append(image)
            labels.append(label)
    images, labels = np.concatenate(images), np.concatenate(labels)
    found = np.unique(labels)
    if not 0 < characters <= len(found):
        raise ValueError(
            f"`characters` must be from 1 to {len(found)}. "
            f"Received: characters={characters}"
        )
    # `[characters, drawers]`: where the images of each character are.
    where = np.argsort(labels, kind="stable").reshape(-1, _DRAWERS)[:characters]
    training, test = np.split(where, [_TRAINING_DRAWERS], axis=1)

    def labels_of(cases):
        return np.repeat(np.arange(characters, dtype=np.int32), cases.shape[1])

    return ImageData(
        images[training.reshape(-1)],
        labels_of(training),
        images[test.reshape(-1)],
        labels_of(test),
        classes=characters,
        white=255,
    )


def _small(case):
    """A case's image at 28 x 28, white on black, and its label."""
    ink = 255.0 - tf.cast(case["image"][..., :1], tf.float32)
    small = tf.image.resize(ink, (SIZE, SIZE), "area")[..., 0]
    # Thin strokes get grey when they shrink.
    bright = tf.minimum(2.0 * small, 255.0)
    return tf.cast(tf.round(bright), tf.uint8), case["label"]

"""The transfer set: training images with the teacher's soft targets.

The teacher runs once a seed, over the images as they are or over a number of
jittered views of each, and what it says is kept in a `kdtf.SoftTargets`.
"""

import numpy as np
import tensorflow as tf

import kdtf
from kdtf import soft_targets_format
from trainers import batches

_BATCH = 2000


def is_stored(directory):
    """Whether a directory holds finished soft targets."""
    return (directory / soft_targets_format.MANIFEST).exists()


def write(teacher, data, directory, *, views, jitter, temperature=None):
    """Stores the teacher's logits on the training images, once.

    Args:
      teacher: the trained `keras.Model`, `[batch, inputs]` to logits.
      data: a `trainers.data.ImageData`.
      directory: where the `kdtf.SoftTargets` go, or are.
      views: int, number of jittered views; 0 for the images as they are.
      jitter: int, pixels by which a view may move.
      temperature: float, for an arithmetic `kdtf.Ensemble`.
    """
    kdtf.SoftTargets.write(
        directory,
        teacher,
        _dataset(data),
        temperature=temperature,
        views=max(views, 1),
        augment=_augment(data, views, jitter),
        verbose=int(views > 0),
    )


def read(data, directory, *, views, jitter, temperature=None):
    """The teacher's logits on the training images.

    Args:
      data: a `trainers.data.ImageData`.
      directory: where the `kdtf.SoftTargets` are.
      views: int, as they were written.
      jitter: int, as they were written.
      temperature: float or None, as they were written.

    Returns:
      `[max(views, 1), cases, classes]` float32 array.

    Raises:
      tf.errors.InvalidArgumentError: where they are of other images or views.
    """
    joined = kdtf.SoftTargets(directory).join(
        _dataset(data),
        temperature=temperature,
        augment=_augment(data, views, jitter),
    )
    # Ten numbers an image: few enough to keep in memory.
    logits = np.concatenate([y["teacher_logits"] for _, y in joined])
    return logits.reshape(max(views, 1), len(data.train_images), -1)


def _dataset(data):
    return tf.data.Dataset.from_tensor_slices(
        data.inputs(data.train_images)
    ).batch(_BATCH)


def _augment(data, views, jitter):
    return jittered(data.train_images.shape[1:], jitter) if views else None


def jittered(size, jitter):
    """Function (x, seed) that moves a flat image of `size` (height, width)."""

    def augment(x, seed):
        padding = ((jitter, jitter), (jitter, jitter))
        padded = tf.pad(tf.reshape(x, size), padding)
        place = batches.offset(seed, jitter)
        return tf.reshape(tf.slice(padded, place, size), x.shape)

    return augment

"""The transfer set: training images with the teacher's soft targets.

The teacher runs once a seed, over the images as they are or over many views of
each, and what it says is kept in a `kdtf.SoftTargets`.
"""

import math

import numpy as np
import tensorflow as tf

import kdtf
from kdtf.soft_targets import format
from trainers.mnist import batches
from trainers.mnist.moves import STILL

_BATCH = 2000


def is_stored(directory):
    """Whether a directory holds finished soft targets."""
    return (directory / format.MANIFEST).exists()


def write(teacher, data, directory, *, moves=STILL, views=1, temperature=None):
    """Stores the teacher's logits on the training images, once.

    Args:
      teacher: the trained `keras.Model`, `[batch, inputs]` to logits.
      data: a `trainers.data.ImageData`.
      directory: where the `kdtf.SoftTargets` go, or are.
      moves: `moves.Moves`, by which images move.
      views: int, how many of each image.
      temperature: float, for an arithmetic `kdtf.Ensemble`.
    """
    kdtf.SoftTargets.write(
        directory,
        teacher,
        _dataset(data, moves, views),
        temperature=temperature,
        verbose=int(views > 1),
    )


def read(data, directory, *, moves=STILL, views=1, temperature=None):
    """The teacher's logits on the training images.

    Args:
      data: a `trainers.data.ImageData`.
      directory: where the `kdtf.SoftTargets` are.
      moves: `moves.Moves`, as they were written.
      views: int, as they were written.
      temperature: float or None, as they were written.

    Returns:
      `[views, cases, classes]` float32 array.

    Raises:
      ValueError: if they are of another number of images or temperature.
      tf.errors.InvalidArgumentError: if they are of other images.
    """
    joined = kdtf.SoftTargets(directory).join(_dataset(data, moves, views))
    _require_temperature(joined, temperature)
    # Ten numbers an image: few enough to keep in memory.
    logits = np.concatenate([y["teacher_logits"] for _, y in joined])
    return logits.reshape(views, len(data.train_images), -1)


def _require_temperature(joined, temperature):
    """Raises ValueError if targets tell that they are for another one."""
    key = "teacher_temperature="
    told = [k for k in joined.element_spec[1] if k.startswith(key)]
    if told and told != [f"{key}{temperature}"]:
        raise ValueError(
            "Soft targets must be those of the run's temperature, "
            f"{temperature}. Received: {told[0]}"
        )


def _dataset(data, moves, views):
    """Batches of inputs: all images in the first view, then in the next."""
    images = data.train_images
    shown = tf.data.Dataset.range(views).flat_map(
        lambda number: batches.view(
            images, number, moves, white=data.white, batch_size=_BATCH
        )
    )
    length = views * math.ceil(len(images) / _BATCH)
    return shown.apply(tf.data.experimental.assert_cardinality(length))

"""The transfer set: training images with the teacher's soft targets.

The teacher runs once a seed, over the images as they are or over every place
that jitter may move them to, and what it says is kept in a `kdtf.SoftTargets`.
"""

import functools
import math

import numpy as np
import tensorflow as tf

import kdtf
from kdtf.soft_targets import format
from trainers.mnist import batches

_BATCH = 2000


def is_stored(directory):
    """Whether a directory holds finished soft targets."""
    return (directory / format.MANIFEST).exists()


def write(teacher, data, directory, *, jitter=0, temperature=None):
    """Stores the teacher's logits on the training images, once.

    Args:
      teacher: the trained `keras.Model`, `[batch, inputs]` to logits.
      data: a `trainers.data.ImageData`.
      directory: where the `kdtf.SoftTargets` go, or are.
      jitter: int, pixels by which images move: all of
        `batches.places(jitter)`; 0 for the images as they are.
      temperature: float, for an arithmetic `kdtf.Ensemble`.
    """
    kdtf.SoftTargets.write(
        directory,
        teacher,
        _dataset(data, jitter),
        temperature=temperature,
        verbose=int(jitter > 0),
    )


def read(data, directory, *, jitter=0, temperature=None):
    """The teacher's logits on the training images.

    Args:
      data: a `trainers.data.ImageData`.
      directory: where the `kdtf.SoftTargets` are.
      jitter: int, as they were written.
      temperature: float or None, as they were written.

    Returns:
      `[places, cases, classes]` float32 array, one place for jitter 0.

    Raises:
      ValueError: if they are of another number of images or temperature.
      tf.errors.InvalidArgumentError: if they are of other images.
    """
    joined = kdtf.SoftTargets(directory).join(_dataset(data, jitter))
    _require_temperature(joined, temperature)
    # Ten numbers an image: few enough to keep in memory.
    logits = np.concatenate([y["teacher_logits"] for _, y in joined])
    places = len(batches.places(jitter))
    return logits.reshape(places, len(data.train_images), -1)


def _require_temperature(joined, temperature):
    """Raises ValueError if targets tell that they are for another one."""
    key = "teacher_temperature="
    told = [k for k in joined.element_spec[1] if k.startswith(key)]
    if told and told != [f"{key}{temperature}"]:
        raise ValueError(
            "Soft targets must be those of the run's temperature, "
            f"{temperature}. Received: {told[0]}"
        )


def _dataset(data, jitter):
    """Batches of inputs: all images at the first place, then at the next."""
    images = data.train_images
    size = images.shape[1:]
    padded = tf.data.Dataset.from_tensor_slices(
        batches.pad(images, jitter)
    ).batch(_BATCH)

    def at(place):
        top, left = place

        def inputs(padded):
            cut = padded[:, top : top + size[0], left : left + size[1]]
            flat = tf.reshape(cut, (-1, size[0] * size[1]))
            return tf.cast(flat, tf.float32) / data.white

        return padded.map(inputs)

    shown = functools.reduce(
        tf.data.Dataset.concatenate,
        [at(place) for place in batches.places(jitter)],
    )
    length = math.ceil(len(batches.places(jitter)) * len(images) / _BATCH)
    return shown.rebatch(_BATCH).apply(
        tf.data.experimental.assert_cardinality(length)
    )

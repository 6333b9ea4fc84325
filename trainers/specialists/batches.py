"""Training batches as a pure function of the step.

Order and noise depend on the seed and the step alone, so that a run that was
killed and resumed sees what an uninterrupted one sees.
"""

import math

import numpy as np
import tensorflow as tf


def of_cases(images, targets, *, white, noise, batch_size, seed, first_step):
    """Endless batches of all cases, in a new order each pass.

    Args:
      images: `[cases, height, width]` or `[cases, height, width, channels]`
        uint8 array.
      targets: structure of `[cases, ...]` arrays, which become y.
      white: int, the pixel value that becomes 1.
      noise: float, see `noisy`.
      batch_size: int; at most the number of cases.
      seed: int.
      first_step: int, counted from 0.

    Returns:
      A `tf.data.Dataset` of `([batch, pixels] float32, y)`.
    """
    cases = len(images)
    a_pass = cases // batch_size
    pixels = tf.constant(flat(images))
    targets = tf.nest.map_structure(tf.constant, targets)

    def batch(step):
        number, position = step // a_pass, step % a_pass
        rows = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), number]),
            max_index=cases - 1,
        )
        y = tf.nest.map_structure(lambda t: tf.gather(t, rows), targets)
        x = noisy(tf.gather(pixels, rows), white, noise, seed, step)
        return x, y

    counted = tf.data.Dataset.counter(first_step)
    return counted.map(batch).prefetch(tf.data.AUTOTUNE)


def noisy(pixels, white, noise, seed, step):
    """The input of a net in training: pixels / white, and noise.

    The noise is uniform, which is drawn in a quarter of the time of a normal
    one's.

    Args:
      pixels: `[batch, pixels]` uint8 tensor.
      white: int.
      noise: float, its standard deviation.
      seed: int.
      step: scalar int64 tensor.

    Returns:
      `[batch, pixels]` float32 tensor.
    """
    x = tf.cast(pixels, tf.float32) / white
    widest = noise * math.sqrt(3)
    return x + tf.random.stateless_uniform(
        tf.shape(x),
        seed=tf.stack([tf.constant(seed, tf.int64), step]),
        minval=-widest,
        maxval=widest,
    )


def flat(images):
    """Images as `[cases, pixels]` array, without a copy."""
    return np.reshape(images, (len(images), np.prod(images.shape[1:])))

"""Training batches as a pure function of the step.

Order and jitter depend on the seed and the step alone, so that a run that was
killed and resumed sees what an uninterrupted one sees.
"""

import numpy as np
import tensorflow as tf

_JITTER_STREAM = 1_000_003  # keeps the jitter's draws apart from the order's


def steps_per_epoch(cases, batch_size):
    """How many batches an epoch has; the few cases left over sit it out.

    Every epoch draws a new order, so that they are others each time.
    """
    return max(1, cases // batch_size)


def training_batches(
    images, targets, *, white, batch_size, seed, jitter, first_step, last_step
):
    """Batches of jittered images with their targets, from step to step.

    Args:
      images: `[cases, height, width]` uint8 array.
      targets: `[cases, ...]` array, or a dict of such arrays.
      white: int, the pixel value that becomes 1.
      batch_size: int; at most the number of cases.
      seed: int.
      jitter: int, by how many pixels an image may move in either direction;
        pixels that move in are 0.
      first_step: int, counted from 0 over all epochs.
      last_step: int, exclusive.

    Returns:
      A `tf.data.Dataset` of `last_step - first_step` batches
      `([batch, height * width] float32 in [0, 1], targets)`.
    """
    cases, height, width = images.shape
    steps = steps_per_epoch(cases, batch_size)
    batch_size = min(batch_size, cases)
    padding = ((0, 0), (jitter, jitter), (jitter, jitter))
    padded = tf.constant(np.pad(images, padding))
    targets = tf.nest.map_structure(tf.constant, targets)

    def batch(step):
        epoch, position = step // steps, step % steps
        rows = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            max_index=cases - 1,
        )
        pictures = tf.gather(padded, rows)
        if jitter:
            pictures = _shift(pictures, (height, width), jitter, seed, step)
        x = tf.cast(tf.reshape(pictures, (batch_size, -1)), tf.float32) / white
        return x, tf.nest.map_structure(lambda t: tf.gather(t, rows), targets)

    return (
        tf.data.Dataset.range(first_step, last_step)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .prefetch(4)
    )


def _shift(padded, size, jitter, seed, step):
    """Cuts `[batch, height, width]` out of padded images at random places."""
    count = tf.shape(padded)[0]
    top_left = tf.random.stateless_uniform(
        (2, count, 1),
        seed=tf.stack([tf.constant(seed + _JITTER_STREAM, tf.int64), step]),
        maxval=2 * jitter + 1,
        dtype=tf.int32,
    )
    rows = top_left[0] + tf.range(size[0])
    columns = top_left[1] + tf.range(size[1])
    shifted = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(shifted, columns, axis=2, batch_dims=1)

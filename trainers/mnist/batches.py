"""Training batches as a pure function of the step.

Order and jitter depend on the seed and the step alone, so that a run that was
killed and resumed sees what an uninterrupted one sees. With soft targets of all
places that jitter may move an image to, an epoch shows every image at one of
them, and as many epochs as there are places show it at each.
"""

import itertools

import numpy as np
import tensorflow as tf

_JITTER_STREAM = 1_000_003  # keeps the jitter's draws apart from the order's


def steps_per_epoch(cases, batch_size):
    """How many batches an epoch has; the few cases left over sit it out.

    Every epoch draws a new order, so that they are others each time.
    """
    return max(1, cases // batch_size)


def training_batches(
    images,
    labels,
    soft_targets=None,
    *,
    white,
    batch_size,
    seed,
    jitter,
    first_step,
    last_step,
):
    """Batches of jittered images with their targets, from step to step.

    Args:
      images: `[cases, height, width]` uint8 array.
      labels: `[cases]` array.
      soft_targets: `[places(jitter), cases, classes]` teacher logits, or None.
      white: int, the pixel value that becomes 1.
      batch_size: int; at most the number of cases.
      seed: int.
      jitter: int, by how many pixels an image may move in either direction;
        pixels that move in are 0. Places are drawn at every step, but for
        soft targets, where a case goes through them one after another.
      first_step: int, counted from 0 over all epochs.
      last_step: int, exclusive.

    Returns:
      A `tf.data.Dataset` of `last_step - first_step` batches
      `([batch, height * width] float32 in [0, 1], y)`; y is labels, or a dict
      of "labels" and "teacher_logits".
    """
    cases, height, width = images.shape
    steps = steps_per_epoch(cases, batch_size)
    batch_size = min(batch_size, cases)
    padded = tf.constant(pad(images, jitter))
    labels = tf.constant(labels)
    corners = tf.constant(places(jitter))
    if soft_targets is not None:
        soft_targets = tf.constant(soft_targets)

    def batch(step):
        epoch, position = step // steps, step % steps
        rows = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            max_index=cases - 1,
        )
        pictures = tf.gather(padded, rows)
        place = (epoch + rows) % len(corners)
        if jitter:
            top_left = (
                _random_corners(batch_size, jitter, seed, step)
                if soft_targets is None
                else tf.gather(corners, place)
            )
            pictures = _cut(pictures, (height, width), top_left)
        x = tf.cast(tf.reshape(pictures, (batch_size, -1)), tf.float32) / white
        y = tf.gather(labels, rows)
        if soft_targets is not None:
            logits = tf.gather_nd(soft_targets, tf.stack([place, rows], 1))
            y = {"labels": y, "teacher_logits": logits}
        return x, y

    return (
        tf.data.Dataset.range(first_step, last_step)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .prefetch(4)
    )


def pad(images, jitter):
    """Images `[cases, height, width]` with `jitter` black pixels around."""
    around = (jitter, jitter)
    return np.pad(images, ((0, 0), around, around))


def places(jitter):
    """Where jitter may cut a picture out of a padded one.

    Args:
      jitter: int.

    Returns:
      `[(2 jitter + 1)^2, 2]` int32 array of top and left.
    """
    corners = itertools.product(range(2 * jitter + 1), repeat=2)
    return np.array(list(corners), np.int32)


def _random_corners(count, jitter, seed, step):
    seed = tf.stack([tf.constant(seed + _JITTER_STREAM, tf.int64), step])
    drawn = tf.random.stateless_uniform(
        (2, count), seed, maxval=2 * jitter + 1, dtype=tf.int32
    )
    return tf.transpose(drawn)


def _cut(padded, size, top_left):
    """Cuts `[batch, height, width]` out of padded images at `[batch, 2]`."""
    rows = top_left[:, :1] + tf.range(size[0])
    columns = top_left[:, 1:] + tf.range(size[1])
    shifted = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(shifted, columns, axis=2, batch_dims=1)

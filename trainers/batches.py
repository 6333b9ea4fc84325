"""Training batches as a pure function of the step.

Order and jitter depend on the seed and the step alone, so that a run that was
killed and resumed sees what an uninterrupted one sees. With stored views, an
epoch shows one view of every image, which depends on image and view alone.
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
    images,
    labels,
    soft_targets=None,
    *,
    white,
    batch_size,
    seed,
    jitter,
    views=0,
    first_step,
    last_step,
):
    """Batches of jittered images with their targets, from step to step.

    Args:
      images: `[cases, height, width]` uint8 array.
      labels: `[cases]` array.
      soft_targets: `[max(views, 1), cases, classes]` teacher logits, or None.
      white: int, the pixel value that becomes 1.
      batch_size: int; at most the number of cases.
      seed: int.
      jitter: int, by how many pixels an image may move in either direction;
        pixels that move in are 0.
      views: int, number of jittered views that the soft targets are of; 0
        where every step jitters anew.
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
    padding = ((0, 0), (jitter, jitter), (jitter, jitter))
    padded = tf.constant(np.pad(images, padding))
    labels = tf.constant(labels)
    if soft_targets is not None:
        soft_targets = tf.constant(soft_targets)
    offsets = _offsets_of_views(views, cases, jitter) if views else None

    def batch(step):
        epoch, position = step // steps, step % steps
        rows = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            max_index=cases - 1,
        )
        view = epoch % max(views, 1)
        pictures = tf.gather(padded, rows)
        if jitter:
            top_left = (
                tf.gather(offsets[view], rows)
                if views
                else _offsets_of_step(batch_size, jitter, seed, step)
            )
            pictures = _cut(pictures, (height, width), top_left)
        x = tf.cast(tf.reshape(pictures, (batch_size, -1)), tf.float32) / white
        y = tf.gather(labels, rows)
        if soft_targets is not None:
            logits = tf.gather(soft_targets[view], rows)
            y = {"labels": y, "teacher_logits": logits}
        return x, y

    return (
        tf.data.Dataset.range(first_step, last_step)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .prefetch(4)
    )


def offset(seed, jitter, shape=(2,)):
    """Where to cut a picture out of one padded by `jitter` pixels.

    Args:
      seed: `[2]` integers; the same seed gives the same place.
      jitter: int.
      shape: of the result; its last axis is row and column.

    Returns:
      int32 from 0 to 2 * jitter.
    """
    return tf.random.stateless_uniform(
        shape, seed, maxval=2 * jitter + 1, dtype=tf.int32
    )


def _offsets_of_step(count, jitter, seed, step):
    seed = tf.stack([tf.constant(seed + _JITTER_STREAM, tf.int64), step])
    return tf.transpose(offset(seed, jitter, (2, count)))


@tf.function
def _offsets_of_views(views, cases, jitter):
    """`[views, cases, 2]`, drawn as `kdtf.SoftTargets` seeds its views."""
    view, case = tf.meshgrid(tf.range(views), tf.range(cases), indexing="ij")
    seeds = tf.reshape(tf.stack([case, view], axis=-1), (-1, 2))
    places = tf.map_fn(lambda seed: offset(seed, jitter), seeds)
    return tf.reshape(places, (views, cases, 2))


def _cut(padded, size, top_left):
    """Cuts `[batch, height, width]` out of padded images at `[batch, 2]`."""
    rows = top_left[:, :1] + tf.range(size[0])
    columns = top_left[:, 1:] + tf.range(size[1])
    shifted = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(shifted, columns, axis=2, batch_dims=1)

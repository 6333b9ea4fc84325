"""Training batches as a pure function of the step.

Order and moves depend on the seed and the step alone, so that a run that was
killed and resumed sees what an uninterrupted one sees.
"""

import numpy as np
import tensorflow as tf

from trainers.mnist.moves import STILL, move

_MOVES_STREAM = 1_000_003  # keeps the draws of moves apart from the order's
_VIEWS_STREAM = 1_000_033  # those of all seeds


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
    first_step,
    last_step,
    moves=STILL,
):
    """Batches of images with their targets, from step to step.

    Args:
      images: `[cases, height, width]` uint8 array.
      labels: `[cases]` array.
      soft_targets: `[views, cases, classes]` teacher logits, or None. An epoch
        shows the images of one view, the next epoch those of the next.
      white: int, the pixel value that becomes 1.
      batch_size: int; at most the number of cases.
      seed: int.
      first_step: int, counted from 0 over all epochs.
      last_step: int, exclusive.
      moves: `moves.Moves`; new ones every epoch, but for soft targets, where
        they are those of `view`.

    Returns:
      A `tf.data.Dataset` of `last_step - first_step` batches
      `([batch, height * width] float32 in [0, 1], y)`; y is labels, or a dict
      of "labels" and "teacher_logits".
    """
    cases = len(images)
    steps = steps_per_epoch(cases, batch_size)
    batch_size = min(batch_size, cases)
    images, labels = tf.constant(images), tf.constant(labels)
    if soft_targets is not None:
        soft_targets = tf.constant(soft_targets)

    def of_epoch(epoch):
        number = epoch if soft_targets is None else epoch % len(soft_targets)
        stream = seed + _MOVES_STREAM if soft_targets is None else _VIEWS_STREAM
        drawn = moves.draw(cases, (stream, number)) if moves else None
        logits = None if soft_targets is None else soft_targets[number]

        def batch(position):
            rows = tf.random.experimental.index_shuffle(
                position * batch_size + tf.range(batch_size, dtype=tf.int64),
                seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
                max_index=cases - 1,
            )
            x = inputs(images, rows, drawn, white)
            y = tf.gather(labels, rows)
            if logits is not None:
                y = {"labels": y, "teacher_logits": tf.gather(logits, rows)}
            return x, y

        return tf.data.Dataset.range(
            tf.maximum(first_step - epoch * steps, 0),
            tf.minimum(last_step - epoch * steps, steps),
        ).map(batch, num_parallel_calls=2, deterministic=True)

    epochs = range(first_step // steps, -(-last_step // steps))
    return (
        tf.data.Dataset.range(epochs.start, epochs.stop)
        .flat_map(of_epoch)
        .apply(tf.data.experimental.assert_cardinality(last_step - first_step))
        .prefetch(4)
    )


def view(images, number, moves, *, white, batch_size):
    """All images in order, moved as the soft targets of that view say.

    Args:
      images: `[cases, height, width]` uint8 array.
      number: int64 scalar tensor.
      moves: `moves.Moves`.
      white: int.
      batch_size: int.

    Returns:
      A `tf.data.Dataset` of `[batch, height * width]` float32.
    """
    cases = len(images)
    drawn = moves.draw(cases, (_VIEWS_STREAM, number)) if moves else None
    rows = tf.data.Dataset.range(cases).batch(batch_size)
    return rows.map(lambda rows: inputs(images, rows, drawn, white))


def inputs(images, rows, drawn, white):
    """Some of the images, moved, as the net takes them."""
    pictures = tf.gather(images, rows)
    if drawn is not None:
        own = tf.nest.map_structure(lambda d: tf.gather(d, rows), drawn)
        pictures = move(pictures, own)
    size = np.prod(images.shape[1:])
    return tf.cast(tf.reshape(pictures, (-1, size)), tf.float32) / white

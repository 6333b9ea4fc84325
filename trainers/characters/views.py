"""Images as nets see them: as they are, or turned, scaled, slanted and moved.

A view is cut out of an image of twice its height and width, whose neighbouring
pixels were averaged before: so views of training and of evaluation are equally
sharp, and what a net learns of the ones holds for the others. Order and views
depend on the seed and the step alone, so that a run that was killed and resumed
sees what an uninterrupted one sees.
"""

import numpy as np
import tensorflow as tf

_VIEW_STREAM = 1_000_003  # keeps the views' draws apart from the order's
# Drawn evenly from minus to plus these, times `augmentation`.
_ROTATION = 0.3  # radians
_SCALE = 0.2
_SHEAR = 0.3
_SHIFT = 2.5  # pixels of a view


def plain(images, white):
    """The views of evaluation.

    Args:
      images: `[cases, 2 size, 2 size]` uint8 array.
      white: int, the pixel value that becomes 1.

    Returns:
      `[cases, size, size, 1]` float32 array.
    """
    return averaged(images)[:, ::2, ::2].astype(np.float32) / white


def of_cases(
    images,
    labels,
    *,
    white,
    augmentation,
    batch_size,
    seed,
    first_step,
    last_step,
):
    """Batches of training views, from step to step, in a new order each epoch.

    Args:
      images: `[cases, 2 size, 2 size]` uint8 array.
      labels: `[cases]` int array.
      white: int, the pixel value that becomes 1.
      augmentation: float, how far views may be from the image; 0 for `plain`
        ones.
      batch_size: int; at most the number of cases.
      seed: int.
      first_step: int, counted from 0 over all epochs.
      last_step: int, exclusive.

    Returns:
      A `tf.data.Dataset` of `([batch, size, size, 1] float32, [batch] int)`.
    """
    cases, size = len(labels), images.shape[1] // 2
    steps = cases // batch_size
    pixels, labels = tf.constant(averaged(images)), tf.constant(labels)

    def batch(step):
        epoch, position = step // steps, step % steps
        rows = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            max_index=cases - 1,
        )
        drawn = augmentation * tf.random.stateless_uniform(
            (5, batch_size),
            tf.stack([tf.constant(seed + _VIEW_STREAM, tf.int64), step]),
            minval=-1.0,
        )
        x = tf.cast(tf.gather(pixels, rows), tf.float32) / white
        return cut(x, drawn, size), tf.gather(labels, rows)

    return tf.data.Dataset.range(first_step, last_step).map(batch).prefetch(8)


def averaged(images):
    """Each entry is the mean of the pixels [i, i + 1] x [j, j + 1].

    Args:
      images: `[cases, height, width]` uint8 array.

    Returns:
      `[cases, height - 1, width - 1, 1]` uint8 array.
    """
    x = images.astype(np.float32)
    x = x[:, :-1] + x[:, 1:]
    x = x[:, :, :-1] + x[:, :, 1:]
    return np.round(x / 4).astype(np.uint8)[..., None]


def cut(averages, drawn, size):
    """Views of images.

    Args:
      averages: `[batch, 2 size - 1, 2 size - 1, 1]` float tensor, see
        `averaged`.
      drawn: `[5, batch]` float tensor from -1 to 1: by how much of the largest
        angle, scale, slant, and shift to the left and upwards.
      size: int.

    Returns:
      `[batch, size, size, 1]` float tensor; what lies outside an image is 0.
    """
    angle, scale, shear, left, up = tf.unstack(drawn)
    scale = 2 * (1 + _SCALE * scale)
    cosine, sine = (
        scale * tf.cos(_ROTATION * angle),
        scale * tf.sin(angle * _ROTATION),
    )
    shear = _SHEAR * shear
    # Where in the image the pixel [y, x] of a view is, about both centres.
    xx, xy = cosine, shear * cosine - sine
    yx, yy = sine, shear * sine + cosine
    centre = (size - 1) / 2
    x0 = 2 * (centre + _SHIFT * left) - centre * (xx + xy)
    y0 = 2 * (centre + _SHIFT * up) - centre * (yx + yy)
    none = tf.zeros_like(xx)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=averages,
        transforms=tf.stack([xx, xy, x0, yx, yy, y0, none, none], 1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )

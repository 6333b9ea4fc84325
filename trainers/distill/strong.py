"""Changes of images as RandAugment makes them, arXiv 1909.13719.

All take `[height, width, channels]` float32 images of 0 to 255, and `amount`, a
scalar tensor from -1 to 1.
"""

import functools
import math

import tensorflow as tf

_WHITE = 255.0
_ROTATION = math.radians(60)
_SHEAR = 0.6
_SHIFT = 0.6  # of height and width
_FACTOR = 0.9  # of brightness, contrast, saturation, sharpness
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def randaugment(x, seed, changes, strength):
    """An image after a few changes that are drawn.

    Args:
      x: `[height, width, 1 or 3]` float32 tensor, 0 to 255.
      seed: int32 seed `[2]`.
      changes: whole number, how many.
      strength: float, at most 1: what share of their range is used.

    Returns:
      A tensor like x.
    """
    for k in range(int(changes)):
        own = tf.random.experimental.stateless_fold_in(seed, k)
        drawn = tf.random.stateless_uniform([2], own)
        amount = strength * (2 * drawn[0] - 1)
        which = tf.cast(drawn[1] * len(_CHANGES), tf.int32)
        x = tf.switch_case(
            which,
            [functools.partial(change, x, amount) for change in _CHANGES],
        )
    return x


def transformed(x, matrix, shift):
    """A view of an image, of the same size.

    Args:
      x: `[height, width, channels]` float32 tensor.
      matrix: `[2, 2]` tensor: about the centre, the pixel (x, y) of the view
        is at `matrix @ (x, y) + shift` of the image.
      shift: `[2]` tensor, pixels.

    Returns:
      A tensor like x. Beyond an edge is its nearest pixel.
    """
    height, width, _ = x.shape
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2])
    offset = centre + shift - tf.linalg.matvec(matrix, centre)
    rows = tf.concat([matrix, offset[:, None]], axis=1)
    transform = tf.concat([tf.reshape(rows, [6]), tf.zeros([2])], axis=0)
    view = tf.raw_ops.ImageProjectiveTransformV3(
        images=x[None],
        transforms=transform[None],
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.ensure_shape(view[0], x.shape)


def rotation(angle):
    """`[2, 2]` matrix of a rotation by a scalar tensor, in radians."""
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return tf.reshape(tf.stack([cosine, -sine, sine, cosine]), [2, 2])


def blend(x, other, factor):
    """`factor` of an image and the rest of another one, within 0 to 255."""
    return tf.clip_by_value(other + factor * (x - other), 0.0, _WHITE)


def grey(x):
    """An image without its colours, in as many channels."""
    if x.shape[-1] != 3:
        return x
    return tf.reduce_sum(x * _GREY, -1, keepdims=True) * tf.ones([3])


def _same(x, amount):
    return x


def _autocontrast(x, amount):
    low = tf.reduce_min(x, (0, 1), keepdims=True)
    high = tf.reduce_max(x, (0, 1), keepdims=True)
    spread = _WHITE * tf.math.divide_no_nan(x - low, high - low)
    return tf.where(high > low, spread, x)


def _brightness(x, amount):
    return blend(x, tf.zeros_like(x), 1 + _FACTOR * amount)


def _contrast(x, amount):
    mean = tf.reduce_mean(grey(x)) * tf.ones_like(x)
    return blend(x, mean, 1 + _FACTOR * amount)


def _saturation(x, amount):
    return blend(x, grey(x), 1 + _FACTOR * amount)


def _sharpness(x, amount):
    blurred = tf.nn.avg_pool2d(x[None], 3, 1, "SAME")[0]
    return blend(x, blurred, 1 + _FACTOR * amount)


def _posterize(x, amount):
    """Fewer levels, down to 4 bits."""
    step = tf.round(2.0 ** (4 * tf.abs(amount)))
    return step * tf.floor(x / step)


def _solarize(x, amount):
    """Bright pixels turned dark."""
    return tf.where(x > _WHITE * (1 - tf.abs(amount)), _WHITE - x, x)


def _rotate(x, amount):
    return transformed(x, rotation(_ROTATION * amount), tf.zeros([2]))


def _shear(x, amount, *, rows):
    slant = tf.reshape(tf.one_hot(1 if rows else 2, 4), [2, 2])
    return transformed(x, tf.eye(2) + _SHEAR * amount * slant, tf.zeros([2]))


def _shift(x, amount, *, axis):
    size = x.shape[1 - axis]
    by = _SHIFT * amount * size * tf.one_hot(axis, 2)
    return transformed(x, tf.eye(2), by)


_CHANGES = (
    _same,
    _autocontrast,
    _brightness,
    _contrast,
    _saturation,
    _sharpness,
    _posterize,
    _solarize,
    _rotate,
    functools.partial(_shear, rows=True),
    functools.partial(_shear, rows=False),
    functools.partial(_shift, axis=0),
    functools.partial(_shift, axis=1),
)

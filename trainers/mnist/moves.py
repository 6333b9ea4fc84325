"""Images that are moved and warped, as a function of a seed.

An image is read between its pixels, by linear interpolation: at places that are
those of its pixels, moved together (paper, section 3), and each a little
elsewhere than its neighbours (Simard et al. 2003, elastic distortions).
"""

import dataclasses

import numpy as np
import tensorflow as tf

_KNOTS = 5  # a side, of a warp: random there, and smooth between them


@dataclasses.dataclass(frozen=True)
class Moves:
    """By how much images move.

    Attributes:
      shift: float, the pixels by which an image moves at most, up or down and
        to either side, each as likely.
      warp: float, standard deviation in pixels of what is added to the place of
        every pixel, smoothly over the image.
    """

    shift: float = 0.0
    warp: float = 0.0

    def __bool__(self):
        """Whether anything moves at all."""
        return bool(self.shift or self.warp)

    def draw(self, cases, seed):
        """What `move` needs to move each of some images.

        Args:
          cases: int.
          seed: two integers, a tensor or a tuple.

        Returns:
          Dict of float32 tensors with a row for each case.
        """
        seed = tf.cast(tf.stack(seed), tf.int64)
        drawn = {
            "shift": tf.random.stateless_uniform(
                (cases, 2), seed, -self.shift, self.shift
            )
        }
        if self.warp:
            drawn["warp"] = tf.random.stateless_normal(
                (cases, 2, _KNOTS, _KNOTS), seed, stddev=self.warp
            )
        return drawn


STILL = Moves()


def move(images, drawn):
    """Moves images; what comes in from outside is black.

    Args:
      images: `[cases, height, width]` tensor of numbers.
      drawn: what `Moves.draw` returned, of the same cases.

    Returns:
      float32 tensor of the same shape.
    """
    height, width = images.shape[1:]
    places = _grid(height, width) + drawn["shift"][:, :, None, None]
    if "warp" in drawn:
        places += tf.einsum(
            "ik,cakl,jl->caij", _bumps(height), drawn["warp"], _bumps(width)
        )
    return _read(tf.cast(images, tf.float32), places)


def _grid(height, width):
    """`[2, height, width]`: row and column of every pixel."""
    return np.stack(np.mgrid[:height, :width]).astype(np.float32)


def _bumps(size):
    """`[size, knots]`: how much a knot says at each of `size` pixels.

    The squares of a row sum to 1: a warp has the deviation of its knots.
    """
    gap = (size - 1) / (_KNOTS - 1)
    away = np.arange(size)[:, None] - gap * np.arange(_KNOTS)
    bumps = np.exp(-0.5 * (away / (0.6 * gap)) ** 2)
    return (bumps / np.linalg.norm(bumps, axis=1, keepdims=True)).astype(
        np.float32
    )


# Compiled, wherever it runs: one pass over the pixels, a ninth of the time.
@tf.function(jit_compile=True)
def _read(images, places):
    """`images` at `[cases, 2, height, width]` places, between their pixels."""
    _, height, width = images.shape
    images = tf.pad(images, ((0, 0), (1, 1), (1, 1)))
    last = tf.constant([height + 1, width + 1], tf.float32)[:, None, None]
    places = tf.clip_by_value(places + 1.0, 0.0, last)
    corner = tf.minimum(tf.floor(places), last - 1.0)
    below, right = tf.unstack(places - corner, axis=1)
    row, column = tf.unstack(tf.cast(corner, tf.int32), axis=1)
    flat = tf.reshape(images, (-1, (height + 2) * (width + 2)))

    def at(down, aside):
        place = (row + down) * (width + 2) + column + aside
        return tf.gather(flat, place, batch_dims=1)

    above = (1.0 - right) * at(0, 0) + right * at(0, 1)
    under = (1.0 - right) * at(1, 0) + right * at(1, 1)
    return (1.0 - below) * above + below * under

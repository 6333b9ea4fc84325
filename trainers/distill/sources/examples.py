"""What features of examples must be, as they are looked at for the first time.

Each check is a function from a batch of a feature to None, or to the place of
the first that cannot be, what it must be, and what it is.
"""

import numpy as np

from trainers.distill.sources import images


def check_of(said):
    """The check of a feature.

    Args:
      said: dict, what --features says of it.

    Returns:
      Function from a `[batch, ...]` array.
    """
    kind = said["type"]
    if kind == "image":
        return _Images()
    if kind == "pixels":
        return lambda batch: _pixels(batch, said["shape"])
    return _weights if kind == "weight" else _numbers


class _Images:
    """Of images: decodes so many, and of others sees how they begin and end."""

    def __init__(self):
        self._bytes = 0

    def __call__(self, batch):
        for place, encoded in enumerate(batch):
            self._bytes += len(encoded)
            if reason := self._reason_against(encoded):
                must = "images that can be read (PNG, JPEG, GIF, BMP)"
                return place, must, f"is none: {reason}"
        return None

    def _reason_against(self, encoded):
        enough = self._bytes > images.DECODED_BYTES
        if enough and images.looks_whole(encoded[:16], encoded[-16:]):
            return None
        return images.reason_against(encoded)


def _pixels(batch, shape):
    wanted = int(np.prod(shape))
    for place, stored in enumerate(batch):
        if len(stored) != wanted:
            must = f"{wanted} bytes in each image of shape {shape}"
            return place, must, f"has {len(stored)}"
    return None


def _numbers(batch):
    wrong = np.flatnonzero(~np.isfinite(batch.reshape(len(batch), -1)).all(1))
    if len(wrong):
        return int(wrong[0]), "finite numbers", "has others"
    return None


def _weights(batch):
    wrong = np.flatnonzero(~(np.isfinite(batch) & (batch >= 0)))
    if len(wrong):
        place = int(wrong[0])
        must = "weights that are finite and not negative"
        return place, must, f"is {batch[place]}"
    return None

"""`sklearn:NAME`: data sets that scikit-learn embeds, without any file.

`digits` are images; `breast_cancer`, `iris` and `wine` are tables.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf
from sklearn import datasets

from trainers.distill.sources import images, tables
from trainers.distill.sources.parts import Part, Source

NAMES = ("breast_cancer", "digits", "iris", "wine")
_WHITE = 16.0  # of digits


def find(spec, options):
    """An embedded data set.

    Args:
      spec: `specs.Spec`.
      options: `parts.Options`.

    Returns:
      `parts.Source` of kind "images" or "table".

    Raises:
      ValueError: if the name is none of `NAMES`; names the flag.
    """
    if spec.place not in NAMES:
        raise ValueError(
            f"--{spec.flag} must be sklearn:NAME with one of "
            f"{', '.join(NAMES)}. Received: {spec}"
        )
    loaded = getattr(datasets, f"load_{spec.place}")()
    labels = loaded.target.astype(np.int32)
    names = tuple(str(name) for name in loaded.target_names)
    if spec.place == "digits":
        pixels = (loaded.images * (255 / _WHITE)).astype(np.float32)[..., None]
        options = dataclasses.replace(
            options,
            image_size=options.image_size or pixels.shape[1:3],
            channels=options.channels or 1,
        )
        part = Part(spec, labels, functools.partial(_rows, pixels, options))
        return Source("images", {"train": part}, names, options)
    columns = {
        str(name): np.asarray(loaded.data[:, i], np.float32)
        for i, name in enumerate(loaded.feature_names)
    }
    part = Part(spec, labels, None, raw=columns)
    return Source("table", {"train": part}, names, options, fit=tables.Encoding)


def _rows(pixels, options, rows):
    return tf.data.Dataset.from_tensor_slices(pixels[rows]).map(
        lambda image: images.shown(
            image, options.image_size, options.channels, options.resize
        )
    )

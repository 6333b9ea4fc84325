"""Small data for the tests of trainers.distill: three classes, told apart."""

import numpy as np
import tensorflow as tf

from trainers.distill.cases import Data, Split

SHAPES = {"images": (8, 8, 1), "sound": (12, 6, 1), "table": (5,)}
CLASSES = ("first", "second", "third")


def data_of(kind, *, cases=(96, 24, 30), classes=CLASSES, seed=0):
    """A `Data` whose classes differ in the mean of x.

    Args:
      kind: "images", "sound" or "table".
      cases: how many train, are held out, and test.
      classes: names.
      seed: int.
    """
    rng = np.random.default_rng(seed)
    shape = SHAPES[kind]
    scale = 255.0 if kind == "images" else 4.0
    means = rng.uniform(0.2, 0.8, (len(classes), *shape))

    def split(count):
        labels = np.arange(count) % len(classes)
        x = means[labels] + rng.normal(scale=0.1, size=(count, *shape))
        x = (np.clip(x, 0, 1) * scale).astype(np.float32)
        labels = labels.astype(np.int32)
        return Split(tf.data.Dataset.from_tensor_slices((x, labels)), labels)

    columns = tuple("abcde") if kind == "table" else ()
    return Data(kind, *map(split, cases), tuple(classes), columns)


def arrays(split):
    """A split's x and labels as arrays."""
    x, labels = zip(*split.dataset.as_numpy_iterator(), strict=True)
    return np.stack(x), np.array(labels)

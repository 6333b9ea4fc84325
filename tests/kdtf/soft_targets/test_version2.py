"""Stores of format version 2 still open, join and verify.

The three of `version2/` were written by kdtf 2.0 from what is made here, before
version 3 came: views with `top_k`, batches of lengths of their own, and class
ids of 32 bits.
"""

import numpy as np
import tensorflow as tf

from tests import nets, stores

LENGTHS = (3, 1, 4, 1, 5)


def weights(classes):
    return np.random.default_rng(5).normal(size=(5, classes)).astype("float32")


def linear(classes):
    kernel = weights(classes)
    return lambda x: np.asarray(x) @ kernel


def brighter(x, seed):
    return x + tf.cast(seed[0] + 2 * seed[1], x.dtype)


def clips():
    frames = nets.inputs(sum(LENGTHS))
    starts = np.cumsum((0, *LENGTHS))

    def read():
        for start, length in zip(starts, LENGTHS, strict=False):
            yield frames[start : start + length]

    return tf.data.Dataset.from_generator(
        read, output_signature=tf.TensorSpec([None, nets.FEATURES])
    ).padded_batch(2)


STORES = {
    "views": (
        linear(4),
        stores.dataset(4, 10),
        {"views": 2, "augment": brighter, "top_k": 2, "temperature": 2.0},
    ),
    "lengths": (linear(4), clips(), {"dtype": "float32"}),
    "classes": (
        linear(70_000),
        stores.dataset(3, 5),
        {"top_k": 3, "temperature": 2.0, "shards": 1},
    ),
}

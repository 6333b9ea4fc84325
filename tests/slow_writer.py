"""Writes soft targets slowly, in a process that may be killed at any moment."""

import time

import tensorflow as tf

from tests import nets, stores


def write(directory, pipe):
    """Writes a store of two views; tells `pipe` when it begins."""

    def slowly(x, y):
        tf.py_function(lambda: time.sleep(0.02), [], [])
        return x, y

    data = stores.dataset(4, 120).map(slowly)
    teacher = nets.linear(3)
    pipe.send("ready")
    stores.write(
        directory,
        teacher,
        data,
        shards=6,
        views=2,
        augment=lambda x, seed: x + tf.cast(seed[1], x.dtype),
    )

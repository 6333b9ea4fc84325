"""Writes soft targets slowly, in a process that may be killed at any moment."""

import time

import tensorflow as tf

from tests import nets, stores


def write(directory, pipe, seed=3, **options):
    """Writes a store of two views; tells `pipe` when it begins.

    Args:
      directory: path of the store.
      pipe: end of a pipe, which gets "ready"; and at the end whether the store
        is finished, or what the ValueError says that was raised.
      seed: int, of the teacher.
      **options: more of `SoftTargets.write`.
    """

    def slowly(x, y):
        tf.py_function(lambda: time.sleep(0.02), [], [])
        return x, y

    data = stores.dataset(4, 120).map(slowly)
    teacher = nets.linear(seed)
    pipe.send("ready")
    try:
        store = stores.write(
            directory,
            teacher,
            data,
            shards=6,
            views=2,
            augment=lambda x, seed: x + tf.cast(seed[1], x.dtype),
            **options,
        )
        pipe.send(store is not None)
    except ValueError as error:
        pipe.send(str(error))

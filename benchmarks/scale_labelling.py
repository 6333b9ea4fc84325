"""How fast processes write one store together; see `benchmarks.scale`."""

import functools
import pathlib
import tempfile
import time

import keras
import tensorflow as tf
import tqdm

import kdtf
from benchmarks import scale_processes

FEATURES, CLASSES, WIDTH = 784, 1000, 2400
SHARDS, BATCH, TOP_K = 24, 256, 32


def measure(examples, rounds, most_workers):
    """Labels all examples with 1, 2, ... processes, which take turns.

    Args:
      examples: int.
      rounds: int, timings of each.
      most_workers: int.

    Returns:
      List of dicts, one for each number of processes.
    """
    seconds = {workers: [] for workers in range(1, most_workers + 1)}
    for _ in tqdm.trange(rounds, desc="rounds"):
        for workers, found in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                of_each = [
                    [folder, examples, index, workers]
                    for index in range(workers)
                ]
                found.append(
                    max(scale_processes.together(__name__, "labeller", of_each))
                )
                kdtf.SoftTargets(pathlib.Path(folder, "store"))
    return [
        {"workers": workers, "examples": examples, "seconds": found}
        for workers, found in seconds.items()
    ]


def labeller(folder, examples, index, workers):
    """Prepares a process; see `scale_processes.together`."""
    keras.utils.set_random_seed(0)
    teacher = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(WIDTH, "relu"),
            keras.layers.Dense(WIDTH, "relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    write = functools.partial(
        kdtf.SoftTargets.write,
        teacher=teacher,
        dataset=inputs,
        batch_size=BATCH,
        shards=SHARDS,
        top_k=TOP_K,
        temperature=2.0,
        verbose=0,
    )
    write(pathlib.Path(folder, f"warm-{index}"), examples=BATCH)  # traced

    def timed():
        began = time.perf_counter()
        write(
            pathlib.Path(folder, "store"),
            examples=examples,
            shard_index=index,
            shard_count=workers,
        )
        return time.perf_counter() - began

    return timed


def inputs(first, last):
    """The inputs `first` to `last` - 1, which nobody has to store."""

    @tf.autograph.experimental.do_not_convert
    def one(position):
        seed = tf.stack([position, 0])
        return tf.random.stateless_uniform([FEATURES], seed)

    return tf.data.Dataset.range(first, last).map(one)

"""How fast workers read a store that they share; see `benchmarks.scale`.

Each of them is a process on a core of its own. The data are JPEG images in
files of 512, so that most of the work is to decode them, as it is with data
that do not fit into memory.
"""

import functools
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf
import tqdm

import kdtf
from benchmarks import scale_processes

SIZE, CLASSES, TOP_K = 64, 1000, 32
_OF_FILE = 512
# In turn: how many workers there are, and what each of them reads.
WAYS = {
    "one process": (1, "its part"),
    "each its part": (2, "its part"),
    "each everything, and keeps its part": (2, "everything"),
}


def measure(examples, rounds):
    """Reads all examples in each of the `WAYS`, which take turns.

    Args:
      examples: int.
      rounds: int, timings of each.

    Returns:
      Dict of "examples", "bytes_an_example" of the store, and "seconds": from
      each way to a list of seconds, one a round, until the last worker ends.
    """
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        store = make(directory, examples)
        seconds = {way: [] for way in WAYS}
        for _ in tqdm.trange(rounds, desc="rounds"):
            for way, (workers, reads) in WAYS.items():
                seconds[way].append(
                    _slowest(directory, examples, workers, reads)
                )
        return {
            "examples": examples,
            "bytes_an_example": store.bytes_per_example,
            "seconds": seconds,
        }


def make(directory, examples):
    """Makes files of images, and the store of their soft targets.

    Returns:
      The `kdtf.SoftTargets`.
    """
    rng = np.random.default_rng(0)
    for first in range(0, examples, _OF_FILE):
        with tf.io.TFRecordWriter(_file(directory, first)) as file:
            for _ in range(min(_OF_FILE, examples - first)):
                image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
                file.write(tf.io.encode_jpeg(image).numpy())
    kernel = tf.constant(
        rng.normal(size=(SIZE, CLASSES)).astype(np.float32) / SIZE
    )
    return kdtf.SoftTargets.write(
        directory / "store",
        lambda x: tf.reduce_mean(x, (1, 3)) @ kernel,
        functools.partial(images, directory),
        fingerprint="a random kernel",
        examples=examples,
        batch_size=256,
        top_k=TOP_K,
        temperature=2.0,
        verbose=0,
    )


def images(directory, first, last):
    """The images `first` to `last` - 1, each `[SIZE, SIZE, 3]` float32."""
    begin = first - first % _OF_FILE
    files = [_file(directory, i) for i in range(begin, last, _OF_FILE)]
    records = tf.data.TFRecordDataset(files).skip(first - begin)
    return records.take(last - first).map(
        _decode, num_parallel_calls=tf.data.AUTOTUNE
    )


def reader(directory, index, count, reads):
    """Prepares a process; see `scale_processes.together`.

    Args:
      directory: str, of what `make` made.
      index: int, of the worker.
      count: int, of the workers.
      reads: "its part", or "everything": it then keeps every `count`th batch,
        as where `tf.distribute` shards a data set by DATA.
    """
    directory = pathlib.Path(directory)
    store = kdtf.SoftTargets(directory / "store")
    data = functools.partial(images, directory)
    if reads == "its part":
        part = store.join(data, shard_index=index, shard_count=count)
        batches = part.batch(256)
    else:
        batches = store.join(data).batch(256).shard(count, index)
    next(iter(batches))  # traced, and the libraries loaded

    def timed():
        began = time.perf_counter()
        rows = sum(len(x) for x, _ in batches)
        return [rows, time.perf_counter() - began]

    return timed


def _file(directory, first):
    return str(directory / f"images{first:09d}.tfrecord")


@tf.autograph.experimental.do_not_convert
def _decode(record):
    image = tf.io.decode_jpeg(record, channels=3)
    image = tf.ensure_shape(image, (SIZE, SIZE, 3))
    return tf.cast(image, tf.float32) / 255


def _slowest(directory, examples, workers, reads):
    """Seconds until the last of some workers, who begin at once, has read."""
    of_each = [[str(directory), i, workers, reads] for i in range(workers)]
    told = scale_processes.together(__name__, "reader", of_each)
    if sum(rows for rows, _ in told) != examples:
        raise RuntimeError(f"of {examples} examples these were read: {told}")
    return max(seconds for _, seconds in told)

"""A small data set, and soft targets of it, for the tests."""

import tensorflow as tf

import kdtf
from tests import nets

EXAMPLES = 22


def dataset(batch=4, count=EXAMPLES):
    """`(x, y)` in batches (the last one short), or unbatched for None."""
    given = tf.data.Dataset.from_tensor_slices(
        (nets.inputs(count), nets.labels(count))
    )
    return given if batch is None else given.batch(batch)


def write(directory, teacher=None, data=None, **options):
    """`SoftTargets.write` without a bar, of `nets.linear(3)` by default."""
    return kdtf.SoftTargets.write(
        directory,
        nets.linear(3) if teacher is None else teacher,
        dataset() if data is None else data,
        verbose=0,
        **{"shards": 3, **options},
    )


def contents(directory):
    """Dict from file name to bytes."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}

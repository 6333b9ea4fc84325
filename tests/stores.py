"""A small data set, and soft targets of it, for the tests."""

import numpy as np
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


def relative_logits(teacher, x=None):
    """A teacher's logits less the largest of each row, in float64."""
    logits = np.float64(teacher(nets.inputs(22) if x is None else x))
    return logits - logits.max(-1, keepdims=True)


def read(joined):
    """All batches of a joined data set in one: x, targets."""
    batches = [(element[0], element[1]) for element in joined]
    return tf.nest.map_structure(lambda *t: np.concatenate(t), *batches)

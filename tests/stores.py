"""A small data set, and soft targets of it, for the tests."""

import keras
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


def of_range(first, last):
    """Some of the examples, as a function of their range gives them."""
    x, y = nets.inputs(EXAMPLES), nets.labels(EXAMPLES)
    return tf.data.Dataset.from_tensor_slices((x[first:last], y[first:last]))


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


def augment(x, seed):
    """Noise that depends on the seed alone."""
    return x + tf.random.stateless_normal(x.shape, seed)


LENGTHS = (3, 1, 4, 1, 5, 9, 2, 6, 5)


def clips(lengths=LENGTHS):
    """`(x, y)` of clips `[time, 5]`, one by one."""
    frames = nets.inputs(sum(lengths))
    starts = np.cumsum((0, *lengths))

    def read():
        for start, length in zip(starts, lengths, strict=False):
            yield frames[start : start + length], np.full(length, start % 4)

    return tf.data.Dataset.from_generator(
        read,
        output_signature=(
            tf.TensorSpec([None, nets.FEATURES]),
            tf.TensorSpec([None], tf.int64),
        ),
    )


def frame_net(seed=3):
    """Logits of every frame, which depend on all frames: padding matters."""
    frames = keras.Input((None, nets.FEATURES))
    mean = keras.layers.GlobalAveragePooling1D(keepdims=True)(frames)
    logits = keras.layers.Dense(
        nets.CLASSES, kernel_initializer=keras.initializers.RandomNormal()
    )(frames - mean)
    return keras.Model(frames, logits)

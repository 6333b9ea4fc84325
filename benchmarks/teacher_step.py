"""Time of an epoch of the MNIST teacher: `fit` against a bare TensorFlow loop.

    python -m benchmarks.teacher_step

784-1200-1200-10 with dropout, max-norm and images jittered by up to 2 pixels,
batch 256, 60,000 random images: five minutes on two cores. "Our dropout" is
that of `trainers.mnist.dropout`. The bare loop is a graph that iterates over
the batches, without metrics and callbacks. Let nothing else run.
"""

import dataclasses
import pathlib
import statistics
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import timing
from trainers.core import run_directory
from trainers.mnist import architectures, batches, dropout, recipes
from trainers.mnist.settings import DEFAULTS

TEACHER = dataclasses.replace(
    recipes.teacher(DEFAULTS["mnist"]), batch_size=256
)
CASES = 60_000


def training_data(steps):
    """The batches of an epoch, made in the input pipeline from uint8 images."""
    rng = np.random.default_rng(0)
    data = batches.training_batches(
        rng.integers(0, 256, (CASES, 28, 28), np.uint8),
        rng.integers(0, 10, CASES).astype(np.int32),
        white=255,
        batch_size=TEACHER.batch_size,
        seed=0,
        first_step=0,
        last_step=steps,
        moves=TEACHER.moves,
    )
    return timing.without_autotune(data)


def net(layer):
    """The teacher, with one dropout layer or the other."""
    with mock.patch.object(architectures, "Dropout", layer):
        return architectures.build_net(TEACHER, 784, 10, seed=0)


def keras_dropout(rate, seed, batch_size, name):
    """Keras's layer, which takes batches of any size."""
    del batch_size
    return keras.layers.Dropout(rate, seed=seed, name=name)


def by_fit(data, steps, layer, jit_compile):
    """Function that trains for an epoch as the trainers do."""
    distiller = kdtf.Distiller(
        net(layer),
        temperature=1.0,
        soft_weight=0.0,
        hard_weight=1.0,
    )
    distiller.compile(
        keras.optimizers.Adam(TEACHER.learning_rate),
        jit_compile=jit_compile,
        steps_per_execution=18,  # as many as divide the epoch
    )
    return lambda: distiller.fit(
        data, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def by_bare_loop(data):
    """Function that trains for an epoch in one TensorFlow graph."""
    teacher = net(keras_dropout)
    variables = teacher.trainable_variables
    optimizer = keras.optimizers.Adam(TEACHER.learning_rate)
    optimizer.build(variables)

    @tf.function
    def epoch():
        for x, y in data:
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    y, teacher(x, training=True)
                )
                loss = tf.reduce_mean(losses)
            optimizer.apply(tape.gradient(loss, variables), variables)

    return epoch


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    steps = batches.steps_per_epoch(CASES, TEACHER.batch_size)
    data = training_data(steps)
    ready = timing.without_autotune(data.take(4).cache().repeat().take(steps))
    kept, ours = keras_dropout, dropout.Dropout
    contenders = {
        "`fit`, our dropout, XLA": by_fit(data, steps, ours, True),
        "`fit`, Keras's dropout, XLA": by_fit(data, steps, kept, True),
        "`fit`, Keras's dropout": by_fit(data, steps, kept, False),
        "bare loop": by_bare_loop(data),
        "bare loop, four batches over and over": by_bare_loop(ready),
    }
    seconds = timing.interleaved(contenders, values.rounds)
    bare = seconds["bare loop"]
    rows = [
        {
            "way": way,
            "seconds": statistics.median(each),
            "over_bare_loop": timing.ratio(each, bare),
        }
        for way, each in seconds.items()
    ]
    for row in rows:
        print(
            f"{row['way']:40} {row['seconds']:6.2f} s an epoch, "
            f"{row['over_bare_loop']['median']:.2f} of the bare loop"
        )
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("teacher_step"), "rows": rows},
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "timings of each", lower_bound=1)
    flags.DEFINE_string(
        "output", "results/teacher_step.json", "where the figures go"
    )
    app.run(main)

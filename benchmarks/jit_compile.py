"""Which students XLA trains faster: the basis of `jit_compile="auto"`.

    python -m benchmarks.jit_compile

trains one small student for every kind of layer on given teacher logits, with
and without XLA, one step an execution and many (as Keras runs them if the
student has convolutions). Five minutes on two cores; let nothing else run.
"""

import itertools
import json
import pathlib
import statistics

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import timing
from trainers.core import run_directory

BATCH, CLASSES, STEPS, EXECUTION = 128, 10, 64, 32
IMAGE, SEQUENCE, FLAT = (28, 28, 1), (32, 64), (784,)
LAYERS = keras.layers


def _mlp(*between):
    return [LAYERS.Dense(256), *between, LAYERS.Activation("relu")]


# Kind: shape of an input, layers between it and the logits.
STUDENTS = {
    "dense": (FLAT, lambda: _mlp()),
    "dense, batch normalisation": (
        FLAT,
        lambda: _mlp(LAYERS.BatchNormalization()),
    ),
    "dense, layer normalisation": (
        FLAT,
        lambda: _mlp(LAYERS.LayerNormalization()),
    ),
    "dense, dropout": (FLAT, lambda: _mlp(LAYERS.Dropout(0.5))),
    "dense, Gaussian noise": (FLAT, lambda: _mlp(LAYERS.GaussianNoise(0.1))),
    "convolution, 1 channel in": (
        IMAGE,
        lambda: [
            LAYERS.Conv2D(16, 3, activation="relu"),
            LAYERS.MaxPooling2D(),
            LAYERS.Flatten(),
        ],
    ),
    "convolution, 16 channels in": (
        (14, 14, 16),
        lambda: [LAYERS.Conv2D(32, 3, activation="relu"), LAYERS.Flatten()],
    ),
    "convolution, global pooling": (
        (14, 14, 16),
        lambda: [
            LAYERS.Conv2D(32, 3, activation="relu"),
            LAYERS.GlobalAveragePooling2D(),
        ],
    ),
    "convolution over time": (
        SEQUENCE,
        lambda: [LAYERS.Conv1D(64, 5, activation="relu"), LAYERS.Flatten()],
    ),
    "depthwise convolution": (
        (14, 14, 16),
        lambda: [LAYERS.DepthwiseConv2D(3), LAYERS.Flatten()],
    ),
    "recurrent (GRU)": (SEQUENCE, lambda: [LAYERS.GRU(64)]),
    "embedding": (
        (64,),
        lambda: [
            LAYERS.Embedding(1000, 64),
            LAYERS.GlobalAveragePooling1D(),
        ],
    ),
    "attention": (
        SEQUENCE,
        lambda: [_SelfAttention(), LAYERS.Flatten()],
    ),
}


class _SelfAttention(keras.layers.Layer):
    """`MultiHeadAttention` of a sequence with itself."""

    def __init__(self):
        super().__init__()
        self.attention = LAYERS.MultiHeadAttention(4, 16)

    def call(self, x):
        return self.attention(x, x)


def contenders(shape, layers):
    """Dict from (XLA or not, steps an execution) to an epoch's training."""
    rng = np.random.default_rng(0)
    # Whole numbers, which an embedding can take for words.
    x = rng.integers(0, 1000, (STEPS * BATCH, *shape)).astype(np.float32) / (
        1 if shape == (64,) else 1000
    )
    y = {
        "labels": rng.integers(0, CLASSES, len(x)).astype(np.int32),
        "teacher_logits": rng.normal(size=(len(x), CLASSES)).astype(np.float32),
    }
    data = tf.data.Dataset.from_tensor_slices((x, y))
    data = data.batch(BATCH, drop_remainder=True).cache().prefetch(4)
    data = timing.without_autotune(data)

    def build(jit, execution):
        student = keras.Sequential(
            [keras.Input(shape), *layers(), LAYERS.Dense(CLASSES)]
        )
        distiller = kdtf.Distiller(student, temperature=4.0)
        distiller.compile(
            "adam", jit_compile=jit, steps_per_execution=execution
        )
        return lambda: distiller.fit(data, shuffle=False, verbose=0)

    return {
        (jit, execution): build(jit, execution)
        for jit, execution in itertools.product((False, True), (1, EXECUTION))
    }


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    rows = []
    for kind, (shape, layers) in STUDENTS.items():
        seconds = timing.interleaved(contenders(shape, layers), values.rounds)
        row = {"student": kind}
        for execution in (1, EXECUTION):
            with_xla, without = (
                seconds[jit, execution] for jit in (True, False)
            )
            row[f"{execution}"] = {
                "milliseconds_without": 1e3
                * statistics.median(without)
                / STEPS,
                "milliseconds_with": 1e3 * statistics.median(with_xla) / STEPS,
                "ratio": timing.ratio(with_xla, without),
            }
        print(
            kind,
            {k: v["ratio"]["median"] for k, v in row.items() if k != "student"},
            flush=True,
        )
        rows.append(row)
        print(json.dumps(row, indent=2), flush=True)
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("jit_compile"), "rows": rows},
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 7, "timings of each", lower_bound=1)
    flags.DEFINE_string(
        "output", "results/jit_compile.json", "where the figures go"
    )
    app.run(main)

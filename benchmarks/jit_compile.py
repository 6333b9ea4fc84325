"""Which students XLA trains faster: the basis of `jit_compile="auto"`.

    python -m benchmarks.jit_compile

trains one small student for every kind of layer on given teacher logits, with
and without XLA, one step an execution and many (as Keras runs them if the
student has convolutions), and tells after how many steps XLA has made up for
the time that it takes to compile. Ten minutes on two cores; let nothing else
run. `--students=recurrent` measures those whose name has that in it, and keeps
the other rows of the result file.
"""

import itertools
import json
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import timing
from trainers.core import run_directory

BATCH, CLASSES, STEPS, EXECUTION = 128, 10, 60, 20
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
    "small image net": (
        IMAGE,
        lambda: [
            LAYERS.Conv2D(8, 3, activation="relu"),
            LAYERS.MaxPooling2D(),
            LAYERS.DepthwiseConv2D(3, activation="relu"),
            LAYERS.Conv2D(16, 1, activation="relu"),
            LAYERS.GlobalAveragePooling2D(),
        ],
    ),
    "recurrent (GRU)": (SEQUENCE, lambda: [LAYERS.GRU(64)]),
    "recurrent (LSTM)": (SEQUENCE, lambda: [LAYERS.LSTM(64)]),
    "recurrent (GRU, both ways)": (
        SEQUENCE,
        lambda: [LAYERS.Bidirectional(LAYERS.GRU(32))],
    ),
    "recurrent (LSTM, both ways)": (
        SEQUENCE,
        lambda: [LAYERS.Bidirectional(LAYERS.LSTM(32))],
    ),
    "recurrent (two GRUs)": (
        SEQUENCE,
        lambda: [LAYERS.GRU(64, return_sequences=True), LAYERS.GRU(64)],
    ),
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
    "transformer (as DistilBERT, no dropout)": (
        (64,),
        lambda: [
            LAYERS.Embedding(1000, 64),
            _TransformerBlock(),
            _TransformerBlock(),
            LAYERS.GlobalAveragePooling1D(),
        ],
    ),
}
# In bfloat16, by the policy mixed_bfloat16.
HALF_PRECISION = (
    "dense",
    "convolution over time",
    "recurrent (GRU)",
    "attention",
)


class _SelfAttention(keras.layers.Layer):
    """`MultiHeadAttention` of a sequence with itself."""

    def __init__(self):
        super().__init__()
        self.attention = LAYERS.MultiHeadAttention(4, 16)

    def call(self, x):
        return self.attention(x, x)


class _TransformerBlock(keras.layers.Layer):
    """Attention and two dense layers, each with a sum and a normalisation."""

    def __init__(self):
        super().__init__()
        self.attention = LAYERS.MultiHeadAttention(4, 16)
        self.inner = LAYERS.Dense(256, "gelu")
        self.outer = LAYERS.Dense(64)
        self.norms = [LAYERS.LayerNormalization() for _ in range(2)]

    def call(self, x):
        x = self.norms[0](x + self.attention(x, x))
        return self.norms[1](x + self.outer(self.inner(x)))


def contenders(shape, layers, policy="float32"):
    """Dict from (XLA or not, steps an execution) to an epoch's training."""
    rng = np.random.default_rng(0)
    # Whole numbers, which an embedding takes for words, exact in bfloat16.
    x = rng.integers(0, 256, (STEPS * BATCH, *shape)).astype(np.float32) / (
        1 if shape == (64,) else 256
    )
    y = {
        "labels": rng.integers(0, CLASSES, len(x)).astype(np.int32),
        "teacher_logits": rng.normal(size=(len(x), CLASSES)).astype(np.float32),
    }
    data = tf.data.Dataset.from_tensor_slices((x, y))
    data = data.batch(BATCH, drop_remainder=True).cache().prefetch(4)
    data = timing.without_autotune(data)

    def build(jit, execution):
        keras.config.set_dtype_policy(policy)
        student = keras.Sequential(
            [keras.Input(shape), *layers(), LAYERS.Dense(CLASSES)]
        )
        keras.config.set_dtype_policy("float32")
        distiller = kdtf.Distiller(student, temperature=4.0)
        distiller.compile(
            "adam", jit_compile=jit, steps_per_execution=execution
        )
        return lambda: distiller.fit(data, shuffle=False, verbose=0)

    return {
        (jit, execution): build(jit, execution)
        for jit, execution in itertools.product((False, True), (1, EXECUTION))
    }


def _first(train):
    began = time.perf_counter()
    train()
    return time.perf_counter() - began


def _row(kind, shape, layers, policy, rounds):
    """The figures of one kind of student."""
    ways = contenders(shape, layers, policy)
    first = {way: _first(train) for way, train in ways.items()}
    seconds = timing.interleaved(ways, rounds)
    row = {"student": kind}
    for execution in (1, EXECUTION):
        medians = {
            jit: statistics.median(seconds[jit, execution]) / STEPS
            for jit in (True, False)
        }
        # What the first epoch takes longer than the others.
        compiling = {
            jit: first[jit, execution] - medians[jit] * STEPS
            for jit in (True, False)
        }
        saved = medians[False] - medians[True]
        row[f"{execution}"] = {
            "milliseconds_without": 1e3 * medians[False],
            "milliseconds_with": 1e3 * medians[True],
            "seconds_to_compile_without": compiling[False],
            "seconds_to_compile_with": compiling[True],
            "steps_until_it_pays": max(
                0, round((compiling[True] - compiling[False]) / saved)
            )
            if saved > 0
            else None,
            "ratio": timing.ratio(
                seconds[True, execution], seconds[False, execution]
            ),
        }
    return row


def students():
    """Dict from a student's name to shape, layers, dtype policy."""
    found = {kind: (*student, "float32") for kind, student in STUDENTS.items()}
    for kind in HALF_PRECISION:
        found[f"{kind}, bfloat16"] = (*STUDENTS[kind], "mixed_bfloat16")
    return found


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    path = pathlib.Path(values.output)
    known = json.loads(path.read_text())["rows"] if values.students else []
    rows = {row["student"]: row for row in known}
    for kind, student in students().items():
        if values.students in kind:
            rows[kind] = _row(kind, *student, values.rounds)
            print(json.dumps(rows[kind], indent=2), flush=True)
            order = [rows[name] for name in students() if name in rows]
            run_directory.write_json(
                path, {**timing.conditions("jit_compile"), "rows": order}
            )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 7, "timings of each", lower_bound=1)
    flags.DEFINE_string(
        "students", "", "what the names of those to measure contain; '' for all"
    )
    flags.DEFINE_string(
        "output", "results/jit_compile.json", "where the figures go"
    )
    app.run(main)

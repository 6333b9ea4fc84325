"""Time of an epoch over arrays in memory: kdtf, plain Keras, Keras's distiller.

    python -m benchmarks.arrays

trains small and middle-sized students on NumPy arrays, as most people do, a few
epochs in each `fit`; about five minutes on two cores. The contenders run
alternately: as they come, and plain Keras and `keras.distillation` also in
their best settings. A time is the median over the rounds, without the first
`fit`, which compiles. Let nothing else run.

The floor is the same arithmetic in one XLA loop over batches that are there
already, without `fit`, metrics, callbacks and shuffling.
"""

import dataclasses
import pathlib
import statistics

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import libraries, timing, train_step
from benchmarks.train_step import (
    CLASSES,
    FLOOR,
    GIVEN,
    KERAS,
    LABELS,
    ONLINE,
    PLAIN,
    net,
)
from trainers.core import run_directory

BEST = ", at its best"


@dataclasses.dataclass(frozen=True)
class Size:
    """The nets that are trained, and how long."""

    student: tuple
    teacher: tuple
    batch: int
    steps: int  # of an epoch
    epochs: int  # of a `fit`
    best: dict  # settings in which Keras's own `fit` was the fastest


SIZES = {
    "64-64-10, batch 64, 64 steps an epoch": Size(
        (64, 64, CLASSES),
        (64, 256, 256, CLASSES),
        64,
        64,
        20,
        {"jit_compile": False, "steps_per_execution": 64},
    ),
    "64-64-10, batch 64, 2,048 steps an epoch": Size(
        (64, 64, CLASSES),
        (64, 256, 256, CLASSES),
        64,
        2048,
        3,
        {"jit_compile": False, "steps_per_execution": 128},
    ),
    "784-800-800-10, batch 256, 50 steps an epoch": Size(
        (784, 800, 800, CLASSES),
        (784, 1200, 1200, CLASSES),
        256,
        50,
        3,
        {"jit_compile": True, "steps_per_execution": 50},
    ),
}
RATIOS = [
    (GIVEN, PLAIN),
    (GIVEN, PLAIN + BEST),
    (GIVEN, FLOOR),
    (LABELS, PLAIN + BEST),
    (ONLINE, KERAS),
    (ONLINE, KERAS + BEST),
]


def contenders(size):
    """Dict from name to a function that trains for `size.epochs`."""
    rng = np.random.default_rng(0)
    rows = size.batch * size.steps
    x = rng.uniform(size=(rows, size.student[0])).astype(np.float32)
    y = rng.integers(0, CLASSES, rows).astype(np.int32)
    v = rng.normal(size=(rows, CLASSES)).astype(np.float32)
    teacher, logits = net(size.teacher), {"labels": y, "teacher_logits": v}

    def student():
        return net(size.student)

    def fit(model, y):
        return lambda: model.fit(
            x, y, batch_size=size.batch, epochs=size.epochs, verbose=0
        )

    runs = {}
    for suffix, setting in (("", {}), (BEST, size.best)):
        runs[PLAIN + suffix] = fit(train_step.plain(student(), setting), y)
        library = libraries.KERAS_BEST
        distiller = train_step.online(library, teacher, student(), setting)
        runs[KERAS + suffix] = fit(distiller, y)
    runs[LABELS] = fit(train_step.labels_alone(student(), {}), y)
    runs[GIVEN] = fit(train_step.given(student(), {}), logits)
    online = train_step.online(libraries.KDTF, teacher, student(), {})
    runs[ONLINE] = fit(online, y)
    epoch = train_step.floor(
        student(), [_stack(part, size) for part in (x, y, v)], size.steps
    )
    runs[FLOOR] = lambda: [epoch() for _ in range(size.epochs)]
    return runs


def _stack(part, size):
    """`[steps, batch, ...]` of rows."""
    shape = (size.steps, size.batch, *part.shape[1:])
    return tf.reshape(tf.constant(part), shape)


def summarise(seconds, size):
    """Milliseconds of an epoch by contender, and ratios between them."""
    epochs = {
        name: 1e3 * statistics.median(each) / size.epochs
        for name, each in seconds.items()
    }
    return {
        "milliseconds_an_epoch": epochs,
        "microseconds_a_step": {
            name: 1e3 * each / size.steps for name, each in epochs.items()
        },
        "ratios": [
            {
                "ours": ours,
                "against": against,
                **timing.ratio(seconds[ours], seconds[against]),
            }
            for ours, against in RATIOS
        ],
    }


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    sizes = {}
    for name, size in SIZES.items():
        seconds = timing.interleaved(contenders(size), values.rounds)
        sizes[name] = summarise(seconds, size)
        print(name)
        for contender, each in sizes[name]["milliseconds_an_epoch"].items():
            print(f"  {contender:50} {each:9.2f} ms an epoch")
        for row in sizes[name]["ratios"]:
            print(
                f"  {row['ours']} / {row['against']}: {row['median']:.3f} "
                f"{row['quartiles']}"
            )
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("arrays"), "sizes": sizes},
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 9, "timings of each", lower_bound=1)
    flags.DEFINE_string("output", "results/arrays.json", "where they go")
    app.run(main)

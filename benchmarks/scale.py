"""Training, labelling and reading by several processes, beside one.

    python -m benchmarks.scale

Each process has a core of its own as long as there are cores; what is more is
there to show what happens when they share. Ten minutes on two cores, on
which nothing else may run. docs/results/scale.md has the figures, and what
they make of larger machines.
"""

import pathlib
import tempfile

import numpy as np
from absl import app, flags

import kdtf
from benchmarks import (
    scale_labelling,
    scale_reading,
    scale_training,
    timing,
)
from trainers.core import run_directory

TOP_K, CLASSES = 64, 100_000


def bytes_an_example(top_k=TOP_K, classes=CLASSES, examples=512):
    """What a store takes of an example, its share of all framing included."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 8)).astype(np.float32)
    kernel = rng.normal(size=(8, classes)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        store = kdtf.SoftTargets.write(
            pathlib.Path(folder, "store"),
            lambda batch: batch @ kernel,
            x,
            fingerprint="a random kernel",
            batch_size=256,
            top_k=top_k,
            temperature=2.0,
            verbose=0,
        )
        return store.bytes_per_example


def main(argv):
    """Measures, and writes the figures."""
    del argv
    values = flags.FLAGS
    rounds, workers = values.rounds, values.workers
    figures = {
        **timing.conditions("scale"),
        "training": scale_training.measure(values.steps, rounds, workers),
        "labelling": scale_labelling.measure(values.examples, rounds, workers),
        "reading": scale_reading.measure(values.examples, rounds),
        "store": {
            "top_k": TOP_K,
            "classes": CLASSES,
            "bytes_an_example": bytes_an_example(),
        },
    }
    run_directory.write_json(pathlib.Path(values.output), figures)


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 3, "timings of each", lower_bound=1)
    flags.DEFINE_integer("workers", 3, "the most processes", lower_bound=1)
    flags.DEFINE_integer("steps", 60, "training steps a timing", lower_bound=1)
    flags.DEFINE_integer(
        "examples", 20_000, "examples labelled and read", lower_bound=1000
    )
    flags.DEFINE_string("output", "results/scale.json", "where figures go")
    app.run(main)

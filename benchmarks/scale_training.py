"""How fast workers train one student together; see `benchmarks.scale`."""

import time

import keras
import numpy as np
import tensorflow as tf
import tqdm

import kdtf
from benchmarks import scale_processes
from trainers.core import local_workers

ROWS = 256  # of each worker's part of a batch
WIDTHS = {"784-64-10": 64, "784-800-800-10": 800}


def measure(steps, rounds, most_workers):
    """Trains with 1, 2, ... workers, which take turns.

    Args:
      steps: int, steps of a timing.
      rounds: int, timings of each.
      most_workers: int.

    Returns:
      List of dicts, one for each student and number of workers.
    """
    cases = [
        (student, workers, steps_per_execution)
        for workers in range(1, most_workers + 1)
        # A large student spends no time between its steps.
        for student, steps_per_execution in (
            ("784-64-10", 1),
            ("784-64-10", 20),
            ("784-800-800-10", 1),
        )
    ]
    seconds = {case: [] for case in cases}
    for _ in tqdm.trange(rounds, desc="rounds"):
        for case in cases:
            seconds[case].append(_seconds(*case, steps))
    return [
        {
            "student": student,
            "workers": workers,
            "steps_per_execution": steps_per_execution,
            "examples": ROWS * workers * steps,
            "seconds": found,
        }
        for (student, workers, steps_per_execution), found in seconds.items()
    ]


def _seconds(student, workers, steps_per_execution, steps):
    """Until the last worker has trained."""
    environments = None
    if workers > 1:
        configs = local_workers.configs(workers)
        environments = [{"TF_CONFIG": config} for config in configs]
    arguments = [student, workers, steps_per_execution, steps]
    return max(
        scale_processes.together(
            __name__, "trainer", [arguments] * workers, environments
        )
    )


def trainer(student, workers, steps_per_execution, steps):
    """Prepares a worker; see `scale_processes.together`."""
    strategy = tf.distribute.get_strategy()
    if workers > 1:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        distiller = kdtf.Distiller(
            _net(WIDTHS[student]), temperature=4.0, soft_weight=0.9
        )
        distiller.compile(
            keras.optimizers.Adam(1e-3),
            metrics=["accuracy"],
            steps_per_execution=steps_per_execution,
            jit_compile=False,
        )
    batches = _batches(ROWS * workers)
    distiller.fit(batches, steps_per_epoch=20, verbose=0)  # traced

    def timed():
        began = time.perf_counter()
        distiller.fit(batches, steps_per_epoch=steps, verbose=0)
        return time.perf_counter() - began

    return timed


def _net(width):
    hidden = [width] if width < 100 else [width, width]
    return keras.Sequential(
        [
            keras.Input((784,)),
            *(keras.layers.Dense(units, "relu") for units in hidden),
            keras.layers.Dense(10),
        ]
    )


def _batches(rows):
    """One batch again and again: what is timed is the training."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 784)).astype(np.float32)
    logits = rng.normal(size=(rows, 10)).astype(np.float32)
    y = {"labels": rng.integers(0, 10, rows), "teacher_logits": logits}
    return tf.data.Dataset.from_tensors((x, y)).cache().repeat()

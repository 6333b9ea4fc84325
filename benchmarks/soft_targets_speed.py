"""How fast soft targets are written and read; see `benchmarks.soft_targets`."""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
import tqdm

import kdtf
from kdtf.soft_targets import examples

CLASSES = 10
# Student: inputs, units of the two hidden layers, batch, steps an execution.
STUDENTS = {
    "784-800-800-10": (784, 800, 256, 20),
    "64-64-64-10": (64, 64, 64, 128),
}


def measure(rounds):
    """All three: writing, reading, memory.

    Args:
      rounds: int, timings of each.

    Returns:
      Dict, as it is written to the result file.
    """
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        results = {
            "writing": {
                str(batch): _writing(directory, batch, rounds)
                for batch in (256, 2000)
            },
            "reading": {
                name: _reading(directory / name, *sizes, rounds)
                for name, sizes in STUDENTS.items()
            },
            "memory": {
                str(count): _peak_megabytes(count)
                for count in (100_000, 400_000, 1_600_000)
            },
        }
    print(json.dumps(results, indent=2))
    return results


def _net(inputs, units):
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(CLASSES),
        ]
    )


def _data(count, inputs, batch):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(count, inputs)).astype(np.float32)
    y = rng.integers(0, CLASSES, count).astype(np.int32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(batch)


def _seconds(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _writing(directory, batch, rounds):
    """Writing a store against running the teacher and dropping its logits."""
    teacher, data = _net(784, 1200), _data(60_000, 784, batch).repeat(5)
    infer = tf.function(lambda x: teacher(x, training=False))

    def bare():
        for x, _ in examples.prompt(data.prefetch(2)):
            infer(x).numpy()

    def write():
        shutil.rmtree(directory / "written", ignore_errors=True)
        kdtf.SoftTargets.write(directory / "written", teacher, data, verbose=0)

    bare(), write()
    times = [(_seconds(bare), _seconds(write)) for _ in tqdm.trange(rounds)]
    return {
        "teacher": f"784-1200-1200-10, batch {batch:,}, 300,000 examples",
        "bare_inference_seconds": statistics.median(b for b, _ in times),
        "writing_seconds": statistics.median(w for _, w in times),
        "speed_ratio": statistics.median(b / w for b, w in times),
    }


def _reading(directory, inputs, units, batch, execution, rounds):
    """Training from a store, and mere reading, against training from memory."""
    steps = execution * (100_000 // (batch * execution))
    data = _data(steps * batch, inputs, batch).cache()
    store = kdtf.SoftTargets.write(
        directory, _net(inputs, units), data, verbose=0
    )
    joined = store.join(data)
    in_memory = joined.cache()
    student = kdtf.Distiller(_net(inputs, units), temperature=4.0)
    student.compile("adam", jit_compile=True, steps_per_execution=execution)

    def train(dataset):
        student.fit(examples.prompt(dataset), shuffle=False, verbose=0)

    def read():
        # Not batch by batch: Python would take longer than the reading.
        for _ in examples.prompt(joined.batch(execution)):
            pass

    ways = {
        "read": read,
        "train_from_store": lambda: train(joined),
        "train_from_memory": lambda: train(in_memory),
    }
    times = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in tqdm.trange(rounds):
        for name, way in ways.items():
            times[name].append(1e3 * _seconds(way) / steps)

    def ratio(first, second):
        pairs = zip(times[first], times[second], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return {
        "batch": batch,
        "milliseconds_a_batch": {
            name: statistics.median(values) for name, values in times.items()
        },
        "read_over_train_from_memory": ratio("read", "train_from_memory"),
        "train_from_store_over_memory": ratio(
            "train_from_store", "train_from_memory"
        ),
    }


_CHILD = """
import pathlib, sys, tempfile
import tensorflow as tf
import kdtf
from benchmarks.soft_targets_speed import _net

batches = int(sys.argv[1]) // 1000
data = tf.data.Dataset.range(batches).map(
    lambda i: tf.random.stateless_uniform((1000, 64), [0, i]))
with tempfile.TemporaryDirectory() as directory:
    store = kdtf.SoftTargets.write(directory, _net(64, 64), data, verbose=0)
    for _ in store.join(data):
        pass
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def _peak_megabytes(count):
    """Peak memory of a process that writes and reads so many examples."""
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(child.stdout)

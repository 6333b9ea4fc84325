"""Memory that a process keeps of every model it has trained and dropped.

    python -m benchmarks.memory

A search over settings trains one student after another. Each way of training
runs in a process of its own, on 256 random cases: ten minutes on two cores, and
it does not matter what else runs. TensorFlow keeps what XLA has compiled until
the process ends.
"""

import functools
import gc
import multiprocessing
import os
import pathlib

import keras
import numpy as np
from absl import app, flags

import kdtf
from benchmarks import timing
from trainers.core import run_directory

FEATURES, CLASSES, CASES = 32, 10, 256
MIB = 2**20


def net(units):
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(CLASSES),
        ]
    )


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(CASES, FEATURES)).astype(np.float32)
    return x, rng.integers(0, CLASSES, CASES)


def plain_keras(**compiled):
    """Function that trains a new student without a teacher."""
    x, y = data()

    def train(_):
        model = net(16)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss=loss, metrics=["accuracy"], **compiled)
        model.fit(x, y, verbose=0)

    return train


def _distiller(teacher, compiled):
    distiller = kdtf.Distiller(net(16), teacher, temperature=2.0)
    distiller.compile("adam", metrics=["accuracy"], **compiled)
    return distiller


def distillers(**compiled):
    """Function that trains a new student of the same teacher."""
    (x, y), teacher = data(), net(64)
    return lambda _: _distiller(teacher, compiled).fit(x, y, verbose=0)


def class_weights(**compiled):
    """Function that trains one student, each time with other class weights."""
    (x, y), distiller = data(), _distiller(net(64), compiled)
    return lambda i: distiller.fit(x, y, class_weight={0: 1.0 + i}, verbose=0)


XLA = {"jit_compile": True}
MANY_STEPS = {"jit_compile": True, "steps_per_execution": 4}
CONTENDERS = {
    "plain Keras": (plain_keras, {"jit_compile": False}),
    "plain Keras, XLA": (plain_keras, XLA),
    "plain Keras, XLA, 4 steps": (plain_keras, MANY_STEPS),
    "kdtf": (distillers, {"jit_compile": False}),
    "kdtf, XLA": (distillers, XLA),
    "kdtf, XLA, 4 steps": (distillers, MANY_STEPS),
    "kdtf, one student, other class weights, XLA": (class_weights, MANY_STEPS),
}


def resident():
    """Bytes of this process that are in memory."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth(contender, count):
    """MiB that a process grows by a training, once it has warmed up."""
    make, compiled = CONTENDERS[contender]
    train, sizes = make(**compiled), []
    for i in range(count):
        train(i)
        gc.collect()
        sizes.append(resident())
    warm = count // 3
    return (sizes[-1] - sizes[warm]) / (count - 1 - warm) / MIB


def growths(contenders, count):
    """Dict from contender to its `growth`, each in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as p:
        measure = functools.partial(growth, count=count)
        found = p.map(measure, contenders, chunksize=1)
    return dict(zip(contenders, found, strict=True))


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    rows = [
        {"way": way, "mib": mib}
        for way, mib in growths(list(CONTENDERS), values.trainings).items()
    ]
    for row in rows:
        print(f"{row['way']:44} {row['mib']:5.1f} MiB a training")
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("memory"), "rows": rows},
    )


if __name__ == "__main__":
    flags.DEFINE_integer(
        "trainings", 15, "how often each trains", lower_bound=4
    )
    flags.DEFINE_string("output", "results/memory.json", "where the figures go")
    app.run(main)

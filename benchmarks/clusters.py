"""Time and memory to find confusable classes, and how good the sets are.

    python -m benchmarks.clusters

A synthetic generalist confuses the classes of planted groups, of sizes that
differ as much as those of real data: class means lie around the means of their
groups, a case is a class mean with noise, and the prediction is exact Bayes.
Sets are chosen on some cases and judged on others, beside random sets. Each
number of classes runs in a process of its own; all of it takes some minutes on
two cores. What else runs lengthens the seconds, less those of CPU, which sum
both cores and the making of the predictions. The sizes of specialists are those
of the trial on glyphs (28 sets of 60) and of the paper (61 of 300).
"""

import functools
import multiprocessing
import pathlib
import re
import time

import numpy as np
from absl import app, flags

from benchmarks import timing
from kdtf.specialists import clusters
from trainers.core import run_directory

FEATURES = 16
CLASSES_OF_A_GROUP = 25  # on average
BATCH = 1000
SEED_OF_CLASSES, SEED_OF_CASES, SEED_OF_FRESH_CASES = range(3)
MIB = 2**20
# Classes, sets, classes of a set.
SIZES = ((1407, 28, 60), (15_000, 61, 300))


def class_means(classes):
    """`[classes, FEATURES]` float32 array, in groups of lognormal sizes."""
    rng = np.random.default_rng(SEED_OF_CLASSES)
    groups = max(2, classes // CLASSES_OF_A_GROUP)
    shares = rng.lognormal(sigma=0.8, size=groups)
    owner = rng.choice(groups, classes, p=shares / shares.sum())
    centres = 1.5 * rng.normal(size=(groups, FEATURES))
    means = centres[owner] + rng.normal(size=(classes, FEATURES))
    return means.astype(np.float32)


def predictions(classes, cases, seed, noise=1.5):
    """Yields batches `[BATCH, classes]`, float32: posteriors of the classes."""
    means, rng = class_means(classes), np.random.default_rng(seed)
    norms = (means**2).sum(axis=1) / 2
    for start in range(0, cases, BATCH):
        rows = min(BATCH, cases - start)
        x = means[rng.integers(0, classes, rows)]
        x = x + noise * rng.normal(size=x.shape).astype(np.float32)
        p = (x @ means.T - norms) / noise**2
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        yield p


class Timed:
    """Batches, with the time that it takes to make them and to read them."""

    def __init__(self, batches):
        self.batches = batches
        self.making = 0.0
        self.ended = None

    def __iter__(self):
        began = time.perf_counter()
        for batch in self.batches:
            self.making += time.perf_counter() - began
            yield batch
            began = time.perf_counter()
        self.ended = time.perf_counter()


def most_memory():
    """The most bytes of this process that were in memory at once."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def measure(size, cases):
    """Dict of figures for `size` = (classes, sets, classes of a set).

    Memory is what the process grows by, so it needs one of its own.
    """
    classes, count, of_set = size
    fresh = functools.partial(
        predictions, classes, max(BATCH, cases // 10), SEED_OF_FRESH_CASES
    )
    for _ in predictions(classes, BATCH, SEED_OF_CASES):
        before = most_memory()  # with a batch and what its making takes
    batches = Timed(predictions(classes, cases, SEED_OF_CASES))
    began, cpu = time.perf_counter(), time.process_time()
    sets = clusters.confusable_classes(batches, count=count, size=of_set)
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    grown = most_memory() - before
    rng = np.random.default_rng(0)
    random = [rng.choice(classes, of_set, replace=False) for _ in range(count)]
    return {
        "classes": classes,
        "sets": count,
        "classes_of_a_set": of_set,
        "cases": cases,
        "seconds_correlations": batches.ended - began - batches.making,
        "seconds_sets": ended - batches.ended,
        "cpu_seconds": cpu,
        "mib": grown / MIB,
        "mib_of_matrix": 4 * classes**2 / MIB,
        "covered": clusters.covered_confusion(fresh(), sets),
        "covered_random": clusters.covered_confusion(fresh(), random),
        "left_out": classes - len(np.unique(np.concatenate(sets))),
    }


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as p:
        run = functools.partial(measure, cases=values.cases)
        for row in p.imap(run, SIZES):
            rows.append(row)
            print(
                "{classes:6} classes: {seconds_correlations:6.1f} s for the "
                "correlations of {cases} cases, {seconds_sets:6.1f} s for "
                "{sets} sets of {classes_of_a_set}, {cpu_seconds:.0f} s of "
                "CPU, {mib:6.0f} MiB (the matrix {mib_of_matrix:.0f}); covered "
                "{covered:.3f}, random sets {covered_random:.3f}, {left_out} "
                "left out".format(**row),
                flush=True,
            )
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("clusters"), "rows": rows},
    )


if __name__ == "__main__":
    flags.DEFINE_integer(
        "cases", 20_000, "cases that choose the sets", lower_bound=100
    )
    flags.DEFINE_string(
        "output", "results/clusters.json", "where the figures go"
    )
    app.run(main)

"""Timing contenders alternately, and the conditions of a measurement."""

import statistics
import time

import numpy as np
import tensorflow as tf
import tqdm

from trainers.core import machine, run_directory


def interleaved(contenders, rounds):
    """Times contenders alternately, so that a slow moment affects all of them.

    Args:
      contenders: dict from a name to a function without arguments; each is
        called once more at the start, to compile.
      rounds: int, timings of each.

    Returns:
      Dict from the name to a list of seconds, one a round.
    """
    for train in tqdm.tqdm(contenders.values(), "compiling"):
        train()
    seconds = {name: [] for name in contenders}
    for _ in tqdm.trange(rounds, desc="rounds"):
        for name, train in contenders.items():
            began = time.perf_counter()
            train()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def without_autotune(data):
    """A data set without the thread that tunes it.

    The thread sleeps for 10, 20, 40 ... ms, and `fit` ends when it wakes up.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def ratio(ours, theirs):
    """Median and quartiles of ours / theirs, round by round.

    A slow moment of the machine affects both timings of a round.

    Args:
      ours: list of seconds, one a round.
      theirs: list of as many seconds.

    Returns:
      Dict of "median" and "quartiles".
    """
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "median": statistics.median(each),
        "quartiles": [float(q) for q in np.percentile(each, [25, 75])],
    }


def conditions(benchmark):
    """The head of every result file: commit, versions, machine."""
    return {
        "benchmark": benchmark,
        "commit": run_directory.commit(),
        "versions": run_directory.versions(),
        "machine": machine.description(),
    }


def matmul_peak(size=2048, repetitions=15):
    """The float32 operations a second of a square matrix product."""
    a = tf.random.stateless_normal((size, size), (0, 0))
    product = tf.function(lambda: tf.matmul(a, a)[0, 0])
    seconds = interleaved({"": lambda: product().numpy()}, repetitions)[""]
    return 2 * size**3 / statistics.median(seconds)

"""Time and memory of the loss and its gradient, against the formula.

    python -m benchmarks.loss

at 4,096 x 14,000 logits (the paper's speech net) and 256 x 10, compiled by XLA
and as a graph of TensorFlow's own operations, two minutes on two cores. Let
nothing else run.
"""

import itertools
import multiprocessing
import pathlib
import statistics

import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import timing
from trainers.core import run_directory

SHAPES = {"4,096 x 14,000": (4096, 14_000), "256 x 10": (256, 10)}
TEMPERATURE, SOFT, HARD = 20.0, 0.9, 0.1


def kdtf_loss(z, v, labels):
    """Per-row losses of kdtf, `[rows]`."""
    return kdtf.losses.distillation_loss(
        z,
        v,
        labels,
        temperature=TEMPERATURE,
        soft_weight=SOFT,
        hard_weight=HARD,
    )


def formula(z, v, labels):
    """The same as in a textbook: softmax and log-softmax at T."""
    p = tf.nn.softmax(v / TEMPERATURE)
    log_ratio = tf.nn.log_softmax(v / TEMPERATURE) - tf.nn.log_softmax(
        z / TEMPERATURE
    )
    return _weighted(tf.reduce_sum(p * log_ratio, -1), z, labels)


def cross_entropy(z, v, labels):
    """TensorFlow's fused operation: not the KL, but it has its gradient."""
    p = tf.nn.softmax(v / TEMPERATURE)
    soft = tf.nn.softmax_cross_entropy_with_logits(p, z / TEMPERATURE)
    return _weighted(soft, z, labels)


def _weighted(soft, z, labels):
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z)
    return SOFT * TEMPERATURE**2 * soft + HARD * hard


LOSSES = {
    "kdtf": kdtf_loss,
    "formula": formula,
    "`softmax_cross_entropy_with_logits`": cross_entropy,
}


def value_and_gradient(loss, compiled):
    """Function from logits, teacher logits and labels to both, of the mean."""

    @tf.function(jit_compile=compiled, autograph=False)
    def both(z, v, labels):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = tf.reduce_mean(loss(z, v, labels))
        return value, tape.gradient(value, z)

    return both


def measure(shape, rounds):
    """Milliseconds and peak memory of every loss, compiled and not.

    Args:
      shape: (rows, classes).
      rounds: int, timings of each.

    Returns:
      List of dicts.
    """
    calls = max(1, 10**6 // (shape[0] * shape[1]))
    inputs = random_inputs(shape)
    ways = list(itertools.product(LOSSES, (True, False)))
    contenders = {way: runner(*way, inputs, calls) for way in ways}
    seconds = timing.interleaved(contenders, rounds)
    ours = seconds["kdtf", True]
    return [
        {
            "loss": name,
            "compiled": compiled,
            "milliseconds": 1e3 * statistics.median(each) / calls,
            "kdtf_over_this": timing.ratio(ours, each),
            "megabytes": peak_megabytes(name, compiled, shape),
        }
        for (name, compiled), each in seconds.items()
    ]


def random_inputs(shape):
    """Logits of student and teacher, and labels."""
    rng = np.random.default_rng(0)
    logits = [5 * rng.standard_normal(shape, np.float32) for _ in range(2)]
    labels = rng.integers(0, shape[1], shape[0]).astype(np.int32)
    return [tf.constant(each) for each in (*logits, labels)]


def runner(name, compiled, inputs, calls):
    """Function that computes value and gradient of a loss `calls` times."""
    function = value_and_gradient(LOSSES[name], compiled)

    def run():
        for _ in range(calls):
            value, gradient = function(*inputs)
        assert np.isfinite(value.numpy()) and gradient.shape == inputs[0].shape

    return run


def peak_megabytes(*arguments):
    """Memory of a call beyond its inputs, in a process of its own (Linux)."""
    if _has_gpu():  # whose memory TensorFlow counts itself
        return _peak_megabytes(*arguments)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_megabytes, arguments)


def _peak_megabytes(name, compiled, shape):
    # The memory for tracing and compiling is not the loss's.
    runner(name, compiled, random_inputs((2, 3)), 1)()
    run = runner(name, compiled, random_inputs(shape), 1)
    return peak_of(run)


def peak_of(run):
    """Megabytes that this process grows by while a function runs (Linux).

    On a GPU, those of its memory that are allocated meanwhile.
    """
    if _has_gpu():
        return _peak_of_gpu(run)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e3


def _has_gpu():
    return bool(tf.config.list_physical_devices("GPU"))


def _peak_of_gpu(run, device="GPU:0"):
    memory = tf.config.experimental
    memory.reset_memory_stats(device)
    before = memory.get_memory_info(device)["current"]
    run()
    return (memory.get_memory_info(device)["peak"] - before) / 1e6


def _status(field):
    """A line of the process's status, in kilobytes."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith(field + ":")]
    return int(line.split()[1])


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    shapes = {}
    for name, shape in SHAPES.items():
        shapes[name] = measure(shape, values.rounds)
        for row in shapes[name]:
            how = "XLA" if row["compiled"] else "graph"
            print(
                f"{name:15} {row['loss']:36} {how:6}"
                f"{row['milliseconds']:10.3f} ms {row['megabytes']:9.1f} MB  "
                f"kdtf / this {row['kdtf_over_this']['median']:.2f}"
            )
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("loss"), "shapes": shapes},
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 15, "timings of each", lower_bound=1)
    flags.DEFINE_string("output", "results/loss.json", "where the figures go")
    app.run(main)

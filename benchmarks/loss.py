"""Time and memory of the loss and its gradient, beside the formula.

    python -m benchmarks.loss

at 4,096 x 14,000 logits (the paper's speech net) and 256 x 10, compiled by XLA
and as a graph of TensorFlow's own operations, two minutes on two cores. Let
nothing else run.
"""

import pathlib
import statistics

import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import timing
from trainers import common

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
    """The same as one writes it down: softmax and log-softmax at T."""
    p = tf.nn.softmax(v / TEMPERATURE)
    log_ratio = tf.nn.log_softmax(v / TEMPERATURE) - tf.nn.log_softmax(
        z / TEMPERATURE
    )
    return _weighted(tf.reduce_sum(p * log_ratio, -1), z, labels)


def cross_entropy(z, v, labels):
    """TensorFlow's fused operation; not the KL, but with its gradient."""
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
    rng = np.random.default_rng(0)
    z, v = (
        tf.constant(5 * rng.standard_normal(shape, np.float32))
        for _ in range(2)
    )
    labels = tf.constant(rng.integers(0, shape[1], shape[0]), tf.int32)
    calls = max(1, 10**6 // (shape[0] * shape[1]))

    def runner(function):
        def run():
            for _ in range(calls):
                value, gradient = function(z, v, labels)
            assert np.isfinite(value.numpy()) and gradient.shape == z.shape

        return run

    contenders = {
        (name, compiled): runner(value_and_gradient(loss, compiled))
        for name, loss in LOSSES.items()
        for compiled in (True, False)
    }
    seconds = timing.interleaved(contenders, rounds)
    ours = seconds["kdtf", True]
    return [
        {
            "loss": name,
            "compiled": compiled,
            "milliseconds": 1e3 * statistics.median(each) / calls,
            "kdtf_over_this": timing.ratio(ours, each),
            # Of what a call takes beyond its inputs; the gradient is in it.
            "megabytes": peak_megabytes(contenders[name, compiled]),
        }
        for (name, compiled), each in seconds.items()
    ]


def peak_megabytes(function):
    """How much more memory the process has while a function runs (Linux)."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak, anew
    before = _resident("VmRSS")
    function()
    return max(0, _resident("VmHWM") - before) / 1e3


def _resident(field):
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
    common.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("loss"), "shapes": shapes},
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 15, "timings of each", lower_bound=1)
    flags.DEFINE_string("output", "results/loss.json", "where the figures go")
    app.run(main)

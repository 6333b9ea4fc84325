"""Time and memory of the last linear layer and the loss, fused and apart.

    python -m benchmarks.fused

2,048 rows of 256 hidden states and 50,000 classes, in float32 compiled by XLA:
the loss and its gradients by hidden states and kernel, of teacher logits that
are given, of a teacher's hidden states and kernel, and of its largest 32
logits. Two minutes on two cores; let nothing else run.
"""

import functools
import multiprocessing
import pathlib
import statistics

import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import loss, timing
from kdtf.losses import LinearLogits
from trainers.core import run_directory

SHAPE = (2048, 256, 50_000)  # rows, hidden states, classes
TOP = 32
HYPERPARAMETERS = {"temperature": 2.0, "soft_weight": 0.9, "hard_weight": 0.1}
TEACHERS = ("given logits", "hidden states and kernel", f"top {TOP} logits")
APART = None  # instead of the rows of a pass
PASSES = (APART, 128, 256, 512)


def row_losses(hidden, kernel, teacher, labels):
    """The mean loss of logits that are made."""
    if isinstance(teacher, LinearLogits):
        teacher = teacher.hidden @ teacher.kernel
    return tf.reduce_mean(
        kdtf.losses.distillation_loss(
            hidden @ kernel, teacher, labels, **HYPERPARAMETERS
        )
    )


def mean_loss(rows_at_a_time):
    """Function of hidden states, kernel, teacher and labels to the loss."""
    if rows_at_a_time is APART:
        return row_losses
    return functools.partial(
        kdtf.losses.linear_distillation_loss,
        rows_at_a_time=rows_at_a_time,
        **HYPERPARAMETERS,
    )


def value_and_gradients(rows_at_a_time):
    """Function to the loss and its gradients, compiled by XLA."""
    of_batch = mean_loss(rows_at_a_time)

    @tf.function(jit_compile=True, autograph=False)
    def both(hidden, kernel, parts, labels):
        teacher = parts[0]
        if len(parts) > 1:
            kind = kdtf.TopLogits if len(parts) == 3 else LinearLogits
            teacher = kind(*parts)
        with tf.GradientTape() as tape:
            tape.watch([hidden, kernel])
            value = of_batch(hidden, kernel, teacher, labels)
        return value, tape.gradient(value, [hidden, kernel])

    return both


def random_inputs(teacher, shape):
    """Hidden states, kernel, what there is of the teacher, and labels.

    Tensors on numpy's memory: TensorFlow keeps whatever it has allocated, and
    what it copied an input through would be memory that nobody counts.
    """
    rows, width, classes = shape
    rng = np.random.default_rng(0)

    def normal(*shape, scale=1.0):
        values = aligned(shape, np.float32)
        rng.standard_normal(dtype=np.float32, out=values)
        values *= scale
        return values

    student = normal(rows, width), normal(width, classes, scale=0.25)
    labels = aligned([rows], np.int32)
    labels[:] = rng.integers(0, classes, rows)
    if teacher == TEACHERS[0]:
        parts = (normal(rows, classes, scale=4.0),)
    elif teacher == TEACHERS[1]:
        parts = normal(rows, width), normal(width, classes, scale=0.25)
    else:
        chosen, tail = (
            aligned([rows, TOP], np.int32),
            aligned([rows], np.float32),
        )
        chosen[:] = np.argsort(rng.random([rows, TOP]), axis=1)
        chosen *= classes // TOP
        tail[:] = -1.0
        parts = normal(rows, TOP, scale=4.0), chosen, tail
    return tf.nest.map_structure(
        lambda each: tf.experimental.dlpack.from_dlpack(each.__dlpack__()),
        (*student, parts, labels),
    )


def aligned(shape, dtype):
    """An array of numpy's that begins where XLA's kernels expect it to."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(dtype).reshape(shape)


def runner(rows_at_a_time, inputs):
    """Function that computes the loss and its gradients once."""
    function = value_and_gradients(rows_at_a_time)

    def run():
        value, _ = function(*inputs)
        assert np.isfinite(value.numpy())

    return run


def measure(teacher, shape, rounds):
    """Milliseconds and peak memory of a loss, apart and in passes.

    Args:
      teacher: one of `TEACHERS`.
      shape: (rows, hidden states, classes).
      rounds: int, timings of each.

    Returns:
      List of dicts, one a number of rows in a pass.
    """
    inputs = random_inputs(teacher, shape)
    contenders = {each: runner(each, inputs) for each in PASSES}
    seconds = timing.interleaved(contenders, rounds)
    megabytes = {each: peak_megabytes(each, teacher, shape) for each in PASSES}
    return [
        {
            "teacher": teacher,
            "rows_at_a_time": each,
            "milliseconds": 1e3 * statistics.median(seconds[each]),
            "time_over_apart": timing.ratio(seconds[each], seconds[APART]),
            "megabytes": megabytes[each],
            "memory_over_apart": megabytes[each] / megabytes[APART],
        }
        for each in PASSES
    ]


def peak_megabytes(*arguments):
    """Memory of a call beyond its inputs, in a process of its own (Linux)."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_megabytes, arguments)


def _peak_megabytes(rows_at_a_time, teacher, shape):
    # The memory for tracing and compiling is not the loss's.
    runner(rows_at_a_time, random_inputs(teacher, (4, 3, 2 * TOP)))()
    run = runner(rows_at_a_time, random_inputs(teacher, shape))
    return loss.peak_of(run)


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    rows = [
        row
        for teacher in TEACHERS
        for row in measure(teacher, SHAPE, values.rounds)
    ]
    for row in rows:
        passes = row["rows_at_a_time"] or "apart"
        print(
            f"{row['teacher']:26} {passes:>6} {row['milliseconds']:9.0f} ms "
            f"({row['time_over_apart']['median']:.2f})"
            f"{row['megabytes']:9.0f} MB ({row['memory_over_apart']:.3f})"
        )
    run_directory.write_json(
        pathlib.Path(values.output),
        {**timing.conditions("fused"), "shape": SHAPE, "rows": rows},
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 7, "timings of each", lower_bound=1)
    flags.DEFINE_string("output", "results/fused.json", "where the figures go")
    app.run(main)

"""The exported programs of a last layer: with its loss, or fused with it."""

import contextlib
import math
from unittest import mock

import tensorflow as tf

import kdtf
from benchmarks.gpu.inputs import HYPERPARAMETERS
from benchmarks.gpu.programs import TAIL, Program

ROWS, WIDTH, CLASSES, TOP = 8192, 2048, 128_256, 64
TEACHERS = ("hidden", "top")
WAYS = (  # dtype of the kernel, rows at a time or None for all
    ("bfloat16", None),
    ("bfloat16", 1024),
    ("bfloat16", 64),
    ("float32", None),
    ("float32", 1024),
    ("float32", 256),
)


def everything():
    """Yields all programs, one after another."""
    for teacher in TEACHERS:
        for kernel_dtype, rows_at_a_time in WAYS:
            yield last_layer(teacher, kernel_dtype, rows_at_a_time)


@contextlib.contextmanager
def as_on_a_gpu():
    """Traces what a machine with a GPU would: passes are not cut in blocks."""
    with mock.patch.object(
        tf.config, "list_physical_devices", lambda *_: ["GPU"]
    ):
        yield


def last_layer(
    teacher, kernel_dtype, rows_at_a_time, sizes=(ROWS, WIDTH, CLASSES, TOP)
):
    """Value and gradients of a mean loss of bfloat16 hidden states.

    Args:
      teacher: "hidden", of states of the same width with a kernel, or "top".
      kernel_dtype: str, of the student's kernel.
      rows_at_a_time: int, or None for logits that are made as a whole.
      sizes: rows, width, classes, and the classes kept of a row.

    Returns:
      `Program` from (hidden, kernel, labels) and the teacher's parts to
      (scalar, gradients by hidden and kernel).
    """
    rows, width, classes, top = sizes

    @tf.function(jit_compile=True, autograph=False)
    def value_and_gradients(hidden, kernel, labels, *parts):
        with tf.GradientTape() as tape:
            tape.watch([hidden, kernel])
            if rows_at_a_time:
                kind = {"hidden": kdtf.losses.LinearLogits}.get(
                    teacher, kdtf.TopLogits
                )
                loss = kdtf.losses.linear_distillation_loss(
                    hidden,
                    kernel,
                    kind(*parts),
                    labels,
                    rows_at_a_time=rows_at_a_time,
                    **HYPERPARAMETERS,
                )
            else:
                loss = _of_whole_logits(hidden, kernel, labels, parts)
        return loss, tape.gradient(loss, [hidden, kernel])

    def argument(name, shape, dtype, *draw):
        return {"name": name, "shape": shape, "dtype": dtype, "draw": draw}

    scale = 5.0 / math.sqrt(width)  # logits as those of `programs.loss`

    def layer(of, dtype):
        return [
            argument(f"{of}hidden", [rows, width], "bfloat16", "normal", 1.0),
            argument(f"{of}kernel", [width, classes], dtype, "normal", scale),
        ]

    parts = {
        "hidden": layer("teacher_", "bfloat16"),
        "top": [
            argument("top_logits", [rows, top], "bfloat16", "normal", 5.0),
            argument("top_classes", [rows, top], "int32", "distinct", classes),
            argument("tail", [rows], "float32", "constant", TAIL),
        ],
    }
    return Program(
        name=f"{teacher}_{kernel_dtype}_{rows_at_a_time or 'all'}",
        function=value_and_gradients,
        arguments=[
            *layer("", kernel_dtype),
            argument("labels", [rows], "int32", "integers", classes),
            *parts[teacher],
        ],
        # bfloat16 rounds logits of 16 to 32 by up to 2^-4, hence a probability
        # at T = 4 by 2^-6 of itself: the student's and the teacher's.
        tolerance=2**-5,
        saved=False,
    )


def _of_whole_logits(hidden, kernel, labels, parts):
    logits = hidden @ tf.cast(kernel, hidden.dtype)
    teacher = parts[0] @ parts[1] if len(parts) == 2 else kdtf.TopLogits(*parts)
    losses = kdtf.losses.distillation_loss(
        logits, teacher, labels, **HYPERPARAMETERS
    )
    return tf.reduce_mean(losses)

"""The exported programs: losses with gradients, and a whole training step."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

import kdtf
from benchmarks.gpu.inputs import HYPERPARAMETERS

SIZE = (4096, 14_000)
SMALL = (128, 1400)
DTYPES = ("float32", "bfloat16")
TOP, TAIL = 32, -1.0  # classes kept of a row, log-mass of the others

BATCH, LAYERS = 256, (784, 800, 800, 10)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function and what is known about it.

    Attributes:
      name: str, also of its files.
      function: a `tf.function(jit_compile=True)`.
      arguments: list of dicts with "name", "shape", "dtype" and "draw"; see
        `inputs.draw`.
      tolerance: largest error of an output, as a part of its largest value.
      saved: whether inputs and TensorFlow's outputs are saved next to it.
      soft_term: of a loss, "divergence", "cross-entropy" or "top"; of a step,
        None.
    """

    name: str
    function: Callable
    arguments: list
    tolerance: float
    saved: bool
    soft_term: str | None = None


def everything():
    """Yields all programs, one after another."""
    for dtype in DTYPES:
        for form in FORMS:
            yield loss(form, dtype, *SIZE)
            yield loss(form, dtype, *SMALL, saved=True)
    yield step()


def loss(form, dtype, rows, classes, saved=False):
    """Value and gradient of a mean loss, temperature and weights at run time.

    Args:
      form: one of `FORMS`.
      dtype: str, of both logits.
      rows, classes: ints.
      saved: whether the small inputs and outputs go into a file.

    Returns:
      `Program` from (student logits, teacher logits, labels, temperature, soft
      weight, hard weight) to (scalar, gradient by the student logits). In place
      of teacher logits "kdtf_top" has the three parts of a `kdtf.TopLogits`.
    """
    row_losses, soft_term, bfloat16_tolerance = FORMS[form]

    @tf.function(jit_compile=True, autograph=False)
    def value_and_gradient(z, *others):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = tf.reduce_mean(row_losses(z, *others))
        return value, tape.gradient(value, z)

    def argument(name, shape, dtype, *draw):
        return {"name": name, "shape": shape, "dtype": dtype, "draw": draw}

    logits = [rows, classes], dtype, "normal", 5.0
    teacher = [argument("teacher_logits", *logits)]
    if soft_term == "top":
        top = [rows, TOP]
        teacher = [
            argument("top_logits", top, dtype, "normal", 5.0),
            argument("top_classes", top, "int32", "distinct", classes),
            argument("tail", [rows], "float32", "constant", TAIL),
        ]
    return Program(
        name=f"loss_{form}_{dtype}_{rows}x{classes}",
        function=value_and_gradient,
        arguments=[
            argument("student_logits", *logits),
            *teacher,
            argument("labels", [rows], "int32", "integers", classes),
            *(
                argument(name, [], "float32", "constant", value)
                for name, value in HYPERPARAMETERS.items()
            ),
        ],
        tolerance=1e-5 if dtype == "float32" else bfloat16_tolerance,
        saved=saved,
        soft_term=soft_term,
    )


def step():
    """A Distiller's training step, with teacher logits that are given.

    Returns:
      `Program` from (x, labels, teacher logits) and the Distiller's variables
      to the logs, which also writes the variables.
    """
    keras.utils.set_random_seed(0)
    inputs, *hidden, classes = LAYERS
    student = keras.Sequential(
        [keras.Input((inputs,))]
        + [keras.layers.Dense(units, "relu") for units in hidden]
        + [keras.layers.Dense(classes)]
    )
    distiller = kdtf.Distiller(student, **HYPERPARAMETERS)
    distiller.compile(keras.optimizers.Adam(1e-3), jit_compile=True)
    distiller.optimizer.build(student.trainable_variables)

    @tf.function(jit_compile=True, autograph=False)
    def train_step(x, labels, teacher_logits):
        y = {"labels": labels, "teacher_logits": teacher_logits}
        return distiller.train_step((x, y))

    def argument(name, shape, dtype, how, size):
        return {
            "name": name,
            "shape": [BATCH, *shape],
            "dtype": dtype,
            "draw": [how, size],
        }

    return Program(
        name="step",
        function=train_step,
        arguments=[
            argument("x", [inputs], "float32", "normal", 1.0),
            argument("labels", [], "int32", "integers", classes),
            argument("teacher_logits", [classes], "float32", "normal", 5.0),
        ],
        # Adam divides a gradient by its own size: where that is all but 0,
        # rounding errors count.
        tolerance=1e-4,
        saved=True,
    )


def _kdtf(z, v, labels, temperature, soft_weight, hard_weight):
    return kdtf.losses.distillation_loss(
        z,
        v,
        labels,
        temperature=temperature,
        soft_weight=soft_weight,
        hard_weight=hard_weight,
    )


def _kdtf_top(z, top_logits, classes, tail, *others):
    """kdtf's loss of the teacher's largest logits."""
    return _kdtf(z, kdtf.TopLogits(top_logits, classes, tail), *others)


def _formula(z, v, labels, *hyperparameters):
    """The textbook formula, in the dtype of the logits."""
    temperature = tf.cast(hyperparameters[0], z.dtype)
    log_p = tf.nn.log_softmax(v / temperature)
    log_q = tf.nn.log_softmax(z / temperature)
    p = tf.nn.softmax(v / temperature)
    soft = tf.reduce_sum(p * (log_p - log_q), axis=-1)
    return _combined(soft, z, labels, *hyperparameters)


def _with_logits(z, v, labels, *hyperparameters):
    """TensorFlow's operation, whose value includes the teacher's entropy."""
    temperature = tf.cast(hyperparameters[0], z.dtype)
    p = tf.nn.softmax(v / temperature)
    soft = tf.nn.softmax_cross_entropy_with_logits(p, z / temperature)
    return _combined(soft, z, labels, *hyperparameters)


def _combined(soft, z, labels, *hyperparameters):
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z)
    temperature, soft_weight, hard_weight = (
        tf.cast(each, z.dtype) for each in hyperparameters
    )
    total = soft_weight * temperature**2 * soft + hard_weight * hard
    return total / (soft_weight + hard_weight)


# Form: losses of the rows, what the soft term is, and the tolerance of bfloat16
# logits: kdtf rounds gradients alone (2^-8 is the most that one rounding can
# cost), the others every number on the way.
FORMS = {
    "kdtf": (_kdtf, "divergence", 2**-8),
    "kdtf_top": (_kdtf_top, "top", 2**-8),
    "formula": (_formula, "divergence", 0.1),
    "with_logits": (_with_logits, "cross-entropy", 0.1),
}

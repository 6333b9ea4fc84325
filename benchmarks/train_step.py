"""Time of a training step: kdtf, plain Keras, Keras's distiller, PyTorch.

    python -m benchmarks.train_step

trains students of two sizes on random data held in memory, about ten minutes on
two cores. The contenders run alternately, each in every setting of
`jit_compile` and `steps_per_execution`; a time is the median over the rounds,
and the best setting the one with the smallest. Let nothing else run.

The floor is the same arithmetic in one XLA loop, without `fit`, metrics,
callbacks or an input pipeline.
"""

import dataclasses
import functools
import itertools
import pathlib
import statistics

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import libraries, pytorch, timing
from trainers.core import run_directory

CLASSES = 10
HYPERPARAMETERS = {"temperature": 4.0, "soft_weight": 0.5, "hard_weight": 0.5}
DISTINCT = 4  # batches, over and over

DEFAULT = {"jit_compile": "auto", "steps_per_execution": 1}
SINGLE = [DEFAULT] + [
    {"jit_compile": jit, "steps_per_execution": 1} for jit in (False, True)
]
PLAIN = "plain Keras `fit`, student alone"
REPORTING = "plain Keras `fit`, with as many metrics"
KERAS = "`keras.distillation`, online teacher"
ONLINE = "kdtf, online teacher"
GIVEN = "kdtf, given teacher logits"
LABELS = "kdtf, labels alone"
FLOOR = "floor: one XLA loop"
TORCH = "PyTorch, eager loop, given teacher logits"


@dataclasses.dataclass(frozen=True)
class Size:
    """The nets that are trained, and the length of a timing."""

    student: tuple
    teacher: tuple | None
    batch: int
    steps: int
    execution: int

    @property
    def settings(self):
        """Keras's default, and with and without XLA, one step and many."""
        return SINGLE + [
            {"jit_compile": jit, "steps_per_execution": self.execution}
            for jit in (False, True)
        ]

    @property
    def operations(self):
        """Float operations of the matrix products of a student's step."""
        products = [a * b for a, b in itertools.pairwise(self.student)]
        # The forward pass, the gradients by weights and those by inputs, which
        # the first layer does not need.
        return 2 * self.batch * (3 * sum(products) - products[0])


SIZES = {
    "784-800-800-10, batch 256": Size(
        (784, 800, 800, CLASSES), (784, 1200, 1200, CLASSES), 256, 200, 20
    ),
    "64-64-10, batch 64": Size((64, 64, CLASSES), None, 64, 2048, 128),
}
BEST, ITS_DEFAULT = "best", "default"
# (size, ours, against, in which setting: each in its best; ours in its best and
# the other by default; or both in the same)
RATIOS = [
    ("784-800-800-10, batch 256", GIVEN, PLAIN, BEST),
    ("784-800-800-10, batch 256", GIVEN, KERAS, BEST),
    ("784-800-800-10, batch 256", ONLINE, KERAS, BEST),
    ("784-800-800-10, batch 256", GIVEN, TORCH, BEST),
    ("64-64-10, batch 64", GIVEN, PLAIN, BEST),
    ("64-64-10, batch 64", GIVEN, PLAIN, ITS_DEFAULT),
    ("64-64-10, batch 64", FLOOR, PLAIN, BEST),
    ("64-64-10, batch 64", GIVEN, TORCH, BEST),
    *(
        ("64-64-10, batch 64", ours, REPORTING, str(setting))
        for setting in SINGLE
        for ours in (LABELS, GIVEN)
    ),
]


def net(layers):
    """A net of Dense layers with ReLU between them, from its sizes."""
    inputs, *hidden, classes = layers
    return keras.Sequential(
        [keras.Input((inputs,))]
        + [keras.layers.Dense(units, "relu") for units in hidden]
        + [keras.layers.Dense(classes)]
    )


def contenders(size):
    """Dict from (name, setting) to a function that trains for an epoch."""
    batches = random_batches(size)
    fits = {
        PLAIN: plain,
        REPORTING: functools.partial(plain, reports=3),
        LABELS: labels_alone,
        GIVEN: given,
    }
    if size.teacher:
        teacher = net(size.teacher)
        fits[ONLINE] = functools.partial(online, libraries.KDTF, teacher)
        fits[KERAS] = functools.partial(online, libraries.KERAS_BEST, teacher)
    runs = {}
    for (name, build), setting in itertools.product(
        fits.items(), size.settings
    ):
        model = build(net(size.student), setting)
        data = _dataset(batches, size.steps, given=name == GIVEN)
        runs[name, str(setting)] = functools.partial(
            model.fit, data, shuffle=False, verbose=0
        )
    stacks = [tf.stack(parts) for parts in zip(*batches, strict=True)]
    runs[FLOOR, "{}"] = floor(net(size.student), stacks, size.steps)
    if pytorch.torch:
        runs[TORCH, "{}"] = pytorch.loop(
            size.student, batches, size.steps, **HYPERPARAMETERS
        )
    return runs


def random_batches(size):
    """`DISTINCT` batches of (x, labels, teacher logits), numpy arrays."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.uniform(size=(size.batch, size.student[0])).astype(np.float32),
            rng.integers(0, CLASSES, size.batch).astype(np.int32),
            rng.normal(size=(size.batch, CLASSES)).astype(np.float32),
        )
        for _ in range(DISTINCT)
    ]


def plain(student, setting, reports=0):
    """A student on labels, with that many metrics beside the loss."""
    metrics = [
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True),
        keras.metrics.SparseCategoricalAccuracy(),
        keras.metrics.SparseTopKCategoricalAccuracy(2),
    ]
    student.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics[:reports],
        **setting,
    )
    return student


def given(student, setting, **changes):
    """A Distiller without a teacher, compiled."""
    distiller = kdtf.Distiller(student, **{**HYPERPARAMETERS, **changes})
    distiller.compile(keras.optimizers.Adam(1e-3), **setting)
    return distiller


labels_alone = functools.partial(given, soft_weight=0.0)


def online(library, teacher, student, setting):
    """A library's distiller with its teacher, compiled."""
    distiller = library.distiller(
        student, teacher, HYPERPARAMETERS["temperature"]
    )
    library.compile(distiller, keras.optimizers.Adam(1e-3), **setting)
    return distiller


def _dataset(batches, steps, given):
    x, y, v = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if given:
        y = {"labels": y, "teacher_logits": v}
    data = tf.data.Dataset.from_tensor_slices((x, y))
    data = data.batch(len(batches[0][0]), drop_remainder=True).cache()
    data = data.repeat(steps // DISTINCT).prefetch(4)
    return timing.without_autotune(data)


def floor(student, stacks, steps):
    """Function that trains on given logits in a bare XLA loop.

    Args:
      student: a built `keras.Model`.
      stacks: inputs, labels and teacher logits, `[batches, batch, ...]` each.
      steps: int, over these batches again and again.
    """
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(student.trainable_variables)
    batches = len(stacks[0])

    @tf.function(jit_compile=True, autograph=False)
    def loop():
        def step(i, _):
            x, y, v = (stack[i % batches] for stack in stacks)
            with tf.GradientTape() as tape:
                z = student(x, training=True)
                rows = kdtf.losses.distillation_loss(z, v, y, **HYPERPARAMETERS)
                loss = tf.reduce_mean(rows)
            slopes = tape.gradient(loss, student.trainable_variables)
            optimizer.apply(slopes, student.trainable_variables)
            return i + 1, loss

        return tf.while_loop(lambda i, _: i < steps, step, (0, 0.0))[1]

    return lambda: loop().numpy()


def summarise(seconds, size, peak):
    """The table of one size.

    Args:
      seconds: dict from (name, setting) to seconds, one a round.
      size: `Size`.
      peak: float operations a second of a matrix product.

    Returns:
      List of dicts, one a contender and setting.
    """
    rows = []
    for (name, setting), each in seconds.items():
        step = statistics.median(each) / size.steps
        rows.append(
            {
                "contender": name,
                "setting": setting,
                "microseconds": 1e6 * step,
                "share_of_peak": size.operations / step / peak,
            }
        )
    for name in {row["contender"] for row in rows}:
        mine = [row for row in rows if row["contender"] == name]
        for row in mine:
            row["best"] = row is min(mine, key=lambda r: r["microseconds"])
    return rows


def ratio_rows(tables, seconds):
    """The ratios between contenders that were measured, as dicts."""
    rows = []
    for size, ours, against, which in RATIOS:
        if size not in tables:
            continue
        best = {
            row["contender"]: row["setting"]
            for row in tables[size]
            if row["best"]
        }
        if not {ours, against} <= set(best):
            continue  # without PyTorch
        our_setting, setting = {
            BEST: (best[ours], best[against]),
            ITS_DEFAULT: (best[ours], str(DEFAULT)),
        }.get(which, (which, which))
        rows.append(
            {
                "size": size,
                "ours": ours,
                "against": against,
                "its_setting": which,
                **timing.ratio(
                    seconds[size][ours, our_setting],
                    seconds[size][against, setting],
                ),
            }
        )
    return rows


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    peak = timing.matmul_peak()
    seconds = {
        name: timing.interleaved(contenders(SIZES[name]), values.rounds)
        for name in values.size
    }
    tables = {
        name: summarise(seconds[name], SIZES[name], peak)
        for name in values.size
    }
    ratios = ratio_rows(tables, seconds)
    for name, rows in tables.items():
        print(name)
        for row in rows:
            print(
                f"  {row['contender']:42} {row['setting']:52}"
                f"{row['microseconds']:9.1f} us  {row['share_of_peak']:5.0%}"
                f"{'  <- best' if row['best'] else ''}"
            )
    for row in ratios:
        print(
            f"{row['size']}: {row['ours']} / {row['against']} "
            f"({row['its_setting']}): {row['median']:.3f} {row['quartiles']}"
        )
    run_directory.write_json(
        pathlib.Path(values.output),
        {
            **timing.conditions("train_step"),
            "gigaflops_of_a_matrix_product": peak / 1e9,
            "sizes": tables,
            "ratios": ratios,
        },
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 9, "timings of each", lower_bound=1)
    flags.DEFINE_multi_enum(
        "size", list(SIZES), list(SIZES), "student and batch; may be repeated"
    )
    flags.DEFINE_string(
        "output", "results/train_step.json", "where the figures go"
    )
    app.run(main)

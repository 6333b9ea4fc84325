"""Time of a training step: kdtf beside keras.distillation and plain Keras.

    python -m benchmarks.train_step

trains nets of the paper's MNIST sizes (teacher 2 x 1200, student 2 x 800, batch
256, Adam) on random images, about five minutes on two cores. Each contender
runs in every setting of `jit_compile` and `steps_per_execution`, turn and turn
about, so that a slow moment of the machine meets all of them; its time is the
median over the rounds, its best setting the one with the smallest. Printed:

    online teacher:       kdtf / keras.distillation.Distiller
    given teacher logits: kdtf / plain Keras `fit` of the student alone
"""

import itertools
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags

import kdtf
from benchmarks import libraries
from trainers import common

FEATURES, CLASSES, BATCH = 784, 10, 256
TEMPERATURE = 4.0


def _net(units):
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(CLASSES),
        ]
    )


def _student():
    return _net(800)


def _online(library):
    def build(teacher, settings):
        distiller = library.distiller(_student(), teacher, TEMPERATURE)
        library.compile(distiller, keras.optimizers.Adam(1e-3), **settings)
        return distiller

    return build


def _plain(teacher, settings):
    del teacher
    student = _student()
    student.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **settings,
    )
    return student


def _given_logits(teacher, settings):
    del teacher
    distiller = kdtf.Distiller(_student(), temperature=TEMPERATURE)
    distiller.compile(keras.optimizers.Adam(1e-3), **settings)
    return distiller


# Contender: how it is built, and whether its data hold the teacher's logits.
CONTENDERS = {
    "kdtf, online teacher": (_online(libraries.KDTF), False),
    "keras.distillation, online teacher": (
        _online(libraries.KERAS_BEST),
        False,
    ),
    "kdtf, given teacher logits": (_given_logits, True),
    "plain Keras fit, student alone": (_plain, False),
}
RATIOS = {
    "online_teacher": (
        "kdtf, online teacher",
        "keras.distillation, online teacher",
    ),
    "given_teacher_logits": (
        "kdtf, given teacher logits",
        "plain Keras fit, student alone",
    ),
}
SETTINGS = [
    {"jit_compile": jit, "steps_per_execution": steps}
    for jit, steps in itertools.product((False, True), (1, 20))
]


def measure(rounds, steps):
    """Milliseconds a step of every contender and setting.

    Args:
      rounds: int, how often each is timed.
      steps: int, steps a timing.

    Returns:
      Dict from contender to a list of (setting, list of milliseconds).
    """
    data = {given: _data(steps, given) for given in (False, True)}
    teacher = _net(1200)
    runs = [
        (name, settings, build(teacher, settings), data[given], [])
        for name, (build, given) in CONTENDERS.items()
        for settings in SETTINGS
    ]
    for _, _, model, dataset, _ in tqdm.tqdm(runs, "compiling"):
        model.fit(dataset, shuffle=False, verbose=0)
    for _ in tqdm.trange(rounds, desc="rounds"):
        for _, _, model, dataset, times in runs:
            began = time.perf_counter()
            model.fit(dataset, shuffle=False, verbose=0)
            times.append(1e3 * (time.perf_counter() - began) / steps)
    results = {name: [] for name in CONTENDERS}
    for name, settings, _, _, times in runs:
        results[name].append((settings, times))
    return results


def _data(steps, given):
    """`steps` batches in memory; a few distinct ones, over and over."""
    rng = np.random.default_rng(0)
    cases = 4 * BATCH
    x = rng.uniform(size=(cases, FEATURES)).astype(np.float32)
    y = rng.integers(0, CLASSES, cases).astype(np.int32)
    if given:
        v = rng.normal(size=(cases, CLASSES)).astype(np.float32)
        y = {"labels": y, "teacher_logits": v}
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, True)
    options = tf.data.Options()
    # Its thread sleeps for 10, 20, 40 ... ms, and `fit` ends when it wakes up.
    options.autotune.enabled = False
    dataset = batches.cache().repeat(steps // 4).prefetch(4)
    return dataset.with_options(options)


def summarise(results):
    """Best setting of each contender, and the two ratios."""
    best = {
        name: min(runs, key=lambda run: statistics.median(run[1]))
        for name, runs in results.items()
    }
    ratios = {}
    for name, (ours, theirs) in RATIOS.items():
        # Round by round, since a slow moment slows neighbours alike.
        each = [
            a / b for a, b in zip(best[ours][1], best[theirs][1], strict=True)
        ]
        ratios[name] = {
            "median": statistics.median(each),
            "quartiles": [float(q) for q in np.percentile(each, [25, 75])],
            "ours": ours,
            "against": theirs,
        }
    return {
        "contenders": {
            name: [
                {
                    **settings,
                    "milliseconds": statistics.median(times),
                    "best": settings == best[name][0],
                }
                for settings, times in runs
            ]
            for name, runs in results.items()
        },
        "ratios": ratios,
    }


def main(argv):
    """Measures, prints and writes the figures."""
    del argv
    values = flags.FLAGS
    summary = summarise(measure(values.rounds, values.steps))
    for name, runs in summary["contenders"].items():
        print(name)
        for run in runs:
            print(
                f"  jit_compile={run['jit_compile']!s:5} "
                f"steps_per_execution={run['steps_per_execution']:<3} "
                f"{run['milliseconds']:6.2f} ms a step"
                f"{'  <- best' if run['best'] else ''}"
            )
    for name, ratio in summary["ratios"].items():
        low, high = ratio["quartiles"]
        print(f"{name}: {ratio['median']:.3f} (quartiles {low:.3f}-{high:.3f})")
    common.write_json(
        pathlib.Path(values.output),
        {
            "benchmark": "train_step",
            "commit": common.commit(),
            "versions": common.versions(),
            **summary,
        },
    )


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 9, "timings of each", lower_bound=1)
    flags.DEFINE_integer("steps", 200, "steps a timing", lower_bound=20)
    flags.DEFINE_string(
        "output", "results/train_step.json", "where the figures go"
    )
    app.run(main)

"""Stored soft targets: their size, the loss by `top_k`, their speed.

    python -m benchmarks.soft_targets --omniglot_dir=FOLDER --mnist_run=RUN_DIR

measures three things, about forty minutes on two cores; `--only` picks some:

    size      bytes per example, and KL from all logits to those that `top_k`
              keeps, for a convolutional teacher of 1,000 Omniglot characters
              and for the MNIST teacher of a finished `trainers.mnist` run.
    accuracy  test errors of students that learn from all logits, from the top
              k, and from labels alone.
    speed     writing against the teacher's bare inference, training from a
              store against training from memory, and peak memory against the
              number of examples.

Earlier measurements stay in the result file; teachers and stores are kept in
`--work_dir`.
"""

import dataclasses
import json
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kdtf
from benchmarks import soft_targets_speed
from kdtf._training import targets
from trainers.core import run_directory
from trainers.data import ImageData, mnist, omniglot
from trainers.mnist import nets, runs
from trainers.mnist.settings import DEFAULTS

_BATCH = 1000


@dataclasses.dataclass(frozen=True)
class Task:
    """A teacher with its data, and how students learn from it.

    Attributes:
      data: `trainers.data.ImageData`.
      teacher: `keras.Model`, `[batch, inputs]` to `[batch, classes]` logits.
      temperature: float.
      tried_k: the values of k for which size and KL are measured.
      trained_k: the values of k with which students are trained.
      units: int, of each of the students' two hidden layers.
      epochs: int.
    """

    data: ImageData
    teacher: keras.Model
    temperature: float
    tried_k: tuple
    trained_k: tuple
    units: int
    epochs: int

    def dataset(self):
        """The training inputs and labels in batches."""
        inputs = self.data.inputs(self.data.train_images)
        return tf.data.Dataset.from_tensor_slices(
            (inputs, self.data.train_labels)
        ).batch(_BATCH)

    def store(self, directory, top_k):
        """The soft targets of the training images, written once."""
        return kdtf.SoftTargets.write(
            directory / f"top{top_k or 'all'}",
            self.teacher,
            self.dataset(),
            top_k=top_k,
            temperature=self.temperature,
        )

    def targets(self, store):
        """All that a store contains: a dict of arrays, `y` of a Distiller."""
        joined = store.join(self.dataset())
        batches = [y for _, y in joined]
        return tf.nest.map_structure(lambda *a: np.concatenate(a), *batches)


def omniglot_task(data_dir, directory):
    """1,000 characters, and a convolutional teacher trained on them."""
    data = omniglot.load(data_dir)
    teacher = _omniglot_teacher(data, directory / "teacher.keras")
    return Task(
        data,
        teacher,
        temperature=2.0,
        tried_k=(1, 4, 8, 16, 32, 64, 128),
        trained_k=(4, 32),
        units=400,
        epochs=60,
    )


def mnist_task(data_dir, manual_dir, run_dir):
    """MNIST with the first teacher of a run, trained if there is none."""
    data = mnist.load(data_dir, manual_dir)
    settings = DEFAULTS["mnist"]
    run = runs.Run(settings, data, run_dir, seeds=1)
    return Task(
        data,
        run.teacher(0).net,
        temperature=settings.temperature,
        tried_k=(1, 2, 3, 5),
        trained_k=(3,),
        units=settings.student_units,
        epochs=settings.student_epochs,
    )


def _omniglot_teacher(data, path):
    """A convolutional net; loaded if it has been trained before."""
    if path.exists():
        return keras.saving.load_model(path)
    keras.utils.set_random_seed(0)
    size = omniglot.SIZE
    layers = [
        keras.Input((size * size,)),
        keras.layers.Reshape((size, size, 1)),
    ]
    for filters in (32, 64, 128):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(data.classes),
    ]
    teacher = keras.Sequential(layers)
    teacher.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, 30 * 118)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    teacher.fit(
        data.inputs(data.train_images),
        data.train_labels,
        batch_size=128,
        epochs=30,
        verbose=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    teacher.save(path)
    return teacher


def measure_size(task, directory):
    """Bytes per example and mean KL to all logits, for every k."""
    dense = task.store(directory, None)
    full = task.targets(dense)["teacher_logits"]
    rows = [
        {
            "top_k": None,
            "bytes_per_example": dense.bytes_per_example,
            "share_of_bytes": 1.0,
            "kl": 0.0,
        }
    ]
    for top_k in task.tried_k:
        store = task.store(directory, top_k)
        y = task.targets(store)
        top = kdtf.TopLogits(*(y[key] for key in targets.TOP_KEYS))
        kl = kdtf.losses.soft_loss(
            top.dense(task.data.classes, task.temperature),
            full,
            temperature=task.temperature,
        )
        rows.append(
            {
                "top_k": top_k,
                "bytes_per_example": store.bytes_per_example,
                "share_of_bytes": store.nbytes / dense.nbytes,
                "kl": float(tf.reduce_mean(kl)),
                "tail_mass": float(np.exp(y["teacher_tail"]).mean()),
            }
        )
        print(rows[-1])
    return {
        "classes": task.data.classes,
        "examples": len(dense),
        "temperature": task.temperature,
        "teacher_errors": _errors(task.teacher, task.data),
        "test_cases": len(task.data.eval_labels),
        "rows": rows,
    }


def measure_accuracy(task, directory, seeds):
    """Test errors of students, one a seed, for each kind of target."""
    results = {}
    for top_k in (None, *task.trained_k):
        y = task.targets(task.store(directory, top_k))
        name = "all logits" if top_k is None else f"top {top_k}"
        results[name] = [_student_errors(task, y, s, 1.0) for s in range(seeds)]
        print(name, results[name])
    labels = {"labels": task.data.train_labels}
    results["labels alone"] = [
        _student_errors(task, labels, s, 0.0) for s in range(seeds)
    ]
    print(results)
    return {"temperature": task.temperature, "errors": results}


def _student_errors(task, y, seed, soft_weight):
    keras.utils.set_random_seed(seed)
    inputs = task.data.inputs(task.data.train_images)
    student = keras.Sequential(
        [
            keras.Input(inputs.shape[1:]),
            keras.layers.Dense(task.units, "relu"),
            keras.layers.Dense(task.units, "relu"),
            keras.layers.Dense(task.data.classes),
        ]
    )
    distiller = kdtf.Distiller(
        student,
        temperature=task.temperature,
        soft_weight=soft_weight,
        hard_weight=1.0 - soft_weight,
    )
    steps = -(-len(inputs) // 256)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, task.epochs * steps)
    distiller.compile(
        keras.optimizers.Adam(rate), jit_compile=True, steps_per_execution=20
    )
    distiller.fit(inputs, y, batch_size=256, epochs=task.epochs, verbose=0)
    return _errors(student, task.data)


def _errors(net, data):
    logits = nets.predict(net, data.inputs(data.eval_images))
    return int((logits.argmax(-1) != data.eval_labels).sum())


def main(argv):
    """Measures what `--only` names and writes the figures."""
    del argv
    values = flags.FLAGS
    work_dir = pathlib.Path(values.work_dir)
    output = pathlib.Path(values.output)
    results = json.loads(output.read_text()) if output.exists() else {}
    results["benchmark"] = "soft_targets"
    made = {"commit": run_directory.commit(), **run_directory.versions()}
    for part in values.only:  # the others are as they were made before
        results.setdefault("made_by", {})[part] = made
    makers = {
        "omniglot": lambda: omniglot_task(
            values.omniglot_dir, work_dir / "omniglot"
        ),
        "mnist": lambda: mnist_task(
            values.data_dir, values.manual_dir, pathlib.Path(values.mnist_run)
        ),
    }
    for name, make in makers.items():
        parts = {"size", "accuracy"} & set(values.only)
        if not parts or name not in values.tasks:
            continue
        task, began = make(), time.monotonic()
        if "size" in parts:
            found = measure_size(task, work_dir / name)
            results.setdefault("size", {})[name] = found
        if "accuracy" in parts:
            found = measure_accuracy(task, work_dir / name, values.seeds)
            results.setdefault("accuracy", {})[name] = found
        run_directory.write_json(output, results)
        print(f"{name}: {time.monotonic() - began:.0f} s")
    if "speed" in values.only:
        results["speed"] = soft_targets_speed.measure(values.rounds)
        run_directory.write_json(output, results)


if __name__ == "__main__":
    flags.DEFINE_list("only", ["size", "accuracy", "speed"], "what to measure")
    flags.DEFINE_list("tasks", ["omniglot", "mnist"], "and on what data")
    flags.DEFINE_string("omniglot_dir", None, "TFDS's folder with omniglot")
    flags.DEFINE_string("data_dir", None, "TFDS's folder with mnist")
    flags.DEFINE_string("manual_dir", None, "folder with MNIST's four files")
    flags.DEFINE_string("mnist_run", "runs/mnist", "run with an MNIST teacher")
    flags.DEFINE_string("work_dir", "runs/soft_targets", "teachers and stores")
    flags.DEFINE_integer("seeds", 3, "students of each kind", lower_bound=1)
    flags.DEFINE_integer("rounds", 9, "timings of each", lower_bound=1)
    flags.DEFINE_string("output", "results/soft_targets.json", "the figures")
    app.run(main)

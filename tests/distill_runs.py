"""Runs of trainers.distill as its report sees them, without any training.

The nets compare a case with a template of each class. A teacher's templates
are those that the cases were made of; a student's are off, the plain one's
further than the distilled one's.
"""

import dataclasses
import pathlib
import types

import keras
import numpy as np
import tensorflow as tf

from trainers.core import results
from trainers.distill.cases import Data, Split

SHAPES = {
    "images": (8, 8, 3),
    "sound": (12, 6, 1),
    "table": (10,),
    "arrays": (5, 4),
}
_OFF = {"teacher": 0.0, "distilled": 0.8, "plain": 1.2}


@dataclasses.dataclass
class FakeRun:
    """What `trainers.distill.run.Run` offers to the sections."""

    data: Data
    directory: pathlib.Path
    seeds: int
    names: tuple[str, ...]
    teacher: keras.Model | None
    nets: dict
    logits: dict
    int8: bool = False
    settings: types.SimpleNamespace = dataclasses.field(
        default_factory=lambda: types.SimpleNamespace(temperature=2.0)
    )

    @property
    def labels(self):
        """Those of test cases."""
        return self.data.test.labels

    def results(self, name):
        """List of `results.Result`, one a seed."""
        return [
            results.Result(
                model=net,
                has_weights=True,
                curve=curve(seed, 0.9 if name == "distilled" else 0.86),
                seconds_per_epoch=1.5,
                eval_logits=logits,
            )
            for seed, (net, logits) in enumerate(
                zip(self.nets[name], self.logits[name], strict=True)
            )
        ]

    def teacher_logits(self):
        """`[cases, classes]`, or None."""
        return self.logits.get("teacher")

    def about(self):
        """What all figures begin with."""
        return {
            "dataset": "made up",
            "evaluated_on": "test",
            "commit": None,
            "versions": {"keras": keras.__version__},
            "settings": vars(self.settings),
        }


def curve(seed, best=0.9, epochs=10):
    """A learning curve that comes to rest."""
    rng = np.random.default_rng(seed)
    return [
        {
            "epoch": epoch,
            "loss": 2.0 / epoch,
            "held_out_accuracy": best - 0.5**epoch + 0.001 * rng.normal(),
        }
        for epoch in range(1, epochs + 1)
    ]


def make_run(
    directory,
    kind="images",
    *,
    seeds=2,
    classes=3,
    cases=60,
    shape=None,
    class_names=None,
    labels="all",
    teacher="net",
    test_logits=None,
    test_labels=None,
):
    """A `FakeRun`.

    Args:
      directory: `pathlib.Path`.
      kind: str, of `cases.Data`.
      seeds: int.
      classes: int.
      cases: int, of each split.
      shape: of x; None for a small one.
      class_names: tuple of str, or None.
      labels: "all", "some" (of test cases), or "none" at all.
      teacher: "net", or "stored" for stored targets alone.
      test_logits: dict from net to logits in place of the nets' own: of the
        teacher an array, of the others a list, one a seed.
      test_labels: `[cases]`, with `test_logits`.
    """
    shape = shape or SHAPES[kind]
    rng = np.random.default_rng(0)
    templates = rng.normal(size=(classes, *shape)).astype(np.float32)
    splits = [
        _split(seed, templates, kind, cases if labels != "none" else -cases)
        for seed in (1, 2, 3)
    ]
    if test_labels is not None:
        splits[2] = dataclasses.replace(
            splits[2], labels=np.asarray(test_labels, np.int32)
        )
    elif labels == "some":
        some = np.where(np.arange(cases) % 3 == 0, -1, splits[2].labels)
        splits[2] = dataclasses.replace(splits[2], labels=some.astype(np.int32))
    names = class_names or tuple(f"class {i}" for i in range(classes))
    columns = ()
    if kind == "table":
        columns = tuple(f"column {i}" for i in range(shape[0]))
    data = Data(kind, *splits, names, columns)
    students = ("distilled",) if labels == "none" else ("plain", "distilled")
    nets = {
        name: [net(templates, name, kind, seed) for seed in range(seeds)]
        for name in students
    }
    own = net(templates, "teacher", kind, 0)
    x = np.stack([x for x, _ in splits[2].dataset.as_numpy_iterator()])
    logits = {
        name: [each(x, training=False).numpy() for each in of_seeds]
        for name, of_seeds in nets.items()
    }
    logits["teacher"] = own(x, training=False).numpy()
    logits |= test_logits or {}
    if teacher == "stored":
        own = logits["teacher"] = None
    return FakeRun(data, directory, seeds, students, own, nets, logits)


def _split(seed, templates, kind, cases):
    """Cases of all classes in turns; without labels for a negative number."""
    rng = np.random.default_rng(seed)
    is_labelled, cases = cases > 0, abs(cases)
    labels = (np.arange(cases) % len(templates)).astype(np.int32)
    noise = 0.35 * templates[0].size ** 0.5
    x = templates[labels] + noise * rng.normal(
        size=(cases, *templates.shape[1:])
    )
    x = np.float32(x)
    if kind == "images":
        x = np.clip(128 + 40 * x, 0, 255)
    if not is_labelled:
        labels = np.full_like(labels, -1)
    return Split(tf.data.Dataset.from_tensor_slices((x, labels)), labels)


def net(templates, name, kind, seed):
    """A `keras.Model`, x to logits; a teacher has more layers."""
    rng = np.random.default_rng([seed, len(name)])
    off = _OFF[name] * rng.normal(size=templates.shape)
    weights = (templates + off).reshape(len(templates), -1)
    inputs = x = keras.Input(templates.shape[1:], name="x")
    if kind == "images":
        x = keras.layers.Rescaling(1 / 40, -128 / 40)(x)
    x = keras.layers.Flatten()(x)
    if name == "teacher":
        x = keras.layers.Dense(
            weights.shape[1],
            kernel_initializer=keras.initializers.Identity(),
        )(x)
    dense = keras.layers.Dense(len(templates))
    outputs = dense(x)
    scale = 8.0 / weights.shape[1]
    bias = -0.5 * (weights**2).sum(1)
    dense.set_weights([scale * weights.T, scale * bias])
    return keras.Model(inputs, outputs)

"""A run: its data, its teacher, its arms, and the nets trained on them."""

import contextlib
import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

import kdtf
from trainers.core import run_directory, seals, strategies
from trainers.distill import augmentation, files, nets, students, teachers
from trainers.distill.cases import Data
from trainers.distill.settings import Settings
from trainers.distill.sources import epochs

_STORE = "soft_targets"  # in the run directory
SIGMOID = "teacher_head=sigmoid"  # a key of y, see `kdtf.SoftTargets.join`
_LABELLED_AT_ONCE = 256  # cases


@dataclasses.dataclass(frozen=True)
class Student:
    """What the flags say of the student.

    Attributes:
      spec: str, see `students.check`.
      digest: str, checksum of its file; empty for a name.
      preprocess: str or None, see `students.build`.
      keep_weights: bool.
      precision: str, Keras's dtype policy.
    """

    spec: str
    digest: str = ""
    preprocess: str | None = None
    keep_weights: bool = False
    precision: str = "float32"


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run directory, and how to fill it.

    Attributes:
      settings: `settings.Settings`.
      data: `cases.Data`.
      directory: `pathlib.Path` of an opened run directory.
      seeds: int; seeds 0 to seeds - 1 are run.
      student: `Student`.
      teacher_source: `teachers.Source`, or None with `stored` alone.
      stored: `pathlib.Path` of soft targets that were given, or None.
      temperatures: tuple of floats, among which is chosen.
      soft_weights: tuple of floats, likewise.
      augment: tuple of names, see `augmentation`.
      hints: tuple of strings, see `nets.Arm`.
      early_stopping: bool, see `nets.Arm`.
      labelled: whether the training cases have labels.
      checkpoint_every: int, epochs between two checkpoints.
      int8: whether an int8 student is left behind.
    """

    settings: Settings
    data: Data
    directory: pathlib.Path
    seeds: int
    student: Student
    teacher_source: teachers.Source | None
    stored: pathlib.Path | None = None
    temperatures: tuple[float, ...] = (4.0,)
    soft_weights: tuple[float, ...] = (0.9,)
    augment: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    early_stopping: bool = False
    labelled: bool = True
    checkpoint_every: int = 5
    int8: bool = False

    @property
    def names(self):
        """The students that are compared."""
        return ("plain", "distilled") if self.labelled else ("distilled",)

    @property
    def labels(self):
        """`[cases]` int32: the labels of the test cases."""
        return self.data.test.labels

    @functools.cached_property
    def teacher(self):
        """The teacher, `keras.Model` from x to logits; None without one."""
        source = self.teacher_source
        if source is None:
            return None
        if source.is_trained_here:
            return self._train(teacher_arm(self), 0).net
        return teachers.load(source, self.data)

    @functools.cached_property
    def head(self):
        """The head of all nets: "softmax", or "sigmoid" for a single logit."""
        source = self.teacher_source
        if source is None:
            return "sigmoid" if SIGMOID in self.stored_keys else "softmax"
        if source.is_trained_here:
            return "softmax"
        return teachers.head_of(self.teacher)

    @property
    def stored_keys(self):
        """What y has of soft targets that were given: a set of strings."""
        unlabelled = self.data.train.dataset.map(lambda x, *_: x)
        joined = kdtf.SoftTargets(self.stored).join(
            unlabelled, augment=self._augment
        )
        return set(joined.element_spec[1])

    @functools.cached_property
    def outputs(self):
        """int, the number of logits."""
        return 1 if self.head == "sigmoid" else self.data.classes

    def begun(self, name):
        """A net as its training begins, of seed 0: "plain" or "teacher"."""
        arm = teacher_arm(self) if name == "teacher" else self.arm(name)
        return self._build(arm, 0)

    def results(self, name):
        """List of `results.Result` of "plain" or "distilled", one a seed."""
        return self.results_of(self.arm(name))

    def results_of(self, arm):
        """List of `results.Result` of a `nets.Arm`, one a seed."""
        return [self._train(arm, seed) for seed in range(self.seeds)]

    def arm(self, name):
        """The `nets.Arm` of a student; the distilled one's is chosen."""
        if name == "plain":
            return self._student_arm(name)
        return self.distilled(*self.chosen)

    def distilled(self, temperature, soft_weight):
        """The `nets.Arm` of a student on soft targets."""
        return dataclasses.replace(
            self._student_arm("distilled"),
            teaching=self._teaching,
            temperature=temperature,
            soft_weight=soft_weight,
            hard_weight=self.settings.hard_weight if self.labelled else 0.0,
            hints=self.hints,
        )

    @functools.cached_property
    def candidates(self):
        """List of (temperature, soft weight)."""
        return [(t, w) for t in self.temperatures for w in self.soft_weights]

    @functools.cached_property
    def chosen(self):
        """The candidate whose students are best on held-out cases."""
        if len(self.candidates) == 1:
            return self.candidates[0]
        found = [np.mean(self.held_out(c)) for c in self.candidates]
        return self.candidates[int(np.argmax(found))]

    def held_out(self, candidate):
        """What a candidate's students reach on held-out cases, one a seed."""
        return [
            (r.best or r.curve[-1])[self.compared_by.name]
            for r in self.results_of(self.distilled(*candidate))
        ]

    @functools.cached_property
    def compared_by(self):
        """The `nets.HeldOut` of students; None where nothing is known."""
        split = self.data.held_out
        if (split.labels >= 0).any():
            return nets.HeldOut("held_out_accuracy", split.labels)
        if self.teacher is None:
            return None
        choices = nets.predict(self.teacher, split).argmax(-1)
        return nets.HeldOut("held_out_agreement", choices)

    def teacher_logits(self):
        """`[test cases, classes]` float32; None without a teacher."""
        if self.teacher is None:
            return None
        return self._teacher_logits

    @functools.cached_property
    def _teacher_logits(self):
        return nets.predict(self.teacher, self.data.test)

    def about(self):
        """What every section records of its run, a dict."""
        return {
            **run_directory.about(self, "test"),
            "data": {
                "kind": self.data.kind,
                "classes": self.data.classes,
                "train_cases": self.data.train.cases,
                "held_out_cases": self.data.held_out.cases,
                "test_cases": self.data.test.cases,
            },
            "seeds": self.seeds,
        }

    @property
    def _store(self):
        return self.stored or self.directory / _STORE

    @property
    def _is_live(self):
        return not self.settings.views

    @property
    def _teaching(self):
        source = self.teacher_source
        if self.stored:
            return files.digest(self.stored / "manifest.json")
        if source.is_trained_here:
            return teacher_arm(self).directory_name()
        return " ".join(
            [
                *source.digests,
                source.combine,
                source.preprocess,
                source.signature,
                source.output or "",
                source.gives,
            ]
        )

    def _student_arm(self, name):
        settings, student = self.settings, self.student
        return nets.Arm(
            name,
            student.spec,
            student.digest,
            "",
            settings.learning_rate,
            settings.epochs,
            settings.batch_size,
            preprocess=student.preprocess,
            keep_weights=student.keep_weights,
            precision=student.precision,
            l2=settings.l2,
            augment=self.augment,
            views=settings.views,
            early_stopping=self.early_stopping,
        )

    def _train(self, arm, seed):
        return nets.train(
            arm,
            self.data,
            seed,
            self.directory / f"seed{seed}" / arm.directory_name(),
            build=lambda seed: self._build(arm, seed),
            joined=lambda: self._joined(arm),
            cases=len(self._rows_of(arm)),
            augment=self._augment,
            teacher=self._asked(arm),
            head=self._head_of(arm),
            held_out=self.compared_by,
            checkpoint_every=self.checkpoint_every,
        )

    def _asked(self, arm):
        if arm.soft_weight and self._is_live:
            return lambda: self.teacher
        return None

    def _head_of(self, arm):
        return "softmax" if arm.name == "teacher" else self.head

    def _build(self, arm, seed):
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(arm.precision)
        try:
            return students.build(
                "teacher" if arm.name == "teacher" else "student",
                arm.net,
                self.data,
                self.data.classes if arm.name == "teacher" else self.outputs,
                seed,
                preprocess=arm.preprocess,
                keep_weights=arm.keep_weights,
                l2=arm.l2,
                dropout=arm.dropout,
            )
        finally:
            keras.config.set_dtype_policy(policy)

    def _joined(self, arm):
        """The training cases of an arm, see `nets.train`.

        With stored views the plain student sees those of the distilled one.
        """
        is_plain = arm.name == "teacher" or self._is_live
        views = self._cases if is_plain else self.stored_views
        targets, rows = self._targets_of(arm), self._rows_of(arm)
        cases = self.data.train.cases
        return [
            epochs.mapped(epochs.chosen(view, rows, cases), targets)
            for view in views
        ]

    def _rows_of(self, arm):
        """Training cases of an arm: on labels alone, those that have one."""
        labels = self.data.train.labels
        if arm.soft_weight:
            return np.arange(len(labels))
        return np.flatnonzero(labels >= 0)

    @functools.cached_property
    def _augment(self):
        return augmentation.of_data(self.augment, self.data)

    # All arms and seeds share what is in memory.
    @functools.cached_property
    def _cases(self):
        train = self.data.train
        return [epochs.loaded(train.dataset, cases=train.cases)]

    @functools.cached_property
    def stored_views(self):
        """The views of soft targets, see `epochs.batches`.

        What a user has given is not ours to have deleted: see `checks`.
        """
        store, cases = self._written(), self.data.train.cases
        named = seals.named(self._store, delete=self._store)
        with contextlib.nullcontext() if self.stored else named:
            joined = store.join(self.data.train.dataset, augment=self._augment)
            return epochs.loaded_views(
                joined, cases=cases, views=len(joined) // cases
            )

    def _targets_of(self, arm):
        """A function from a case to what a Distiller of an arm takes."""
        head = self._head_of(arm)

        def targets(x, y, *weight):
            given = y if isinstance(y, dict) else {"labels": y}
            others = {k: v for k, v in given.items() if k != "labels"}
            labels = _labels(given["labels"], head)
            if not (arm.soft_weight and others):
                return (x, labels, *weight)
            return (x, {"labels": labels, **others}, *weight)

        return targets

    def _written(self):
        """The `kdtf.SoftTargets`, which are written if they are not there."""
        if self.stored:
            return kdtf.SoftTargets(self.stored)
        teacher = self.teacher

        def write():
            with seals.store_refusals():
                kdtf.SoftTargets.write(
                    self._store,
                    teacher,
                    self.data.train.dataset.batch(_LABELLED_AT_ONCE),
                    fingerprint=self._teaching,
                    temperature=self._stored_temperature(),
                    views=self.settings.views,
                    augment=self._augment,
                    head=self.head,
                )

        strategies.on_chief(write)
        return kdtf.SoftTargets(self._store)

    def _stored_temperature(self):
        """That of an arithmetic mean, which depends on it; else None."""
        is_mean = self.teacher_source.is_arithmetic
        return self.temperatures[0] if is_mean else None


def teacher_arm(run):
    """The `nets.Arm` of a teacher that is trained here."""
    settings, source = run.settings, run.teacher_source
    return nets.Arm(
        "teacher",
        source.specs[0],
        "",
        "",
        settings.teacher_learning_rate,
        settings.teacher_epochs,
        settings.batch_size,
        l2=settings.l2,
        dropout=settings.dropout,
        augment=run.augment,
        views=0 if run.augment else 1,
    )


def _labels(labels, head):
    """Labels as a Distiller of a head takes them."""
    if head == "sigmoid":
        return tf.cast(labels, tf.float32)[..., None]
    return labels

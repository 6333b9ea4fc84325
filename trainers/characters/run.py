"""A run: its data, its arms, and the nets that are trained on it."""

import dataclasses
import pathlib

import numpy as np

from trainers.characters import nets
from trainers.characters.settings import Settings
from trainers.core import run_directory
from trainers.data.images import SplitImages


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, and how to fill it.

    Attributes:
      settings: `settings.Settings`.
      data: `trainers.data.images.SplitImages`.
      directory: `pathlib.Path` of an opened run directory.
      seeds: int; seeds 0 to seeds - 1 are run.
      checkpoint_every: int, epochs between two checkpoints.
      teachers: the `Run` that trains the teachers; None for this one.
    """

    settings: Settings
    data: SplitImages
    directory: pathlib.Path
    seeds: int
    checkpoint_every: int = 5
    teachers: "Run | None" = None

    def train(self, arm):
        """List of `results.Result` of an arm, one a seed."""
        return [self._train(arm, seed) for seed in range(self.seeds)]

    def _train(self, arm, seed):
        return nets.train(
            arm,
            self.data,
            seed,
            self.directory / f"seed{seed}" / arm.directory_name(),
            teacher=lambda: (
                (self.teachers or self)._train(arm.teacher, seed).net
            ),
            checkpoint_every=self.checkpoint_every,
        )

    def wrong(self, results):
        """`[seeds, cases]` bool: which test cases nets get wrong."""
        choices = np.stack([r.eval_logits.argmax(-1) for r in results])
        return choices != self.data.test_labels

    def about(self, evaluated_on):
        """What every experiment records of its run, a dict."""
        cases = {
            "test": self.data.test_labels,
            "held-out": self.data.held_out_labels,
        }
        return {
            **run_directory.about(self, evaluated_on),
            "classes": self.data.classes,
            "train_cases": len(self.data.train_labels),
            "cases": len(cases[evaluated_on]),
            "seeds": self.seeds,
        }


def teacher(settings):
    """The `nets.Arm` of the wide net."""
    return nets.Arm(
        "teacher",
        settings.teacher_width,
        settings.teacher_learning_rate,
        settings.teacher_epochs,
        settings.batch_size,
        settings.augmentation,
        dropout=settings.teacher_dropout,
        l2=settings.l2,
    )


def labels(settings):
    """The narrow net on labels."""
    return _student(settings, "labels")


def distilled(settings):
    """The same net on labels and soft targets of the views that it sees."""
    return dataclasses.replace(
        _student(settings, "distilled"),
        temperature=settings.temperature,
        soft_weight=settings.soft_weight,
        hard_weight=1.0 - settings.soft_weight,
        teacher=teacher(settings),
    )


def short(arm, settings):
    """A student that is trained for a short time."""
    return dataclasses.replace(arm, epochs=settings.short_epochs)


def _student(settings, name):
    return nets.Arm(
        name,
        settings.student_width,
        settings.student_learning_rate,
        settings.student_epochs,
        settings.batch_size,
        settings.augmentation,
        l2=settings.l2,
    )

"""A run: its data, and the nets that are trained on it.

An arm is trained once for each seed and kept under a name of its own.
"""

import dataclasses
import io
import pathlib
import zipfile
import zlib

import numpy as np

from kdtf import _atomic
from trainers.core import seals, strategies, workers
from trainers.data.images import SplitImages
from trainers.specialists import batches, nets, recipes, scores
from trainers.specialists.settings import Settings

_ON_A_CURVE = 10_000  # held-out cases


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, and how to fill it.

    Attributes:
      settings: `settings.Settings`.
      data: `trainers.data.images.SplitImages`.
      directory: `pathlib.Path` of an opened run directory.
      seeds: int; seeds 0 to seeds - 1 are run.
      checkpoint_every: int, parts of a training between two checkpoints.
      processes: int, nets that are trained at a time.
    """

    settings: Settings
    data: SplitImages
    directory: pathlib.Path
    seeds: int
    checkpoint_every: int = 5
    processes: int = 1

    @property
    def classes(self):
        """int, the number of classes."""
        return self.data.classes

    @property
    def pixels(self):
        """int, the numbers of an input."""
        return int(np.prod(self.data.train_images.shape[1:]))

    def multiply_adds(self, outputs, units=None):
        """int, of a prediction of a net; see `nets.multiply_adds`."""
        units = units or self.settings.units
        return nets.multiply_adds(self.pixels, units, outputs)

    def generalist(self, seed, cases=""):
        """The trained `keras.Model`, one of a seed."""
        return self.train(recipes.generalist(self, cases), seed).net

    def train(self, arm, seed):
        """The `results.Result` of an arm without specialists' classes.

        Args:
          arm: `nets.Arm` that learns from labels alone.
          seed: int.
        """
        rows = self.rows(arm.cases)

        def endless(first_step):
            return self.batches(
                rows, self.data.train_labels[rows], arm, seed, first_step
            )

        return self.train_on(endless, arm, seed)

    def train_on(self, endless, arm, seed):
        """The `results.Result` of an arm that begins with a new net.

        Args:
          endless: function from the first step to an endless `tf.data.Dataset`.
          arm: `nets.Arm`.
          seed: int.
        """
        name = arm.directory_name()
        return nets.train(
            arm,
            nets.build_net(arm.units, self.pixels, self.classes, seed),
            endless,
            self.seed_directory(seed) / name,
            evaluate=self._held_out_accuracy,
            checkpoint_every=self.checkpoint_every,
            title=f"seed{seed} {name}",
        )

    def batches(self, rows, targets, arm, seed, first_step):
        """Endless noisy batches of some training cases."""
        return batches.of_cases(
            self.data.train_images[rows],
            targets,
            white=self.data.white,
            noise=self.settings.noise,
            batch_size=arm.batch_size,
            seed=seed,
            first_step=first_step,
        )

    def seed_directory(self, seed):
        """`pathlib.Path` of all that belongs to a seed."""
        return self.directory / f"seed{seed}"

    def rows(self, cases):
        """The training cases of that name, as a slice.

        Args:
          cases: "" for all, "few" for the first, "many" for all but those.
        """
        few = round(self.settings.few * len(self.data.train_labels))
        return {
            "": slice(None),
            "few": slice(few),
            "many": slice(few, None),
        }[cases]

    @property
    def held_out(self):
        """`(images, labels)`, for choices."""
        return self.data.held_out_images, self.data.held_out_labels

    @property
    def test(self):
        """`(images, labels)`."""
        return self.data.test_images, self.data.test_labels

    def _held_out_accuracy(self, net):
        """A point of the curve."""
        images, labels = (part[:_ON_A_CURVE] for part in self.held_out)
        found = scores.of(net, images, labels, self.data.white)
        return {nets.HELD_OUT_ACCURACY: found.accuracy}

    def measured(self, name, measure, train):
        """What an experiment measured of each seed, measured where it was not.

        Args:
          name: str, of the experiment.
          measure: function of a module, from a run and a seed to a dict from
            name to array.
          train: function from a run, which trains all that is measured; called
            if a seed was not measured.

        Returns:
          List of dicts, one a seed.
        """
        paths = [
            self.seed_directory(seed) / f"{name}.npz"
            for seed in range(self.seeds)
        ]
        missing = strategies.on_chief(
            lambda: [s for s, path in enumerate(paths) if not path.exists()]
        )
        if missing:
            train(self)
            self.do(_measure, [(measure, s, paths[s]) for s in missing])
        return [_load(path) for path in paths]

    def do(self, function, jobs):
        """Does jobs, several at a time if there are processes for them.

        Args:
          function: function of a module, from the run and what a job has to a
            str that names the job.
          jobs: list of tuples; nets of one kind in a row, as the program that
            trains them is compiled once.
        """
        if self.processes > 1:
            workers.run(function, self, jobs, self.processes)
        else:
            for job in jobs:
                function(self, *job)


def _measure(run, measure, seed, path):
    """Measures one seed, and stores the arrays whole."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **measure(run, seed))
    strategies.on_chief(lambda: _atomic.write_whole(path, buffer.getvalue()))
    return f"{path.stem} {seed}"


def _load(path):
    # What NumPy raises for a damaged file.
    broken = (EOFError, zipfile.BadZipFile, zlib.error)
    errors = (OSError, ValueError, KeyError, *broken)
    with (
        seals.named(path, delete=path, errors=errors),
        np.load(path) as stored,
    ):
        return dict(stored)

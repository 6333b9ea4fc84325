"""A run's folds: a corpus each, its members, store of soft targets, students.

An arm is trained once in a fold's directory and kept under a name of its own.
"""

import dataclasses
import functools
import pathlib

import kdtf
from trainers.core import results, seals, strategies, workers
from trainers.speech import corpora, frames, nets, recipes, streams, views
from trainers.speech.settings import Settings

BY_SPEAKERS = "speakers"


@dataclasses.dataclass(frozen=True)
class Fold:
    """One split of the clips, and what is trained on it.

    Attributes:
      settings: `settings.Settings`.
      corpus: `corpora.Corpus`.
      directory: `pathlib.Path`, the fold's own.
      checkpoint_every: int, epochs between two checkpoints.
    """

    settings: Settings
    corpus: corpora.Corpus
    directory: pathlib.Path
    checkpoint_every: int = 5

    def __reduce__(self):
        """Without nets that are cached: a worker loads those that it needs."""
        return Fold, (
            self.settings,
            self.corpus,
            self.directory,
            self.checkpoint_every,
        )

    @functools.cached_property
    def members(self):
        """The `results.Result`s of the ensemble's members."""
        arm = recipes.member(self.settings)
        return [self.train(arm, i) for i in range(self.settings.members)]

    @functools.cached_property
    def ensemble(self):
        """The members' arithmetic mean, a `kdtf.Ensemble`."""
        return kdtf.Ensemble([m.net for m in self.members])

    def train(self, arm, seed):
        """The `results.Result` of an arm."""
        return nets.train(
            arm,
            self.corpus,
            seed,
            self.arm_directory(arm, seed),
            lesson=functools.partial(self.lesson, arm, seed),
            checkpoint_every=self.checkpoint_every,
        )

    def arm_directory(self, arm, seed):
        """Where an arm of a seed is trained and kept, a `pathlib.Path`."""
        return self.directory / f"seed{seed}" / arm.directory_name()

    def is_finished(self, arm, seed):
        """Whether an arm of a seed is trained."""
        return results.is_finished(self.arm_directory(arm, seed))

    def lesson(self, arm, seed):
        """What an arm learns from, see `nets.train`."""
        if arm.views:
            return self.stored(arm), None
        if arm.hears is None:
            batches = functools.partial(
                frames.training_batches, self.corpus.training
            )
        else:
            sound = streams.Sound.of(self.corpus, arm.share)
            batches = functools.partial(
                sound.batches, arm.hears, mixed=arm.mixed
            )
        return batches, self._teacher(arm, seed)

    def _teacher(self, arm, seed):
        """Who is asked about every batch; None for nobody."""
        if arm.taught_by == "ensemble":
            return self.ensemble
        if arm.taught_by == "all_clips":
            all_clips = recipes.few_clips(self.settings, 1.0, soft=False)
            return self.train(all_clips, seed).net
        return None

    def stored(self, arm):
        """Batches with soft targets of the ensemble, stored where they are not.

        They depend on the temperature: every T has a store.

        Args:
          arm: `nets.Arm` with views.

        Returns:
          Function, see `nets.train`.
        """
        path = self.directory / f"ensemble/soft_targets-T{arm.temperature:g}"
        heard = views.Views(self.corpus, arm.hears, arm.views)

        def write():
            # Of a damaged store, or of a teacher that was trained again since.
            with seals.store_refusals():
                heard.write(path, self.ensemble, arm.temperature)

        strategies.on_chief(write)
        with seals.named(path, delete=path):
            kdtf.SoftTargets(path).verify()
        return functools.partial(heard.batches, path)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, and how to fill it.

    Attributes:
      settings: `settings.Settings`.
      clips: `trainers.data.clips.Clips`.
      lexicon: `kdtf.speech.Lexicon`.
      directory: `pathlib.Path` of an opened run directory.
      seeds: int, students of every arm; seeds 0 to seeds - 1 are run.
      checkpoint_every: int, epochs between two checkpoints.
      processes: int, nets that are trained at a time.
    """

    settings: Settings
    clips: object
    lexicon: object
    directory: pathlib.Path
    seeds: int
    checkpoint_every: int = 5
    processes: int = 1

    data = None  # a report is made of its figures alone

    @property
    def splits(self):
        """List of the names of the folds."""
        if self.settings.split != BY_SPEAKERS:
            return [self.settings.split]
        return [f"speaker:{name}" for name in self.clips.speaker_names]

    @functools.cached_property
    def folds(self):
        """List of `Fold`s, their clips aligned."""
        log_mels = corpora.log_mels_of(
            self.clips.waveforms, self.clips.sample_rate
        )
        return [
            Fold(
                self.settings,
                corpora.make(
                    self.clips,
                    log_mels,
                    split,
                    self.lexicon,
                    components=self.settings.components,
                ),
                self.directory / split.replace(":", "-"),
                self.checkpoint_every,
            )
            for split in self.splits
        ]

    def train_at_once(self, arms, seeds=None):
        """Trains what is missing of some arms, in all folds.

        With one process it does nothing: nets are then trained when they are
        wanted, which `Fold.train` does.

        Args:
          arms: list of `nets.Arm`s that do not teach each other; what teaches
            them is trained before.
          seeds: int, how many of each; None for as many as the run has.
        """
        if self.processes > 1:
            jobs = [
                (i, arm, seed)
                for i, fold in enumerate(self.folds)
                for arm in arms
                for seed in range(seeds or self.seeds)
                if not fold.is_finished(arm, seed)
            ]
            for i, arm, _ in jobs:
                if arm.views:
                    self.folds[i].stored(arm)
            workers.run(_train, self.folds, jobs, self.processes)

    @property
    def snrs(self):
        """List of floats, in decibels."""
        return [float(snr) for snr in self.settings.snrs.split(",") if snr]


def _train(folds, i, arm, seed):
    """What a worker does for `Run.train_at_once`."""
    folds[i].train(arm, seed)
    return f"{folds[i].corpus.name} {arm.name} {seed}"

"""What the experiments of a run share: its settings, data, teachers and arms.

An arm is trained once in a run directory and kept under a name of its own, so
that an experiment which needs a net that another one has trained finds it.
"""

import dataclasses
import functools
import itertools
import pathlib

import tensorflow as tf

import kdtf
from trainers.core import results, seals, strategies, workers
from trainers.core.errors import FlagsError
from trainers.data import ImageData
from trainers.mnist import nets, recipes, transfer_set
from trainers.mnist.settings import Settings


class TeachersMissing(FlagsError):
    """Another run's directory lacks a teacher, or its weights."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, and how to fill it.

    Attributes:
      settings: `settings.Settings`.
      data: `trainers.data.ImageData`.
      directory: `pathlib.Path` of an opened run directory.
      seeds: int; seeds 0 to seeds - 1 are run.
      checkpoint_every: int, epochs between two checkpoints.
      teachers_from: `pathlib.Path` of another run directory, whose teachers and
        soft targets are taken; None to train and store them here.
      label_shares: tuple of floats, shares of the labels, of few_labels.
      processes: int, nets that are trained at a time.
    """

    settings: Settings
    data: ImageData
    directory: pathlib.Path
    seeds: int
    checkpoint_every: int = 5
    teachers_from: pathlib.Path | None = None
    label_shares: tuple = recipes.LABEL_SHARES
    processes: int = 1

    def teacher(self, seed):
        """The `results.Result` of a seed's teacher."""
        return self._teacher(recipes.teacher(self.settings), seed)

    def teachers(self):
        """The `results.Result`s of all seeds' teachers."""
        return self._teachers(recipes.teacher(self.settings), self.seeds)

    def members(self, ensemble):
        """The `results.Result`s of an `nets.Ensemble`.

        Members that are trained as long as teachers are the seeds' teachers.
        """
        arm = recipes.member(ensemble, self.settings)
        return self._teachers(arm, ensemble.members)

    def _teachers(self, arm, count):
        jobs = [(arm, seed) for seed in range(count)]
        if self.teachers_from is None:
            self._train_at_once(_train_teacher, self._to_be_shared(jobs))
        return [self._teacher(*job) for job in jobs]

    def student(self, arm, seed, cases=None, stop_by=None):
        """The `results.Result` of an arm that is no teacher.

        Args:
          arm: `nets.Arm`.
          seed: int; that of the teacher, too.
          cases: indices of the training cases that `arm.transfer` means; None
            for all.
          stop_by: indices of the training cases on which the best epoch of an
            arm with `keep_best` is chosen.
        """
        data, soft_targets = self.data, None
        directory = arm_directory(self.directory, arm, seed)
        if arm.soft_weight and not strategies.on_chief(
            lambda: results.is_finished(directory)
        ):
            soft_targets = self.soft_targets(arm, seed)
        if stop_by is not None:
            stop_by = data.train_images[stop_by], data.train_labels[stop_by]
        if cases is not None:
            data = dataclasses.replace(
                data,
                train_images=data.train_images[cases],
                train_labels=data.train_labels[cases],
            )
            if soft_targets is not None:
                soft_targets = soft_targets[:, cases]
        return self._train(
            arm, seed, self.directory, data, soft_targets, stop_by
        )

    def students(self, arms, cases=None, stop_by=None):
        """The `results.Result`s of some arms: a list an arm, of one a seed.

        Args:
          arms: list of `nets.Arm`s, each as `student` takes it; several
            processes train all of them at once.
          cases: list of what `student` takes, a list an arm, of one a seed;
            None for all cases.
          stop_by: see `student`.
        """
        cases = cases or [[None] * self.seeds] * len(arms)
        jobs = [
            [(arm, s, of_arm[s], stop_by) for s in range(self.seeds)]
            for arm, of_arm in zip(arms, cases, strict=True)
        ]
        missing = self._to_be_shared(itertools.chain.from_iterable(jobs))
        self._store_at_once([job[:2] for job in missing])
        self._train_at_once(_train_student, missing)
        return [[self.student(*job) for job in of_arm] for of_arm in jobs]

    def _store_at_once(self, jobs):
        """Stores what students learn from: several may need the same.

        Args:
          jobs: list of tuples of an arm and a seed.
        """
        wanted = {}
        for arm, seed in jobs:
            if arm.soft_weight:
                path, is_there = self._stored_at(arm, seed)
                if not is_there:
                    wanted[path] = arm, seed
        for ensemble in {arm.ensemble for arm, _ in wanted.values()}:
            if ensemble:
                self.members(ensemble)
            else:
                self.teachers()
        self._train_at_once(_store_targets, list(wanted.values()))

    def _to_be_shared(self, jobs):
        """The jobs, tuples of an arm, a seed and more, for other processes.

        None of them if there are no other processes: nets are then trained
        when they are wanted.
        """
        if self.processes == 1:
            return []
        return [
            job
            for job in jobs
            if not results.is_finished(arm_directory(self.directory, *job[:2]))
        ]

    def _train_at_once(self, function, jobs):
        workers.run(function, self._of_a_worker, jobs, self.processes)

    @functools.cached_property
    def _of_a_worker(self):
        return dataclasses.replace(self, processes=1)

    def teacher_logits(self, arm):
        """The logits of an arm's teacher on the evaluation cases.

        Args:
          arm: `nets.Arm`; of one on labels alone, its seed's teacher.

        Returns:
          List of `[cases, classes]` arrays, one a seed; an ensemble's mean is
          that at T = 1.
        """
        if not arm.ensemble:
            return [
                self.teacher(seed).eval_logits for seed in range(self.seeds)
            ]
        members = self.members(arm.ensemble)
        combined = kdtf.Ensemble(
            [member.model for member in members], combine=arm.ensemble.combine
        ).combine_logits([tf.constant(m.eval_logits) for m in members], 1.0)
        return [combined.numpy()] * self.seeds

    def soft_targets(self, arm, seed):
        """What an arm learns from: `[views, cases, classes]` logits.

        They are relative to the largest of their row.
        """
        shown = {"moves": arm.moves, "views": arm.views}
        if _depends_on_temperature(arm):
            shown["temperature"] = arm.temperature
        stored, is_there = self._stored_at(arm, seed)
        if not is_there:
            net = self._teacher_net(arm, seed)

            def write():
                with seals.store_refusals():
                    transfer_set.write(net, self.data, stored, **shown)

            strategies.on_chief(write)
        with seals.named(stored, delete=stored):
            return transfer_set.read(self.data, stored, **shown)

    def _stored_at(self, arm, seed):
        """Where an arm's soft targets are, or are to be, and if they are."""
        name = _store_name(arm, seed, self.settings)
        places = [self.teachers_from or self.directory, self.directory]
        found = strategies.on_chief(
            lambda: [transfer_set.is_stored(place / name) for place in places]
        )
        return places[0 if found[0] else 1] / name, any(found)

    def _teacher_net(self, arm, seed):
        """The `keras.Model` that an arm is taught by."""
        if arm.ensemble:
            taught_by = self.members(arm.ensemble)
        else:
            taught_by = [self.teacher(seed)]
        if self.teachers_from and not all(r.has_weights for r in taught_by):
            raise TeachersMissing(
                "--teachers_from must hold the weights of its teachers, or the "
                "soft targets that are wanted here; leave it out to train them "
                f"anew. Received: --teachers_from={self.teachers_from}"
            )
        members = [result.net for result in taught_by]
        if arm.ensemble:
            return kdtf.Ensemble(members, combine=arm.ensemble.combine)
        return members[0]

    def _teacher(self, arm, seed):
        """The `results.Result` of an arm that teaches."""
        if self.teachers_from is None:
            return self._train(arm, seed, self.directory, self.data)
        directory = arm_directory(self.teachers_from, arm, seed)
        if not results.is_finished(directory):
            raise TeachersMissing(
                "--teachers_from must hold every teacher that is wanted; leave "
                "it out to train them anew. Received: "
                f"--teachers_from={self.teachers_from}, without {directory}"
            )
        return self._train(arm, seed, self.teachers_from, self.data)

    def _train(
        self, arm, seed, directory, data, soft_targets=None, stop_by=None
    ):
        return nets.train(
            arm,
            data,
            seed,
            arm_directory(directory, arm, seed),
            soft_targets=soft_targets,
            stop_by=stop_by,
            checkpoint_every=self.checkpoint_every,
        )


def _train_teacher(run, arm, seed):
    """What a worker does for `Run.teachers`; returns what the bar shows."""
    run._teacher(arm, seed)
    return f"{arm.name} {seed}"


def _train_student(run, arm, seed, cases, stop_by):
    """What a worker does for `Run.students`."""
    run.student(arm, seed, cases, stop_by)
    return f"{arm.name} {seed}"


def _store_targets(run, arm, seed):
    """What a worker does for `Run.students` before."""
    run.soft_targets(arm, seed)
    return f"soft targets {seed}"


def arm_directory(run_dir, arm, seed):
    """Where a run directory keeps an arm of a seed."""
    return run_dir / f"seed{seed}" / arm.directory_name()


def _depends_on_temperature(arm):
    """Whether an arm's soft targets are those of one temperature."""
    return bool(arm.ensemble) and arm.ensemble.combine == "arithmetic"


def _store_name(arm, seed, settings):
    """Where a run directory keeps an arm's soft targets."""
    folder, parts = f"seed{seed}", ["soft_targets"]
    if arm.ensemble:
        folder = "ensemble"
        parts.append(f"{arm.ensemble.members}_of_{arm.ensemble.epochs}_epochs")
        parts.append(arm.ensemble.combine)
        if arm.ensemble.channels:
            # Other runs' teachers are compared in `recipes.TEACHER` alone.
            member = recipes.member(arm.ensemble, settings)
            parts.append(f"of_{member.directory_name()}")
    if _depends_on_temperature(arm):
        parts.append(f"T{arm.temperature:g}")
    if arm.moves:
        parts.append(
            f"{arm.views}_views_{arm.moves.shift:g}_{arm.moves.warp:g}"
        )
    return pathlib.Path(folder, "-".join(parts))

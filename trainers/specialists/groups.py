"""The specialists of a generalist: their sets, their training, and corrections.

Nothing of one depends on another: each is trained from its own checkpoint and
stored once.
"""

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf
import tqdm
from scipy import special

from kdtf import specialists
from trainers.core import seals, strategies, workers
from trainers.core.errors import FlagsError
from trainers.specialists import batches, nets, recipes, scores

CORRECTIONS = ("exact", "paper", "none", "fitted")
_FIRST_SEED = 1_000_003  # keeps the specialists' draws apart from others'


@dataclasses.dataclass(frozen=True)
class Group:
    """Trained specialists of a generalist.

    Attributes:
      generalist: `keras.Model`.
      members: list of `kdtf.specialists.Specialist`s.
      shifts: dict from name of a correction to `[specialists]` floats.
    """

    generalist: keras.Model
    members: list
    shifts: dict

    @property
    def covering(self):
        """`[classes]` int array, by how many sets a class is covered."""
        classes = self.generalist.output_shape[-1]
        own = np.concatenate([member.classes for member in self.members])
        return np.bincount(own, minlength=classes)

    def ensemble(self, top=1, correction="fitted"):
        """The `kdtf.specialists.SpecialistEnsemble`.

        Its members are those of the group: another correction changes them in
        an ensemble that was made before, too.
        """
        self.correct(correction)
        return specialists.SpecialistEnsemble(
            self.generalist, self.members, top=top
        )

    def correct(self, correction):
        """Gives all members a correction, one of `CORRECTIONS`."""
        for member, shift in zip(
            self.members, self.shifts[correction], strict=True
        ):
            member.dustbin_correction = float(shift)


def of_confused(run, seed, count=None, size=None, own_share=None):
    """The trained specialists of classes that a seed's generalist confuses.

    Args:
      run: `run.Run`.
      seed: int.
      count: int, of the sets; None for that of the settings.
      size: int, of each set; None for that of the settings.
      own_share: float, see `nets.Arm`; None for that of the settings.

    Returns:
      `(group, covered)`: `Group`, and the share of the generalist's confusion
      that the sets cover.
    """
    generalist = run.generalist(seed)
    sets, covered = confused_sets(run, seed, generalist, count, size)
    group = train(run, seed, generalist, sets, "specialists", own_share)
    return group, covered


def of_random(run, seed):
    """The trained specialists of random classes, as a control: a `Group`."""
    count, size = run.settings.specialists, run.settings.size
    rng = np.random.default_rng([seed, count, size])
    sets = [
        np.sort(rng.choice(run.classes, size, replace=False))
        for _ in range(count)
    ]
    return train(run, seed, run.generalist(seed), sets, "random")


def confused_sets(run, seed, generalist, count=None, size=None, cases=""):
    """Sets of classes that a generalist confuses, and how good they are.

    Made of its predictions on training cases, whose labels are not used; the
    share of the confusion that they cover is measured on held-out ones.

    Args:
      run: `run.Run`.
      seed: int.
      generalist: `keras.Model`.
      count: int, None for that of the settings.
      size: int, None for that of the settings.
      cases: str, whose training cases; see `run.Run.rows`.

    Returns:
      `(sets, covered)`: list of `[size]` int arrays, and float.
    """
    count = count or run.settings.specialists
    size = size or run.settings.size
    of = f"-{cases}" if cases else ""
    path = run.seed_directory(seed) / f"sets-{count}x{size}{of}.json"

    def find():
        if path.exists():
            return
        sets, covered = _find_sets(run, seed, generalist, count, size, cases)
        stored = {"sets": [s.tolist() for s in sets], "covered": covered}
        seals.write_json(path, stored)

    strategies.on_chief(find)
    with seals.named(path, delete=path):
        stored = seals.read_json(path)
    return [np.array(s) for s in stored["sets"]], stored["covered"]


def _find_sets(run, seed, generalist, count, size, cases):
    images = run.data.train_images[run.rows(cases)][: run.settings.predictions]
    try:
        sets = specialists.confusable_classes(
            _probabilities(run, generalist, images),
            count=count,
            size=size,
            seed=seed,
        )
    except ValueError as error:
        raise FlagsError(
            "--predictions, --specialists and --size must be such that classes "
            f"can be put into sets: {error}"
        ) from error
    covered = specialists.covered_confusion(
        _probabilities(run, generalist, run.held_out[0]), sets
    )
    return sets, covered


def train(run, seed, generalist, sets, name, own_share=None):
    """Trains specialists that together cost `settings.specialist_cost`.

    Args:
      run: `run.Run`.
      seed: int.
      generalist: trained `keras.Model`.
      sets: list of `[size]` int arrays.
      name: str, of their kind.
      own_share: float, None for that of the settings.

    Returns:
      `Group`.
    """
    cost = run.settings.specialist_cost / len(sets)
    arms = [recipes.specialist(run, each, cost, own_share) for each in sets]
    data = batches.flat(run.data.train_images), run.data.train_labels
    folder = f"{name}-{len(sets)}x{len(sets[0])}"
    return train_arms(run, seed, generalist, arms, folder, data)


def train_arms(run, seed, generalist, arms, folder, data, targets=None):
    """Trains specialists, one an arm, and fits their corrections.

    Args:
      run: `run.Run`.
      seed: int.
      generalist: trained `keras.Model`.
      arms: list of `nets.Arm`s.
      folder: str, the name of the group's.
      data: pair of pixels `[cases, pixels]` (or a tuple of them and others) and
        labels `[cases]`, which specialists learn from.
      targets: function from what a batch has beside the pixels, its labels and
        the specialist's classes to y; None for the labels.

    Returns:
      `Group`.
    """
    path = run.seed_directory(seed) / folder
    bar = _bar(arms, f"seed{seed} {folder}")
    members = []
    for i, arm in enumerate(bar):
        member = specialists.specialist_of(
            generalist, arm.classes, full_softmax=arm.full_softmax
        )
        endless = functools.partial(
            _batches,
            run=run,
            data=data,
            arm=arm,
            seed=_FIRST_SEED * (seed + 1) + i,
            targets=targets,
        )
        directory = path / f"{i:03d}-{arm.directory_name()}"
        _train_member(run, arm, member.net, endless, directory)
        members.append(member)
    shifts = _shifts(run, generalist, members, arms[0].own_share, data[1])
    return Group(generalist, members, shifts)


def _bar(arms, title):
    """The arms, with a bar unless they are only loaded, within a second."""
    return tqdm.tqdm(
        arms, title, unit="net", delay=1, disable=workers.is_worker()
    )


def _train_member(run, arm, net, endless, directory):
    """Gives a specialist's net its trained weights."""
    nets.train(
        arm,
        net,
        endless,
        directory,
        evaluate=None,
        checkpoint_every=run.checkpoint_every,
        title=None,
    ).require_weights()


def _batches(first_step, *, run, data, arm, seed, targets):
    """Endless noisy batches of a specialist."""
    drawn = specialists.training_set(
        data,
        list(arm.classes),
        batch_size=arm.batch_size,
        seed=seed,
        share=arm.own_share,
        dustbin=not arm.full_softmax,
        first_step=first_step,
    )
    own = tf.constant(arm.classes, tf.int64)

    def prepare(step, batch):
        x, y = batch
        pixels, *others = x if isinstance(x, tuple) else (x,)
        x = batches.noisy(
            pixels, run.data.white, run.settings.noise, seed, step
        )
        return x, y if targets is None else targets(*others, y, own)

    return drawn.enumerate(first_step).map(prepare)


def _shifts(run, generalist, members, own_share, labels):
    """Dict from correction to the shift of each member's dustbin."""
    own = np.bincount(labels, minlength=run.classes) / len(labels)
    shares = np.array([own[member.classes].sum() for member in members])
    return {
        "exact": [
            specialists.dustbin_correction(share, own_share) for share in shares
        ],
        # "The log of the proportion by which the class is oversampled."
        "paper": np.log(own_share / shares).tolist(),
        "none": [0.0] * len(members),
        "fitted": _fitted_shifts(run, generalist, members),
    }


def _fitted_shifts(run, generalist, members):
    """Shifts with which held-out cases that call a member are most likely.

    Args:
      run: `run.Run`.
      generalist: `keras.Model`.
      members: list of `kdtf.specialists.Specialist`s without a correction.
    """
    images, labels = run.held_out
    called = called_classes(run, generalist, images)
    shifts = []
    for member in members:
        rows = np.isin(called, member.classes)
        try:
            shift = specialists.fitted_dustbin_shift(
                logits(run, member, images[rows]),
                member.labels_of(labels[rows]),
            )
        except ValueError:  # none of these cases, or all, are in the dustbin
            shift = 0.0
        shifts.append(shift)
    return shifts


def logits(run, member, images):
    """`[cases, size + 1]` logits of a specialist, with its correction."""
    blocks = scores.inputs(images, run.data.white)
    return np.concatenate([member.corrected_logits(x) for x in blocks])


def called_classes(run, generalist, images):
    """`[cases]` ints, a generalist's most probable classes."""
    blocks = scores.logits(generalist, images, run.data.white)
    return np.concatenate([block.argmax(-1) for block in blocks])


def _probabilities(run, generalist, images):
    """Yields the generalist's probabilities, `[block, classes]`."""
    for block in scores.logits(generalist, images, run.data.white):
        yield special.softmax(block, axis=-1)

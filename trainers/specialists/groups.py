"""The specialists of a generalist: their sets, their training, and corrections.

Nothing of one depends on another: each is trained from its own checkpoint and
stored once.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kdtf import specialists
from trainers.core import seals
from trainers.specialists import batches, recipes, scores

CORRECTIONS = ("exact", "paper", "none", "fitted")
_FIRST_SEED = 1_000_003  # keeps the specialists' draws apart from others'


@dataclasses.dataclass(frozen=True)
class Group:
    """Trained specialists of a generalist.

    Attributes:
      run: `run.Run`.
      generalist: `keras.Model`.
      members: list of `kdtf.specialists.Specialist`s.
      shifts: dict from name of a correction to `[specialists]` floats.
      seconds: float, the training of all.
    """

    run: object
    generalist: keras.Model
    members: list
    shifts: dict
    seconds: float

    @property
    def covered(self):
        """`[classes]` bool array, the classes that a set has."""
        return self.covering > 0

    @property
    def covering(self):
        """`[classes]` int array, by how many sets a class is covered."""
        counts = np.zeros(self.run.classes, int)
        for member in self.members:
            counts[member.classes] += 1
        return counts

    def ensemble(self, top=1, correction="fitted"):
        """The `kdtf.specialists.SpecialistEnsemble`."""
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


def confusable_sets(run, seed, generalist, *, count, size, cases=""):
    """Sets of classes that a generalist confuses, and how good they are.

    Made of its predictions on training cases, whose labels are not used; the
    share of the confusion that they cover is measured on held-out ones.

    Args:
      run: `run.Run`.
      seed: int.
      generalist: `keras.Model`.
      count: int.
      size: int.
      cases: str, whose training cases; see `run.Run.rows`.

    Returns:
      `(sets, covered)`: list of `[size]` int arrays, and float.
    """
    of = f"-{cases}" if cases else ""
    path = run.seed_directory(seed) / f"sets-{count}x{size}{of}.json"
    if not path.exists():
        sets, covered = _confusable_sets(
            run, seed, generalist, count, size, cases
        )
        stored = {"sets": [s.tolist() for s in sets], "covered": covered}
        seals.write_json(path, stored)
    with seals.named(path, delete=path):
        stored = seals.read_json(path)
    return [np.array(s) for s in stored["sets"]], stored["covered"]


def _confusable_sets(run, seed, generalist, count, size, cases):
    images = run.data.train_images[run.rows(cases)][: run.settings.predictions]
    sets = specialists.confusable_classes(
        _probabilities(run, generalist, images),
        count=count,
        size=size,
        seed=seed,
    )
    return sets, specialists.covered_confusion(
        _probabilities(run, generalist, run.held_out[0]), sets
    )


def random_sets(run, seed, *, count, size):
    """Sets of random classes, as a control: list of `[size]` int arrays."""
    rng = np.random.default_rng([seed, count, size])
    return [
        np.sort(rng.choice(run.classes, size, replace=False))
        for _ in range(count)
    ]


def train(run, seed, generalist, sets, name, *, cost):
    """Trains specialists.

    Args:
      run: `run.Run`.
      seed: int.
      generalist: trained `keras.Model`.
      sets: list of `[size]` int arrays.
      name: str, of the group.
      cost: float, training FLOPs of all over the generalist's.

    Returns:
      `Group`.
    """
    arms = [recipes.specialist(run, s, cost / len(sets)) for s in sets]
    data = batches.flat(run.data.train_images), run.data.train_labels
    return train_arms(run, seed, generalist, arms, name, data)


def train_arms(run, seed, generalist, arms, name, data, targets=None):
    """Trains specialists, one an arm, and fits their corrections.

    Args:
      run: `run.Run`.
      seed: int.
      generalist: trained `keras.Model`.
      arms: list of `nets.Arm`s.
      name: str, of the group.
      data: pair of pixels `[cases, pixels]` (or a tuple of them and others) and
        labels `[cases]`, which specialists learn from.
      targets: function from what a batch has beside the pixels, its labels and
        the specialist's classes to y; None for the labels.

    Returns:
      `Group`.
    """
    members, seconds = [], 0.0
    for i, arm in enumerate(arms):
        member = specialists.specialist_of(
            generalist, arm.classes, full_softmax=arm.full_softmax
        )
        result = run.train_on(
            lambda first_step, i=i, arm=arm: _batches(
                run,
                data,
                arm,
                _FIRST_SEED * (seed + 1) + i,
                first_step,
                targets,
            ),
            arm,
            seed,
            net=member.net,
            directory=run.seed_directory(seed)
            / name
            / f"{i:03d}-{arm.directory_name()}",
        )
        # Its net is now `result.net`, which there is if it has its weights.
        members.append(member)
        seconds += result.seconds_per_epoch * arm.epochs
    shifts = _shifts(run, generalist, members, data[1])
    return Group(run, generalist, members, shifts, seconds)


def _batches(run, data, arm, seed, first_step, targets):
    """Endless noisy batches of a specialist."""
    drawn = specialists.training_set(
        data,
        list(arm.classes),
        batch_size=arm.batch_size,
        seed=seed,
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


def _shifts(run, generalist, members, labels):
    """Dict from correction to the shift of each member's dustbin."""
    own = np.bincount(labels, minlength=run.classes) / len(labels)
    shares = np.array([own[member.classes].sum() for member in members])
    return {
        "exact": [specialists.dustbin_correction(s) for s in shares],
        # "The log of the proportion by which the class is oversampled."
        "paper": np.log(0.5 / shares).tolist(),
        "none": [0.0] * len(members),
        "fitted": _fitted_shifts(run, generalist, members),
    }


def _fitted_shifts(run, generalist, members):
    """Shifts with which held-out cases that call a member are most likely."""
    images, labels = run.held_out
    called = called_classes(run, generalist, images)
    shifts = []
    for member in members:
        rows = np.isin(called, member.classes)
        places = places_of(member.classes, run.classes)[labels[rows]]
        try:
            shift = specialists.fitted_dustbin_shift(
                own_logits(run, member, images[rows]), places
            )
        except ValueError:  # none of these cases, or all, are in the dustbin
            shift = 0.0
        shifts.append(shift)
    return shifts


def places_of(classes, num_classes):
    """`[num_classes]` ints, a specialist's labels of a generalist's."""
    places = np.full(num_classes, len(classes))
    places[classes] = np.arange(len(classes))
    return places


def own_logits(run, member, images):
    """`[cases, size + 1]` logits of a specialist, not corrected."""
    before, member.dustbin_correction = member.dustbin_correction, 0.0
    found = np.concatenate(
        [
            member.corrected_logits(x).numpy()
            for x in scores.inputs(images, run.data.white)
        ]
    )
    member.dustbin_correction = before
    return found


def called_classes(run, generalist, images):
    """`[cases]` ints, a generalist's most probable classes."""
    blocks = scores.logits(generalist, images, run.data.white)
    return np.concatenate([block.argmax(-1) for block in blocks])


def _probabilities(run, generalist, images):
    """Yields the generalist's probabilities, `[block, classes]`."""
    for block in scores.logits(generalist, images, run.data.white):
        exponentials = np.exp(block - block.max(-1, keepdims=True))
        yield exponentials / exponentials.sum(-1, keepdims=True)

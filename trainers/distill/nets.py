"""One arm: a net, its training, and the result."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

import kdtf
from trainers.core import results, strategies, training
from trainers.distill import augmentation, reading
from trainers.distill.sources import epochs

_AT_ONCE = 256  # cases that are predicted at a time
_MIXUP_STREAM = 1_000_003


@dataclasses.dataclass(frozen=True)
class Arm:
    """What defines an arm, beside the data; with a seed, it defines the net.

    Attributes:
      name: "teacher", "plain" or "distilled".
      net: str, see `students.check`.
      digest: str, checksum of its file; empty for a name.
      teaching: str, what tells the teacher; empty for labels alone.
      learning_rate: float, Adam's at the start; falls to 0 along a cosine.
      epochs: int.
      batch_size: int.
      preprocess: str or None, see `students.build`.
      keep_weights: whether a file's weights are where training begins.
      precision: str, Keras's dtype policy.
      l2: float, see `students.build`.
      dropout: float, likewise.
      augment: tuple of names, see `augmentation`.
      views: int, copies of each case; 0 for new ones in each epoch.
      temperature: float.
      soft_weight: float; 0 for an arm that learns from labels alone.
      hard_weight: float.
      hints: tuple of strings "student_layer:teacher_layer".
      early_stopping: whether the epoch is taken that is best on held-out cases.
    """

    name: str
    net: str
    digest: str
    teaching: str
    learning_rate: float
    epochs: int
    batch_size: int
    preprocess: str | None = None
    keep_weights: bool = False
    precision: str = "float32"
    l2: float = 0.0
    dropout: float = 0.0
    augment: tuple[str, ...] = ()
    views: int = 1
    temperature: float = 1.0
    soft_weight: float = 0.0
    hard_weight: float = 1.0
    hints: tuple[str, ...] = ()
    early_stopping: bool = False

    def directory_name(self):
        """A name that no other arm has, and that a reader understands."""
        parts = [self.name]
        if self.soft_weight:
            parts.append(f"T{self.temperature:g}")
        return "-".join([*parts, training.digest(self)])


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """What nets are compared by on held-out cases.

    Attributes:
      name: "held_out_accuracy", or "held_out_agreement" with the teacher.
      classes: `[cases]` int array, the labels or the teacher's choices; -1
        where there is none.
    """

    name: str
    classes: np.ndarray

    def share(self, logits):
        """Share of the cases for which `[cases, classes]` logits say so."""
        is_known = self.classes >= 0
        return float((logits.argmax(-1) == self.classes)[is_known].mean())


def train(
    arm,
    data,
    seed,
    directory,
    *,
    build,
    joined,
    cases,
    augment,
    teacher,
    head,
    held_out,
    checkpoint_every,
):
    """Trains an arm, resumes a killed training, or loads the result.

    Args:
      arm: an `Arm`.
      data: `cases.Data`.
      seed: int.
      directory: `pathlib.Path` of this arm and seed.
      build: function from a seed to the net that it begins with.
      joined: function without arguments to the training cases as they are
        learned from, y as a Distiller takes it, see `epochs.batches`; not
        called if the result is there.
      cases: int, how many these are. An arm of fewer than `data` has makes as
        many updates as one of all.
      augment: what `augmentation.of_data` returned, of an arm without views.
      teacher: function without arguments to a `keras.Model` that is asked
        about every batch; None if y has what the arm learns from.
      head: "softmax" or "sigmoid".
      held_out: `HeldOut`, or None where nothing is known of held-out cases.
      checkpoint_every: int, epochs between two checkpoints.

    Returns:
      A `results.Result` with the logits of the test cases.
    """
    with strategies.scope():
        net = build(seed)

    def train_it():
        model = training.compiled_distiller(
            net,
            arm,
            _steps(arm, data),
            teacher=teacher and teacher(),
            kind=functools.partial(
                kdtf.Distiller, head=head, hints=hints_of(arm.hints)
            ),
        )
        state = _fit(
            model,
            arm,
            data,
            seed,
            directory,
            joined(),
            cases,
            augment,
            held_out,
            checkpoint_every,
        )
        results.save(net, state, directory, eval_logits=predict(net, data.test))

    return results.of(net, directory, train_it)


def hints_of(given):
    """List of `kdtf.Hint`s of strings "student_layer:teacher_layer"."""
    pairs = (hint.partition(":") for hint in given)
    return [kdtf.Hint(student, teacher) for student, _, teacher in pairs]


def _fit(
    model,
    arm,
    data,
    seed,
    directory,
    source,
    cases,
    augment,
    held_out,
    checkpoint_every,
):
    mixup = None if arm.views else augmentation.mixup_of(arm.augment)

    def batches(first_step, last_step):
        found = epochs.batches(
            source,
            cases=cases,
            batch_size=arm.batch_size,
            seed=seed,
            first_step=first_step,
            last_step=last_step,
            augment=None if arm.views else augment,
        )
        if mixup is None:
            return found
        return found.enumerate(first_step).map(
            lambda step, batch: _mixed(step, batch, seed, data, mixup),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def figures():
        if held_out is None:
            return {}
        logits = predict(model.student, data.held_out)
        return {held_out.name: held_out.share(logits)}

    shown = (held_out.name,) if held_out else ()
    return training.fit(
        model,
        batches,
        directory,
        steps=_steps(arm, data),
        epochs=arm.epochs,
        checkpoint_every=checkpoint_every,
        evaluate=figures,
        title=f"seed {seed} {arm.name}",
        shown=shown,
        keep_best=shown[0] if shown and arm.early_stopping else None,
    )


def _mixed(step, batch, seed, data, alpha):
    x, y = batch
    seeds = tf.stack([tf.constant(seed + _MIXUP_STREAM, tf.int64), step])
    return augmentation.mixed(x, y, seeds, classes=data.classes, alpha=alpha)


def _steps(arm, data):
    return epochs.steps_per_epoch(data.train.cases, arm.batch_size)


def predict(net, split):
    """A net's logits `[cases, classes]`, see `reading.logits_of`."""
    return reading.logits_of(net, split.dataset, _AT_ONCE)

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
HELD_OUT = "held_out_accuracy"
_AUGMENT_STREAM = 1_000_003


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
      mixup: float.
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
    mixup: float = 0.0
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


def train(
    arm,
    data,
    seed,
    directory,
    *,
    build,
    joined,
    teacher,
    head,
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
        learned from, of `views` copies, y as a Distiller takes it; not called
        if the result is there.
      teacher: function without arguments to a `keras.Model` that is asked
        about every batch; None if y has what the arm learns from.
      head: "softmax" or "sigmoid".
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
            model, arm, data, seed, directory, joined(), checkpoint_every
        )
        results.save(net, state, directory, eval_logits=predict(net, data.test))

    return results.of(net, directory, train_it)


def hints_of(given):
    """List of `kdtf.Hint`s of strings "student_layer:teacher_layer"."""
    pairs = (hint.partition(":") for hint in given)
    return [kdtf.Hint(student, teacher) for student, _, teacher in pairs]


def _fit(model, arm, data, seed, directory, joined, checkpoint_every):
    live = _live_augment(arm, data.kind)

    def batches(first_step, last_step):
        found = epochs.batches(
            joined,
            cases=data.train.cases * max(1, arm.views),
            batch_size=arm.batch_size,
            seed=seed,
            first_step=first_step,
            last_step=last_step,
        )
        return live(found, seed, first_step) if live else found

    def figures():
        return {
            HELD_OUT: agreement(
                predict(model.student, data.held_out), data.held_out.labels
            )
        }

    return training.fit(
        model,
        batches,
        directory,
        steps=_steps(arm, data),
        epochs=arm.epochs,
        checkpoint_every=checkpoint_every,
        evaluate=figures,
        title=f"seed {seed} {arm.name}",
        shown=(HELD_OUT,),
        keep_best=HELD_OUT if arm.early_stopping else None,
    )


def _live_augment(arm, kind):
    """A function that augments batches as they come; None for none."""
    if arm.views or not (arm.augment or arm.mixup):
        return None
    augment = augmentation.of_names(arm.augment, kind) if arm.augment else None

    def of_batch(seed, step, *batch):
        x, *rest = batch
        seeds = tf.stack([tf.constant(seed + _AUGMENT_STREAM, tf.int64), step])
        if augment:
            own = tf.random.stateless_uniform(
                (tf.shape(x)[0], 2), seeds, None, None, tf.int32
            )
            x = tf.map_fn(
                lambda case: augment(*case),
                (x, own),
                fn_output_signature=x.dtype,
            )
        if arm.mixup:
            return augmentation.mixed((x, *rest), arm.mixup, seeds)
        return (x, *rest)

    def of_batches(batches, seed, first_step):
        return batches.enumerate(first_step).map(
            lambda step, batch: of_batch(seed, step, *batch),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    return of_batches


def _steps(arm, data):
    return max(1, data.train.cases // arm.batch_size)


def agreement(logits, labels):
    """Share of the labelled cases that are classified as labelled."""
    is_labelled = labels >= 0
    if not is_labelled.any():
        return 0.0
    return float((logits.argmax(-1) == labels)[is_labelled].mean())


def predict(net, split):
    """A net's logits `[cases, classes]`, see `reading.logits_of`."""
    return reading.logits_of(net, split.dataset, _AT_ONCE)

"""One arm of an experiment: a net, its training, and the result.

Every arm is trained by a `kdtf.Distiller`, the ones without soft targets too:
its weights files hold all that a resumed run needs.
"""

import dataclasses
import functools

import keras
import numpy as np

import kdtf
from trainers.core import results, strategies, training
from trainers.mnist import architectures, batches
from trainers.mnist.moves import STILL, Moves

_STOP_BY = "accuracy_to_stop_by"


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Teachers that teach together.

    Attributes:
      members: int; teachers of the seeds 0 to members - 1.
      epochs: int, of each of them.
      combine: "arithmetic" or "geometric", see `kdtf.Ensemble`.
      channels: int, see `Arm`; 0 for teachers as the seeds have them.
    """

    members: int
    epochs: int
    combine: str
    channels: int = 0


@dataclasses.dataclass(frozen=True)
class Arm:
    """What defines an arm; the same arm and seed give the same net.

    Attributes:
      name: "teacher", "student" or "distilled".
      units: int, width of each of the two hidden layers, or channels of the
        last of three convolutions.
      learning_rate: float, Adam's at the start; falls to 0 along a cosine.
      epochs: int.
      batch_size: int.
      input_dropout: float, share of the inputs dropped.
      hidden_dropout: float, share of the hidden units dropped.
      max_norm: float, bound on each unit's incoming weights; 0 for none.
      moves: `moves.Moves`, by which training images move.
      views: int, how many moved copies of each have soft targets.
      temperature: float.
      soft_weight: float; 0 for an arm that learns from labels alone.
      hard_weight: float.
      ensemble: the `Ensemble` whose soft targets it learns from; None for those
        of its seed's teacher.
      transfer: which training images it sees: "all", or an experiment's name.
      match_logits: whether it minimises the distance of the logits, and no
        divergence of softmaxes.
      steps: int, updates of an epoch; None for those that go once through the
        images it sees.
      keep_best: whether the epoch is taken that was best on training images
        which it does not see (early stopping, in hindsight).
      channels: int, of the first of three convolutions; 0 for a net without.
        The second has twice as many.
    """

    name: str
    units: int
    learning_rate: float
    epochs: int
    batch_size: int
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    max_norm: float = 0.0
    moves: Moves = STILL
    views: int = 1
    temperature: float = 1.0
    soft_weight: float = 0.0
    hard_weight: float = 1.0
    ensemble: Ensemble | None = None
    transfer: str = "all"
    match_logits: bool = False
    steps: int | None = None
    keep_best: bool = False
    channels: int = 0

    def directory_name(self):
        """A name that no other arm has, and that a reader understands."""
        parts = [self.name, str(self.units)]
        if self.soft_weight:
            parts.append(
                "logits" if self.match_logits else f"T{self.temperature:g}"
            )
        return "-".join([*parts, training.digest(self)])


class LogitMatching(kdtf.Distiller):
    """Of the logits' distance, which is no divergence at any temperature."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Its mean over a batch."""
        losses = kdtf.losses.logit_matching_loss(y_pred, y.teacher_logits)
        return keras.ops.mean(losses)


def train(
    arm,
    data,
    seed,
    directory,
    *,
    soft_targets=None,
    stop_by=None,
    checkpoint_every=5,
):
    """Trains an arm, resumes a killed training, or loads the result.

    Args:
      arm: an `Arm`.
      data: a `trainers.data.ImageData`.
      seed: int.
      directory: `pathlib.Path` of this arm and seed.
      soft_targets: `[views, cases, classes]` teacher logits on the training
        cases, for an arm with a soft weight.
      stop_by: `(images, labels)` of training cases that the arm does not see,
        for one with `keep_best`.
      checkpoint_every: int, epochs between two checkpoints.

    Returns:
      A `results.Result`.
    """
    inputs = int(np.prod(data.train_images.shape[1:]))
    with strategies.scope():
        net = architectures.build_net(arm, inputs, data.classes, seed)
    return results.of(
        net,
        directory,
        lambda: _train(
            arm,
            net,
            data,
            seed,
            directory,
            soft_targets,
            stop_by,
            checkpoint_every,
        ),
    )


def _train(
    arm, net, data, seed, directory, soft_targets, stop_by, checkpoint_every
):
    steps = arm.steps or batches.steps_per_epoch(
        len(data.train_labels), arm.batch_size
    )
    model = _started(arm, steps, net)
    student = model.student
    eval_inputs = data.inputs(data.eval_images)

    def figures():
        wrong = predict(student, eval_inputs).argmax(-1) != data.eval_labels
        found = {"errors": int(wrong.sum())}
        if arm.keep_best:
            images, labels = stop_by
            choices = predict(student, data.inputs(images)).argmax(-1)
            found[_STOP_BY] = float((choices == labels).mean())
        return found

    def training_batches(first_step, last_step):
        return batches.training_batches(
            data.train_images,
            data.train_labels,
            soft_targets if arm.soft_weight else None,
            white=data.white,
            batch_size=arm.batch_size,
            seed=seed,
            first_step=first_step,
            last_step=last_step,
            moves=arm.moves,
        )

    state = training.fit(
        model,
        training_batches,
        directory,
        steps=steps,
        epochs=arm.epochs,
        checkpoint_every=checkpoint_every,
        evaluate=figures,
        title=f"seed {seed} {arm.name}",
        shown=() if data.eval_name == "test" else ("errors",),
        keep_best=_STOP_BY if arm.keep_best else None,
    )
    results.save(
        student,
        state,
        directory,
        eval_logits=predict(student, eval_inputs),
    )


def _started(arm, steps, net):
    """A compiled Distiller whose student is as an untrained net is.

    Compiling takes longer than training a small net, so that all seeds of an
    arm share a Distiller. A shared one begins like a new one.
    """
    model, initial = _compiled(
        arm, steps, net.input_shape[1], net.output_shape[1]
    )
    variables = [*model.student.variables, *model.optimizer.variables]
    values = [*net.variables, *initial]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return model


@functools.lru_cache(maxsize=1)
def _compiled(arm, steps, inputs, classes):
    """`(Distiller, initial values of its optimizer's variables)`."""
    with strategies.scope():
        student = architectures.build_net(arm, inputs, classes, seed=0)
    model = training.compiled_distiller(
        student,
        arm,
        steps,
        kind=LogitMatching if arm.match_logits else kdtf.Distiller,
        # XLA is faster with this dropout, and slow at convolutions.
        jit_compile=not arm.channels,
    )
    return model, [np.array(v) for v in model.optimizer.variables]


def predict(net, inputs):
    """The net's logits `[cases, classes]` as a float32 array."""
    parts = np.array_split(inputs, max(1, len(inputs) // 2000))
    return np.concatenate([net(p, training=False).numpy() for p in parts])

"""One acoustic net: its training, and the result.

Windows of frames to logits of HMM states. Every net is trained by a
`kdtf.Distiller`, the ones without soft targets too: its weights files hold all
that a resumed run needs.
"""

import dataclasses

import keras
import numpy as np

from trainers.core import results, strategies, training
from trainers.speech import frames as frames_module
from trainers.speech import hearings

_BY_HELD_OUT = "held_out_accuracy"
_MOST_EVALUATED = 10_000  # frames, for a point of a curve


@dataclasses.dataclass(frozen=True)
class Arm:
    """What defines an arm; the same arm and seed give the same net.

    Attributes:
      name: str, its role.
      layers: int, hidden layers.
      units: int, width of each.
      learning_rate: float, Adam's at the start; falls to 0 along a cosine.
      epochs: int.
      batch_size: int.
      steps: int, of an epoch; None for as many as are a pass over the frames
        of the recorded clips, without augmented copies.
      temperature: float.
      soft_weight: float; 0 for an arm that learns from labels alone.
      hard_weight: float.
      taught_by: whose soft targets it learns from, "ensemble" or "all_clips", a
        net on the labels of all clips; "" for nobody's.
      share: float, of the training clips that it sees.
      hears: `hearings.Kind`, what it hears of these; None for the clips as
        they were recorded.
      views: int, how many hearings of each clip, whose soft targets are stored;
        0 for hearings without end.
      mixed: float, the share of windows that another one is mixed into.
      keep_best: whether the epoch that was best on held-out frames is taken.
    """

    name: str
    layers: int
    units: int
    learning_rate: float
    epochs: int
    batch_size: int
    steps: int | None = None
    temperature: float = 1.0
    soft_weight: float = 0.0
    hard_weight: float = 1.0
    taught_by: str = ""
    share: float = 1.0
    hears: hearings.Kind | None = None
    views: int = 0
    mixed: float = 0.0
    keep_best: bool = False

    def directory_name(self):
        """A name that no other arm has, and that a reader understands."""
        parts = [self.name, f"{self.layers}x{self.units}"]
        if self.soft_weight:
            parts.append(f"T{self.temperature:g}")
        if self.share < 1:
            parts.append(f"{self.share:.0%}")
        return "-".join([*parts, training.digest(self)])

    def steps_of(self, count):
        """Steps of an epoch over that many frames.

        Whole executions of 20 steps where there are as many; what is left of a
        pass begins the next epoch.
        """
        steps = self.steps or max(1, count // self.batch_size)
        return steps - steps % 20 if steps > 20 else steps


def build_net(arm, inputs, states, seed):
    """A net of ReLUs that returns logits.

    A control and a student of one seed start from the same weights, so that
    their comparison is a paired one; members start from others.

    Args:
      arm: an `Arm`.
      inputs: int, numbers in a window.
      states: int.
      seed: int.

    Returns:
      A built `keras.Model`, `[batch, inputs]` to `[batch, states]`.
    """
    stream = [seed, arm.units, int(arm.name == "member")]
    seeds = np.random.SeedSequence(stream).generate_state(arm.layers + 1)
    widths = [arm.units] * arm.layers + [states]
    activations = ["relu"] * arm.layers + [None]
    layers = [
        keras.layers.Dense(
            width,
            activation,
            kernel_initializer=keras.initializers.HeNormal(int(s) // 2)
            if activation
            else keras.initializers.GlorotUniform(int(s) // 2),
        )
        for width, activation, s in zip(widths, activations, seeds, strict=True)
    ]
    return keras.Sequential([keras.Input((inputs,)), *layers], name=arm.name)


def train(
    arm,
    corpus,
    seed,
    directory,
    *,
    lesson,
    checkpoint_every=5,
):
    """Trains an arm, resumes a killed training, or loads the result.

    Args:
      arm: an `Arm`.
      corpus: a `corpora.Corpus`.
      seed: int.
      directory: `pathlib.Path` of this arm and seed.
      lesson: function without arguments, called if the arm is not trained: what
        it learns from, `(batches, teacher)`. `batches` is a function from
        `batch_size`, `seed`, `first_step` and `last_step` to a
        `tf.data.Dataset`; the teacher is None if they have its logits, or it
        has none.
      checkpoint_every: int, epochs between two checkpoints.

    Returns:
      A `results.Result`.
    """
    inputs = frames_module.WINDOW * corpus.training.values.shape[1]
    with strategies.scope():
        net = build_net(arm, inputs, corpus.lexicon.num_states, seed)

    def train_it():
        _train(arm, net, corpus, seed, directory, lesson(), checkpoint_every)

    return results.of(net, directory, train_it)


def _train(arm, net, corpus, seed, directory, lesson, checkpoint_every):
    batches, teacher = lesson
    rows = corpus.training.rows_of(corpus.nested(arm.share))
    steps = arm.steps_of(len(rows))
    distiller = training.compiled_distiller(
        net, arm, steps, teacher=teacher, jit_compile="auto"
    )

    def from_step_to_step(first_step, last_step):
        return batches(
            batch_size=arm.batch_size,
            seed=seed,
            first_step=first_step,
            last_step=last_step,
        )

    state = training.fit(
        distiller,
        from_step_to_step,
        directory,
        steps=steps,
        epochs=arm.epochs,
        checkpoint_every=checkpoint_every,
        evaluate=lambda: _accuracies(net, corpus, rows),
        title=f"{corpus.name} {directory.parent.name} {arm.directory_name()}",
        shown=("train_accuracy", _BY_HELD_OUT),
        keep_best=_BY_HELD_OUT if arm.keep_best else None,
    )
    results.save(net, state, directory)


def _accuracies(net, corpus, rows):
    """A point of the learning curve; nothing is chosen by the test's."""
    # Evenly spread, so that every speaker and word is among them.
    some = rows[:: -(-len(rows) // _MOST_EVALUATED)]
    return {
        "train_accuracy": accuracy(net, corpus.training, some),
        _BY_HELD_OUT: accuracy(net, corpus.held_out),
        "test_accuracy": accuracy(net, corpus.test),
    }


def accuracy(net, frames, rows=None):
    """Share of frames whose state a net finds.

    Args:
      net: `keras.Model` or `kdtf.Ensemble`.
      frames: `frames.Frames` with states.
      rows: ints, which of them; None for all.

    Returns:
      Float.
    """
    chosen = frames_module.predict(net, frames, rows).argmax(-1)
    states = frames.states if rows is None else frames.states[rows]
    return float((chosen == states).mean())

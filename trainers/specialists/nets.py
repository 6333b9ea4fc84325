"""One net: its training, and the result.

Pixels to logits. Every net is trained by a `kdtf.Distiller`, the ones without
soft targets too: its weights files hold all that a resumed run needs.
"""

import dataclasses
import functools

import keras
import numpy as np

from trainers.core import results, strategies, training

PARTS = 30  # of the training of a big net: a point of its curve, a checkpoint
HELD_OUT_ACCURACY = "held_out_accuracy"  # of a point of a curve
_LEAST = 100  # steps of a part, in each of which some time is lost


@dataclasses.dataclass(frozen=True)
class Arm:
    """What defines an arm; the same arm and seed give the same net.

    Attributes:
      name: str, its role.
      units: int, width of both hidden layers.
      learning_rate: float, Adam's at the start; falls to 0 along a cosine.
      epochs: int, parts of the training.
      steps: int, of a part.
      batch_size: int.
      temperature: float.
      soft_weight: float; 0 for an arm that learns from labels alone.
      hard_weight: float.
      classes: tuple of ints, of a specialist; empty for all.
      full_softmax: bool, of a specialist.
      cases: str, which training cases it sees; "" for all.
      own_share: float, of a specialist: the share of its own classes' cases
        among those that it sees.
    """

    name: str
    units: int
    learning_rate: float
    epochs: int
    steps: int
    batch_size: int
    temperature: float = 1.0
    soft_weight: float = 0.0
    hard_weight: float = 1.0
    classes: tuple = ()
    full_softmax: bool = False
    cases: str = ""
    own_share: float = 0.5

    def directory_name(self):
        """A name that no other arm has, and that a reader understands."""
        return f"{self.name}-{self.units}-{training.digest(self)}"


def parts_of(steps, parts=PARTS):
    """`(parts, steps of a part)` of about that many steps.

    Args:
      steps: int.
      parts: int; fewer where these would be short.
    """
    parts = max(1, min(parts, steps // _LEAST))
    of_a_part = max(1, steps // parts)
    # A program is of up to 25 steps: 20 divide what is left.
    return parts, of_a_part - of_a_part % 20 if of_a_part > 20 else of_a_part


def multiply_adds(pixels, units, outputs):
    """Multiply-adds of a prediction, which are a third of those of a step.

    Args:
      pixels: int.
      units: int.
      outputs: int.

    Returns:
      int.
    """
    return pixels * units + units * units + units * outputs


def build_net(units, pixels, classes, seed):
    """A net of two hidden layers that returns logits.

    Args:
      units: int.
      pixels: int.
      classes: int.
      seed: int.

    Returns:
      A built `keras.Model`, `[batch, pixels]` to `[batch, classes]`.
    """
    seeds = np.random.SeedSequence([seed, units]).generate_state(3)
    first, second, last = (int(s) // 2 for s in seeds)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((pixels,), name="pixels"),
            layers.Dense(units, "relu", kernel_initializer=_he(first)),
            layers.Dense(units, "relu", kernel_initializer=_he(second)),
            layers.Dense(
                classes,
                kernel_initializer=keras.initializers.GlorotUniform(last),
            ),
        ]
    )


def _he(seed):
    return keras.initializers.HeNormal(seed)


def train(arm, net, batches, directory, *, evaluate, checkpoint_every, title):
    """Trains an arm, resumes a killed training, or loads the result.

    Args:
      arm: an `Arm`.
      net: the `keras.Model` as it begins; gets the trained weights.
      batches: function from the first step to an endless `tf.data.Dataset`.
      directory: `pathlib.Path` of this arm and seed.
      evaluate: function from a net to its `HELD_OUT_ACCURACY`, in a dict; None
        for a net whose curve has none.
      checkpoint_every: int, parts between two checkpoints.
      title: str, for the progress bar; None for none.

    Returns:
      A `results.Result`.
    """

    def train_it():
        distiller = _distiller(
            dataclasses.replace(arm, name="", classes=(), cases=""),
            net.input_shape[1:],
            net.output_shape[-1],
        )
        _begin(distiller, net.get_weights())
        state = training.fit(
            distiller,
            lambda first_step, last_step: batches(first_step),
            directory,
            steps=arm.steps,
            epochs=arm.epochs,
            checkpoint_every=checkpoint_every,
            evaluate=lambda: evaluate(distiller.student) if evaluate else {},
            title=title,
            shown=(HELD_OUT_ACCURACY,) if evaluate else (),
        )
        results.save(distiller.student, state, directory)

    return results.of(net, directory, train_it)


@functools.lru_cache(maxsize=4)
def _distiller(arm, shape, outputs):
    """A Distiller that trains one net after another of an arm's kind.

    Compiling its step takes longer than training a specialist.
    """
    with strategies.scope():
        net = build_net(arm.units, shape[0], outputs, seed=0)
    return training.compiled_distiller(net, arm, arm.steps, jit_compile="auto")


def _begin(distiller, weights):
    """Makes a Distiller's state that of one which was never trained."""
    distiller.student.set_weights(weights)
    for variable in distiller.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))

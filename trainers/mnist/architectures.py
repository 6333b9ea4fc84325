"""The layers of the MNIST experiments' nets."""

import math

import keras
import numpy as np

from trainers.mnist.dropout import Dropout


def build_net(arm, inputs, classes, seed):
    """The net of an arm, which returns logits.

    Plain and distilled student of one seed start from the same weights, so
    that their comparison is a paired one.

    Args:
      arm: a `nets.Arm`.
      inputs: int, number of inputs; a square, for one with convolutions.
      classes: int.
      seed: int.

    Returns:
      A built `keras.Model`, `[batch, inputs]` to `[batch, classes]`.
    """
    seeded = _Seeded(arm, seed)
    if arm.channels:
        hidden = _convolutional(arm, inputs, seeded)
    else:
        hidden = _dense(arm, seeded)
    return keras.Sequential(
        [keras.Input((inputs,)), *hidden, seeded.dense("logits", classes)],
        name=arm.name,
    )


def _dense(arm, seeded):
    """Two hidden layers of that many units (paper, section 3)."""
    layers = seeded.dropout("dropout_0", arm.input_dropout)
    for i in ("1", "2"):
        layers.append(seeded.hidden(f"hidden_{i}"))
        layers += seeded.dropout(f"dropout_{i}", arm.hidden_dropout)
    return layers


def _convolutional(arm, inputs, seeded):
    """Three convolutions, the first of which takes every other pixel."""
    side = math.isqrt(inputs)
    return [
        keras.layers.Reshape((side, side, 1)),
        *seeded.convolution("1", arm.channels, kernel_size=5, strides=2),
        *seeded.convolution("2", 2 * arm.channels, kernel_size=3),
        keras.layers.MaxPooling2D(padding="same"),
        *seeded.convolution("3", arm.units, kernel_size=3),
        keras.layers.Flatten(),
        *seeded.dropout("dropout", arm.hidden_dropout),
    ]


class _Seeded:
    """Layers with a seed of their own each.

    Their names are ours, too: Keras counts, and its names go into the weights'
    files.
    """

    def __init__(self, arm, seed):
        self._arm = arm
        # Of the width, too; a teacher is not a wider copy of its student.
        seeds = np.random.SeedSequence([seed, arm.units]).generate_state(6)
        self._seeds = iter(int(s) for s in seeds // 2)

    def dense(self, name, units, **options):
        initializer = keras.initializers.GlorotUniform(next(self._seeds))
        return keras.layers.Dense(
            units, kernel_initializer=initializer, name=name, **options
        )

    def hidden(self, name):
        constraint = None
        if self._arm.max_norm:
            constraint = keras.constraints.MaxNorm(self._arm.max_norm, axis=0)
        return self.dense(
            name,
            self._arm.units,
            activation="relu",
            kernel_constraint=constraint,
        )

    def convolution(self, number, channels, **options):
        initializer = keras.initializers.HeUniform(next(self._seeds))
        return [
            keras.layers.Conv2D(
                channels,
                padding="same",
                use_bias=False,  # that of the normalisation
                kernel_initializer=initializer,
                name=f"convolution_{number}",
                **options,
            ),
            keras.layers.BatchNormalization(name=f"normalisation_{number}"),
            keras.layers.Activation("relu"),
        ]

    def dropout(self, name, rate):
        """A list of one layer; of none, if nothing is dropped."""
        seed = next(self._seeds)
        if not rate:
            return []
        return [Dropout(rate, seed, batch_size=self._arm.batch_size, name=name)]

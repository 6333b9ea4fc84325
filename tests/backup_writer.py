"""Trains and backs up all the time, in a process that may be killed."""

import keras
import numpy as np

import kdtf

STEPS, BATCH, WIDTH = 2, 4, 1000
# Large enough that most of the time goes into writing it.
FOREVER = 10**6


def fit(directory, *callbacks):
    """Trains from the backup on."""
    model = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(WIDTH)])
    model.compile(keras.optimizers.Adam(), "mse")
    x = np.ones((STEPS * BATCH, WIDTH), np.float32)
    model.fit(
        x,
        x,
        batch_size=BATCH,
        epochs=FOREVER,
        verbose=0,
        callbacks=[kdtf.callbacks.BackupAndRestore(directory), *callbacks],
    )


class Tell(keras.callbacks.Callback):
    """Tells a pipe that an epoch is backed up."""

    def __init__(self, pipe):
        super().__init__()
        self._pipe = pipe

    def on_epoch_end(self, epoch, logs=None):
        if self._pipe:
            self._pipe.send("ready")
            self._pipe = None


def write(directory, pipe):
    """Trains until it is killed; tells `pipe` when there is a backup."""
    fit(directory, Tell(pipe))

"""Generalist and specialists as a SavedModel that takes images."""

import keras

import kdtf
from trainers.core import run_directory


def export(run, ensemble):
    """Writes export/ in the run directory.

    Its input `images` is `[batch, height, width]`, or
    `[batch, height, width, channels]`, from 0 to the largest pixel value.

    Args:
      run: `run.Run`.
      ensemble: `keras.Model` from pixels of white 1 to logits.
    """
    inputs = keras.Input(run.data.train_images.shape[1:], name="images")
    x = keras.layers.Rescaling(1 / run.data.white)(inputs)
    pixels = keras.layers.Reshape((run.pixels,))(x)
    kdtf.export_student(
        keras.Model(inputs, ensemble(pixels)),
        run.directory / run_directory.EXPORT,
        class_names=run.data.class_names,
        overwrite=True,
    )

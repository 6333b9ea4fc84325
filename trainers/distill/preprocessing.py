"""What a model wants pixels to be, by name."""

import importlib
import pkgutil

import keras

from trainers.distill import files

NONE = "none"
_UNIT = "unit"


def names():
    """What `--teacher_preprocess` and `--student_preprocess` may be."""
    return [NONE, _UNIT, *_families()]


def _families():
    """The modules of `keras.applications`, each with scaling of its own."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(keras.applications.__path__)
        if hasattr(_family(module.name), "preprocess_input")
        and module.name != "imagenet_utils"
    )


def _family(name):
    return importlib.import_module(f"keras.applications.{name}")


def before(flag, model, name, input_shape):
    """A model that takes pixels from 0 to 255, and scales them itself.

    Args:
      flag: str, name of the flag that the model comes from.
      model: `keras.Model`.
      name: "none", "unit" (0 to 1), or a module of `keras.applications`, such
        as "resnet50".
      input_shape: tuple, of x without the batch.

    Returns:
      `keras.Model`; `model` itself for "none".

    Raises:
      ValueError: if images of that shape cannot be scaled so; names the flag.
    """
    if name == NONE:
        return model
    x = inputs = keras.Input(input_shape, name="x")
    if name == _UNIT:
        x = keras.layers.Rescaling(1 / 255)(x)
    with files.named(
        f"{flag}_preprocess", name, f"what images of {input_shape} can have"
    ):
        if name != _UNIT:
            x = _family(name).preprocess_input(x)
        return keras.Model(inputs, model(x), name=model.name)

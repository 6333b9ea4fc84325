"""Temperature and weights of the loss: variables that refuse what is wrong."""

import keras
import numpy as np
import tensorflow as tf

from kdtf._math import arguments

NAMES = ("temperature", "soft_weight", "hard_weight")


class Hyperparameters:
    """The three variables of an output of a Distiller.

    An object of its own, which Keras does not look into: they are no weights of
    the model, so that callbacks that put back its best weights leave them as
    they are.
    """

    def __init__(self, temperature, soft_weight, hard_weight):
        arguments.check_temperature(temperature)
        arguments.check_weights(soft_weight, hard_weight)
        values = (temperature, soft_weight, hard_weight)
        for name, value in zip(NAMES, values, strict=True):
            setattr(self, name, Scalar(value, name, self._check))

    def variables(self):
        """The variables, in the order of `NAMES`."""
        return [getattr(self, name) for name in NAMES]

    def values(self):
        """Dict from name to Python float."""
        return {name: number(getattr(self, name)) for name in NAMES}

    def _check(self, name, value):
        """Raises ValueError if a variable must not be assigned a value."""
        if name == "temperature":
            arguments.check_temperature(value)
            return
        weights = {
            each: value if each == name else number(getattr(self, each))
            for each in ("soft_weight", "hard_weight")
        }
        arguments.check_weights(**weights)


class Attribute:
    """An attribute of a Distiller that is one of its `Hyperparameters`.

    Of one with several outputs a dict of them by output.
    """

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, distiller, owner=None):
        if distiller is None:
            return self
        return distiller._student_outputs.of_setting(self._name)

    def __set__(self, distiller, value):
        raise AttributeError(
            f"`{self._name}` is a variable, which compiled steps hold: change "
            f"it with distiller.{self._name}.assign(value). "
            f"Received: {value!r}"
        )


class Scalar(keras.Variable):
    """A float32 variable whose values are checked where they are known.

    `check` is called with the variable's name and the value, a Python float.
    """

    def __init__(self, value, name, check):
        self._check = None  # not of the first value, while others are missing
        super().__init__(
            np.float32(value), dtype="float32", trainable=False, name=name
        )
        self._check = check

    def assign(self, value):
        found = number(value)
        if self._check is not None and found is not None:
            self._check(self.name, found)
        return super().assign(value)

    def restore(self, value):
        """Assigns without a check: of two weights one is restored first."""
        return super().assign(value)


def number(value):
    """A Python float, or None if it is a tensor of a graph or no number."""
    with tf.init_scope():
        try:
            found = np.asarray(keras.ops.convert_to_numpy(value), np.float64)
        except (TypeError, ValueError, NotImplementedError, AttributeError):
            return None
    return found.item() if found.size == 1 else None

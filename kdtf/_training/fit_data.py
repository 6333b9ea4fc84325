"""How data reach the steps: arrays on the device, groups, or as Keras has it.

Keras counts steps, epochs and the end of the data as it always does: it is
given a data adapter, in place of the data that it would make one of.
"""

import contextlib

import keras

from kdtf import _keras_private as keras_private
from kdtf._training import (
    array_epochs,
    batch_groups,
    step_counts,
    taught_arrays,
)

_DATA = ("x", "y", "sample_weight")


def for_fit(distiller, arguments):
    """What `fit` is to do.

    Args:
      distiller: a compiled `Distiller`.
      arguments: dict of the arguments of `keras.Model.fit`.

    Returns:
      `(arguments, steps)`: arguments that give the same training, and the steps
      of an execution; those given, if Keras runs the steps.
    """
    steps = distiller.steps_per_execution
    if not _takes_adapters(distiller, "train_step"):
        return arguments, steps
    arguments = _with_validation_data(dict(arguments))
    data = {name: arguments.pop(name, None) for name in _DATA}
    adapter = _adapter(data, arguments, arguments.get("shuffle", True))
    if isinstance(adapter, array_epochs.ArraysAdapter):
        steps = _chosen(distiller, "train_step", adapter, arguments)
        taught_arrays.apply(distiller, adapter, arguments)
    elif distiller._is_one_program("train_step") and steps > 1:
        adapter = batch_groups.GroupedAdapter(adapter, steps)
    arguments["x"] = adapter
    validation_data = arguments.get("validation_data")
    if isinstance(validation_data, (tuple, list)):
        given = _validation_data(distiller, validation_data, arguments)
        arguments["validation_data"] = given
    return arguments, steps


def _validation_data(distiller, validation_data, arguments):
    """Arrays to validate on, as a tuple of their adapter."""
    if not _takes_adapters(distiller, "test_step"):
        return validation_data
    parts = keras.utils.unpack_x_y_sample_weight(validation_data)
    size = arguments.get("validation_batch_size")
    given = {
        "batch_size": size or arguments.get("batch_size"),
        "steps_per_epoch": arguments.get("validation_steps"),
    }
    data = dict(zip(_DATA, parts, strict=True))
    adapter = _adapter(data, given, shuffle=False)
    if isinstance(adapter, array_epochs.ArraysAdapter):
        taught_arrays.apply(distiller, adapter, arguments)
    return (adapter,)


def for_evaluate(distiller, arguments):
    """As `for_fit`, of the arguments of `keras.Model.evaluate`."""
    steps = distiller.steps_per_execution
    if not _takes_adapters(distiller, "test_step"):
        return arguments, steps
    arguments = dict(arguments)
    data = {name: arguments.pop(name, None) for name in _DATA}
    arguments["steps_per_epoch"] = arguments.pop("steps", None)
    adapter = _adapter(data, arguments, shuffle=False)
    if isinstance(adapter, array_epochs.ArraysAdapter):
        steps = _chosen(distiller, "test_step", adapter, arguments)
    arguments["steps"] = arguments.pop("steps_per_epoch")
    return {**arguments, "x": adapter}, steps


@contextlib.contextmanager
def steps_of_an_execution(distiller, steps):
    """Runs that many steps at once, for a while."""
    before = distiller.steps_per_execution
    distiller.steps_per_execution = steps
    try:
        yield
    finally:
        distiller.steps_per_execution = before


def _takes_adapters(distiller, step):
    """Whether what runs a step takes what the adapters here give it."""
    return keras_private.has_data_adapters() and distiller._runs_here(step)


def _adapter(data, arguments, shuffle):
    """The data adapter of what Keras was given."""
    adapter = keras_private.get_data_adapter(
        **data,
        batch_size=arguments.get("batch_size"),
        steps_per_epoch=arguments.get("steps_per_epoch"),
        shuffle=shuffle,
    )
    return array_epochs.adapter_of(adapter, shuffle)


def _chosen(distiller, step, adapter, arguments):
    """The steps of an execution over arrays: chosen, or those of `compile`."""
    ends_early = (
        arguments.get("steps_per_epoch")
        or arguments.get("validation_steps")
        or keras.config.max_steps_per_epoch()
    )
    if (
        ends_early  # perhaps within an execution
        or not distiller._chooses_steps
        or not distiller._is_one_program(step)
    ):
        return distiller.steps_per_execution
    return step_counts.of_arrays(
        distiller.student, adapter, arguments.get("callbacks")
    )


def _with_validation_data(arguments):
    """Splits validation data off here: Keras cannot split an adapter's."""
    split = arguments.pop("validation_split", 0.0)
    if split and arguments.get("validation_data") is None:
        training, validation = keras_private.train_validation_split(
            tuple(arguments.get(name) for name in _DATA), split
        )
        arguments.update(zip(_DATA, training, strict=True))
        arguments["validation_data"] = validation
    return arguments

"""What a Keras model tells about itself."""

import hashlib

import keras
import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private

_PROBABILITIES = ("softmax", "sparsemax", "sigmoid", "hard_sigmoid")
_PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Permute,
    keras.layers.Reshape,
)


class MadeOfModels:
    """A mixin of models that combine other models.

    Attributes:
      head: str, what the logits stand for: "softmax" or "sigmoid".
    """

    head = "softmax"

    @property
    def input_model(self):
        """The model that tells what input they all take."""
        raise NotImplementedError

    @property
    def combination(self):
        """What the outputs depend on beside the models' weights."""
        return ""


def call(model, x, *, training):
    """What a Keras model returns for a batch, which may hold more inputs.

    Student and teacher may take different inputs of one data set. Keras leaves
    to chance which of the keys of a dict a model gets if there are more of them
    than it has inputs, and only warns.

    Args:
      model: a `keras.Model` or layer.
      x: structure of `[batch, ...]`.
      training: bool or None.

    Raises:
      ValueError: if x is a list or tuple of more than the model takes, of which
        Keras passes over the last ones.
    """
    expected = _attribute(model, "input")
    if isinstance(x, dict) and isinstance(expected, dict):
        x = {key: each for key, each in x.items() if key in expected}
    if isinstance(x, list | tuple):
        _require_no_more(x, model)
    return model(x, training=training)


def _require_no_more(x, model):
    most, found = len(_attribute(model, "inputs") or ()), keras.tree.flatten(x)
    if most and len(found) > most:
        raise ValueError(
            f"`x` must be no more than what {model.name!r} takes, which has "
            f"inputs: {most}. Labels belong in `y`, as in fit(x, y); a dict, "
            "of inputs by name, may hold more. "
            f"Received: x, a {type(x).__name__} of {len(found)}"
        )


def _attribute(model, name):
    """What a model tells about itself, or None if it does not know yet."""
    try:
        return getattr(model, name, None)
    except ValueError:  # Keras: it was never called
        return None


def input_specs(model):
    """`tf.TensorSpec`s of any batch size, in the structure of a model's input.

    Args:
      model: a built `keras.Model`.

    Returns:
      Structure of specs, with the names that Keras has for the inputs; of a
      subclass, of which only shapes are recorded, without names and in float32.
    """
    if isinstance(model, MadeOfModels):
        return input_specs(model.input_model)
    if not hasattr(model, "inputs"):
        shapes = model.get_build_config()["input_shape"]
        return keras.tree.map_shape_structure(
            lambda shape: tf.TensorSpec((None, *shape[1:])), shapes
        )
    return keras.tree.map_structure(
        lambda each: tf.TensorSpec(
            (None, *each.shape[1:]), each.dtype, each.name
        ),
        inputs(model),
    )


def inputs(model):
    """The symbolic inputs of a functional or Sequential model, as given."""
    # A Sequential has one input, without a structure around it.
    return getattr(model, "input", model.inputs[0])


def class_count(model):
    """The size of the last axis of a model's one output, or None if unknown.

    Unknown for a callable that is no model, a model that was never called, and
    a model with several outputs.
    """
    shape = output_shape(model)
    return shape[-1] if shape else None


def output_shape(model):
    """The shape of a model's one output, a tuple, or None if unknown."""
    if output_names(model) is not None:
        return None
    return _attribute(model, "output_shape")


def output_names(model):
    """The names of a model's outputs, in its order, if it has several.

    Args:
      model: a `keras.Model`, or anything else.

    Returns:
      Tuple of str: the keys of a dict, or Keras's names of a list; None if it
      has one output, or does not tell.
    """
    found = output(model)
    if isinstance(found, dict):
        return tuple(found)
    if isinstance(found, (list, tuple)):
        return tuple(model.output_names)
    return None


def check_output_names(names, argument):
    """Raises ValueError if outputs of a list have the same name.

    Args:
      names: what `output_names` returned.
      argument: str, what the error calls the model.
    """
    if names is not None and len(set(names)) < len(names):
        raise ValueError(
            f"`{argument}` must have outputs whose names differ: return a "
            "dict, or give each a keras.layers.Identity(name=...) of its own. "
            f"Received: a model with the outputs {list(names)}"
        )


def outputs(model):
    """The symbolic outputs of a functional model with several, by name.

    Args:
      model: a `keras.Model` for which `output_names` are known.

    Returns:
      Dict from name to `keras.KerasTensor`.
    """
    found = output(model)
    if isinstance(found, dict):
        return dict(found)
    return dict(zip(output_names(model), found, strict=True))


def output(model):
    """A functional model's symbolic output, as it was given, or None."""
    if isinstance(model, keras.Sequential):
        [found] = getattr(model, "outputs", None) or [None]
        return found
    return (
        _attribute(model, "output") if isinstance(model, keras.Model) else None
    )


def hash_weights(digest, weights):
    """Updates a hash of `hashlib` with the dtype, shape and values of each."""
    for weight in weights:
        value = np.asarray(weight)
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())


def digest_of(model):
    """Twelve characters that tell the weights of one model from others.

    Of the weights as Keras saves them, so that a loaded model has the same:
    those of low rank (LoRA) are added to others then.
    """
    digest = hashlib.sha256()
    for layer in keras_private.all_layers(model):
        saved = {}
        layer.save_own_variables(saved)
        hash_weights(digest, saved.values())
    return digest.hexdigest()[:12]


def check_logits(model, argument, head):
    """Raises if a model tells that its one output cannot be logits.

    Args:
      model: a `keras.Model`, or any callable, which tells nothing.
      argument: str, what the error calls it.
      head: one of `_math.heads`.

    Raises:
      ValueError: if it ends in a softmax or a sigmoid, has several outputs,
        or if a softmax would be over one class.
    """
    names = output_names(model)
    if names is not None:
        raise ValueError(
            f"`{argument}` must have one output, the logits: make a model of "
            "that one with keras.Model(model.inputs, output). "
            f"Received: {model.name!r} with the outputs {list(names)}"
        )
    _check_no_probabilities(model, last_activation(model), argument)
    head.check_count(class_count(model), argument)


def check_output(model, argument, output, head):
    """As `check_logits`, of one of the outputs of a model that has several.

    Args:
      model: a functional `keras.Model`.
      argument: str, what the error calls it.
      output: the symbolic output.
      head: one of `_math.heads`.

    Raises:
      ValueError: as `check_logits`, or if the output is no tensor.
    """
    if not isinstance(output, keras.KerasTensor):
        raise ValueError(
            f"`{argument}` must have outputs that are one tensor each, in a "
            f"dict or a list. Received: {model.name!r} with an output that is "
            f"a {type(output).__name__}"
        )
    found = last_activation(model, output)
    _check_no_probabilities(model, found, argument)
    head.check_count(output.shape[-1], argument)


def _check_no_probabilities(model, found, argument):
    if found is not None:
        raise ValueError(
            f"`{argument}` must return logits, not probabilities: give "
            f"kdtf.logits_of({argument}), the same model without its last "
            f"{found}, or build it without one (keras.applications: "
            "classifier_activation=None). "
            f"Received: {model.name!r}, which ends in a {found}"
        )


def last_activation(model, output=None):
    """The function that makes a model's output probabilities.

    Args:
      model: a `keras.Model`, or anything else.
      output: the `keras.KerasTensor` of one of several outputs, or None.

    Returns:
      One of `_PROBABILITIES`; None if the model ends in none of them or does
      not tell, as subclasses of `keras.Model` do not.
    """
    last = probability_operation(model, output)
    return None if last is None else _activation(last)


def probability_operation(model, output=None):
    """The layer or operation by which an output becomes probabilities.

    Args:
      model: a `keras.Model`, or anything else.
      output: as in `last_activation`.

    Returns:
      A layer of the model, which may be a model or a wrapper itself, or an
      operation; None as in `last_activation`.
    """
    for operation in keras_private.operations_from_the_end(model, output):
        if not passes(operation):
            return operation if _activation(operation) else None
    return None


def passes(operation):
    """Whether probabilities are probabilities still after an operation."""
    linear = isinstance(operation, keras.layers.Activation) and (
        operation.activation is keras.activations.linear
    )
    return linear or isinstance(operation, _PASSING)


def _activation(operation):
    """As `last_activation`, of one layer or operation."""
    if isinstance(operation, keras.Model):
        return last_activation(operation)
    if isinstance(operation, keras.layers.TimeDistributed):
        return _activation(operation.layer)
    if isinstance(operation, keras.Layer):
        function = getattr(operation, "activation", None)
        # Of a `keras.layers.Softmax`, here or as an activation, the class.
        is_layer = isinstance(function, keras.Layer) or function is None
        of = operation if function is None else function
        name = type(of).__name__ if is_layer else getattr(of, "__name__", "")
    else:  # `keras.ops.softmax` in a functional model
        name = type(operation).__name__
    name = name.lower().removesuffix("_v2")  # of `tf.nn.softmax`
    return name if name in _PROBABILITIES else None

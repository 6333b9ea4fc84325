"""What a Keras model tells about itself."""

import hashlib

import keras
import numpy as np

from kdtf import _keras_private as keras_private

_PROBABILITIES = ("softmax", "sigmoid", "hard_sigmoid")
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


def class_count(model):
    """The size of the last axis of a model's one output, or None if unknown.

    Unknown for a callable that is no model, a model that was never called, and
    a model with several outputs.
    """
    shape = output_shape(model)
    return shape[-1] if isinstance(shape, tuple) and shape else None


def output_shape(model):
    """The shape of a model's output, or a structure of them, or None."""
    try:
        return model.output_shape
    except (AttributeError, ValueError):  # Keras: it was never called
        return None


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
    """Raises if a model tells that its output cannot be logits.

    Args:
      model: a `keras.Model`, or any callable, which tells nothing.
      argument: str, what the error calls it.
      head: one of `_math.heads`.

    Raises:
      ValueError: if it ends in a softmax or a sigmoid, has several outputs,
        or if a softmax would be over one class.
    """
    found = last_activation(model)
    if found is not None:
        raise ValueError(
            f"`{argument}` must return logits, not probabilities: give "
            f"kdtf.logits_of({argument}), the same model without its last "
            f"{found}, or build it without one (keras.applications: "
            "classifier_activation=None). "
            f"Received: {model.name!r}, which ends in a {found}"
        )
    shape = output_shape(model)
    if isinstance(shape, (list, dict)):
        raise ValueError(
            f"`{argument}` must have one output, the logits: make a model of "
            "that one with keras.Model(model.inputs, output). "
            f"Received: {model.name!r} with {len(shape)} outputs"
        )
    head.check_count(class_count(model), argument)


def last_activation(model):
    """The function that makes a model's output probabilities.

    Args:
      model: a `keras.Model`, or anything else.

    Returns:
      "softmax", "sigmoid" or "hard_sigmoid"; None if the model ends in none of
      them or does not tell, as subclasses of `keras.Model` do not.
    """
    last = probability_operation(model)
    return None if last is None else _activation(last)


def probability_operation(model):
    """The layer or operation by which an output becomes probabilities.

    Args:
      model: a `keras.Model`, or anything else.

    Returns:
      A layer of the model, which may be a model or a wrapper itself, or an
      operation; None as in `last_activation`.
    """
    for operation in keras_private.operations_from_the_end(model):
        if not _passes(operation):
            return operation if _activation(operation) else None
    return None


def _passes(operation):
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
    return name.lower() if name.lower() in _PROBABILITIES else None

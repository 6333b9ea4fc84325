"""Specialists that begin as copies of their generalist."""

import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf.specialists import _checks
from kdtf.specialists.nets import Specialist

# What copies the state of a layer once it is built.
_Pending = list[Callable[[], None]]


def specialist_of(
    generalist: keras.Model,
    classes: npt.ArrayLike,
    *,
    full_softmax: bool = False,
    name: str | None = None,
) -> Specialist:
    """A specialist that begins as a copy of the generalist (section 5.2).

    All weights are copied. The last layer keeps the rows of its set's classes
    and gets one for the dustbin: the tangent at zero features of the
    log-sum-exp of the rows that it replaces, which is the best linear stand-in
    that needs no data. Training does the rest: small learning rates leave the
    dustbin uncalibrated.

    The generalist is not changed, and shares nothing with its specialists.
    Layers that are frozen in it (`trainable=False`) are so in the specialist,
    but for the last one.

    Args:
      generalist: built functional or Sequential `keras.Model` that returns
        logits `[batch, classes]` from a last layer `keras.layers.Dense`.
      classes: ints, the set: at least one, each once, not all.
      full_softmax: if True, the last layer is copied as it is, with all
        classes (section 6.1): to be kept from overfitting by the generalist's
        soft targets.
      name: of the specialist.

    Returns:
      `Specialist`, not compiled, without a correction.

    Raises:
      ValueError: if the generalist is not built, is a subclass of
        `keras.Model`, is quantized, does not end in one `keras.layers.Dense`
        without activation, has a layer that its configuration does not make
        again, or the classes are not a set of some of its own.

    Example:
      >>> generalist = keras.Sequential(
      ...     [keras.Input((8,)), keras.layers.Dense(10)])
      >>> specialist = kdtf.specialists.specialist_of(generalist, [2, 7])
      >>> x = np.ones((1, 8))
      >>> both = specialist(x)[0, :2], generalist(x).numpy()[0, [2, 7]]
      >>> bool(np.allclose(*both))  # and the logit of the dustbin
      True
    """
    num_classes = _check_generalist(generalist)
    own = _checks.class_set("classes", classes, num_classes)
    _checks.flag("full_softmax", full_softmax)
    pending: _Pending = []

    def new_head(head: keras.layers.Dense) -> keras.layers.Dense:
        kernel, bias = _kernel_and_bias(head)
        if not full_softmax:
            kernel, bias = _with_dustbin(kernel, bias, own)
        changes = {"units": len(bias), "use_bias": True, "trainable": True}
        # They draw nothing that stays, and may be of all classes alone.
        initial = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
        config = {**head.get_config(), **changes, **initial, "lora_rank": None}
        new = keras.layers.Dense.from_config(config)
        pending.append(lambda: new.set_weights([kernel, bias]))
        return new

    net = _copy(generalist, new_head, pending)
    for copy_state in pending:
        copy_state()
    return Specialist(
        net,
        own,
        num_classes,
        full_softmax=full_softmax,
        generalist_digest=_models.digest_of(generalist),
        name=name,
    )


def _copy(
    model: keras.Model,
    new_head: Callable[[keras.layers.Dense], keras.layers.Dense],
    pending: _Pending,
) -> keras.Model:
    """A copy of a model with another head, which has no states yet.

    Args:
      model: functional or Sequential model.
      new_head: function from the last Dense to the layer in its place.
      pending: list to which functions are added that give the states.
    """
    head = _head(model)

    def copied(layer: Any) -> Any:
        if layer is head and isinstance(layer, keras.Model):
            return _copy(layer, new_head, pending)
        if layer is head:
            return new_head(layer)
        copy = _from_config(layer)
        if isinstance(layer, keras.Layer):
            pending.append(lambda: _copy_state(layer, copy))
        return copy

    # The same layers as a model that is not compiled: a clone would have to
    # find the loss, which may be any function, by its name.
    is_sequential = isinstance(model, keras.Sequential)
    inputs = model.inputs[0] if is_sequential else model.input
    same = keras.Model(inputs, model.outputs[0], name=model.name)
    return keras.models.clone_model(same, clone_function=copied)


def _from_config(layer: Any) -> Any:
    try:
        return type(layer).from_config(layer.get_config())
    except Exception as error:  # whatever a layer of the user's raises
        raise ValueError(
            "`generalist` must have layers that their `get_config` makes "
            "again; of another one build the specialist's net yourself and "
            "give it to kdtf.specialists.Specialist. "
            f"Received: the layer {layer.name!r}, which raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _copy_state(layer: keras.Layer, copy: keras.Layer) -> None:
    """Copies weights, what follows from them, and vocabularies."""
    for source, target in zip(
        keras_private.all_layers(layer),
        keras_private.all_layers(copy),
        strict=True,
    ):
        state: dict[str, Any] = {}
        source.save_own_variables(state)
        target.load_own_variables(state)
        if hasattr(source, "save_assets"):
            with tempfile.TemporaryDirectory() as directory:
                source.save_assets(directory)
                target.load_assets(directory)


def _head(model: keras.Model) -> Any:
    """The operation that makes a model's output, or None if it hides it."""
    for operation in keras_private.operations_from_the_end(model):
        # Such as one that casts the logits of a mixed-precision net, and what
        # `kdtf.logits_of` leaves of a softmax.
        linear = isinstance(operation, keras.layers.Activation) and (
            operation.activation is keras.activations.linear
        )
        passes = (keras.layers.Identity, keras.layers.InputLayer)
        if not linear and not isinstance(operation, passes):
            return operation
    return None


def _dense_head(model: keras.Model) -> keras.layers.Dense | None:
    """The Dense that a model ends in, also at the end of a nested model."""
    head = _head(model)
    if head is None or keras_private.uses_of(model, head) > 1:
        return None
    if isinstance(head, keras.Model):
        return _dense_head(head)
    is_dense = type(head) is keras.layers.Dense
    linear = is_dense and head.activation is keras.activations.linear
    return head if linear else None


def _kernel_and_bias(head: keras.layers.Dense) -> tuple[np.ndarray, np.ndarray]:
    kernel = keras.ops.convert_to_numpy(head.kernel)
    if head.bias is None:
        return kernel, np.zeros(kernel.shape[1], kernel.dtype)
    return kernel, keras.ops.convert_to_numpy(head.bias)


def _with_dustbin(
    kernel: np.ndarray, bias: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The columns of a set, and one for the log-sum-exp of the others.

    That of logits b + W h is convex in the features h; its tangent at h = 0 is
    logsumexp(b) + softmax(b) W h.
    """
    others = np.setdiff1d(np.arange(len(bias)), own)
    logits = bias[others].astype(np.float64)
    dustbin = np.log(np.exp(logits - logits.max()).sum()) + logits.max()
    column = kernel[:, others].astype(np.float64) @ np.exp(logits - dustbin)
    return (
        np.concatenate([kernel[:, own], column[:, None]], axis=1),
        np.append(bias[own], dustbin),
    )


def _check_generalist(generalist: Any) -> int:
    """The number of classes of a model of which a specialist can be made."""
    _checks.generalist(generalist)
    rule = None
    if _dense_head(generalist) is None:
        rule = (
            "be a functional or Sequential model whose last layer is one "
            "keras.layers.Dense, without activation; of another one build the "
            "specialist's net yourself and give it to "
            "kdtf.specialists.Specialist"
        )
    elif len(_models.output_shape(generalist)) != 2:
        rule = "return logits [batch, classes]"
    elif _is_quantized(generalist):
        rule = "be the model before it was quantized, which can be trained"
    if rule:
        raise ValueError(
            f"`generalist` must {rule}. Received: generalist={generalist!r}"
        )
    return int(_models.class_count(generalist))


def _is_quantized(model: keras.Model) -> bool:
    layers = keras_private.all_layers(model)
    return any(layer.quantization_mode is not None for layer in layers)

"""Specialists: nets that tell a few confusable classes apart."""

import hashlib
import math
import numbers
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf._math import heads, softmax
from kdtf._types import Tensor
from kdtf.specialists import _checks


@keras.saving.register_keras_serializable("kdtf")
class Specialist(keras.Model):
    """A net for the classes of a set, with one dustbin class for all others.

    Called, it returns the logits `[batch, classes of the set + 1]` of its net,
    the dustbin's last (paper, section 5.2). A net with the full softmax
    (section 6.1) returns those of all classes, `[batch, classes]`; its dustbin
    is the sum of the classes outside of the set.

    It is a `keras.Model` like any other: compile and fit it on what
    `training_set` yields, or make it the student of a `kdtf.Distiller`.

    Attributes:
      net: the `keras.Model` that gives the logits.
      classes: list of ints, the classes of the set in the order of the logits.
      num_classes: int, of the generalist.
      full_softmax: bool, whether the net has logits of all classes, without a
        dustbin.
      dustbin_correction: float, which `corrected_logits` adds to the dustbin's
        logit: of a net that was trained on over-sampled classes, what
        `kdtf.specialists.dustbin_correction` gives. Assign it at any time.
      generalist: str, a digest of the generalist's weights, by which a
        `SpecialistEnsemble` refuses another one's specialists; None for any.

    Example:
      >>> net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
      >>> specialist = kdtf.specialists.Specialist(
      ...     net, classes=[2, 7], num_classes=10)
      >>> specialist(np.ones((5, 8))).shape  # classes 2 and 7, and the others
      TensorShape([5, 3])
    """

    def __init__(
        self,
        net: keras.Model,
        classes: npt.ArrayLike,
        num_classes: int,
        *,
        full_softmax: bool = False,
        dustbin_correction: float = 0.0,
        generalist: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes a specialist of a net.

        Args:
          net: built `keras.Model` from the inputs of the generalist to logits
            `[batch, len(classes) + 1]`; with `full_softmax` to
            `[batch, num_classes]`.
          classes: ints, the classes of the set: at least one, each once, and
            not all.
          num_classes: int, of the generalist.
          full_softmax: bool, see above.
          dustbin_correction: finite float.
          generalist: str or None.
          **kwargs: `name` and the other arguments of `keras.Model`.

        Raises:
          ValueError: if `net` is not built or has another number of outputs, a
            class is unknown or repeated, the set is empty or has all classes,
            or the correction is not finite.
        """
        own = _checks.class_set(classes, num_classes)
        count = num_classes if full_softmax else len(own) + 1
        _check_net(net, count, full_softmax)
        # Without autocast, so that the net gets the input as it came.
        super().__init__(autocast=False, **kwargs)
        self.net = net
        self.classes = own.tolist()
        self.num_classes = int(num_classes)
        self.full_softmax = full_softmax
        self.dustbin_correction = dustbin_correction
        self.generalist = generalist
        self.built = True

    @property
    def dustbin_correction(self) -> float:
        """What is added to the dustbin's logit once the net is trained."""
        return self._dustbin_correction

    @dustbin_correction.setter
    def dustbin_correction(self, value: float) -> None:
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ValueError(
                "`dustbin_correction` must be a finite number. "
                f"Received: dustbin_correction={value!r}"
            )
        self._dustbin_correction = float(value)

    @property
    def input_model(self) -> keras.Model:
        """The model that tells what input it takes."""
        return self.net

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the logits."""
        return _models.output_shape(self.net)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Logits of the set's classes and the dustbin, or of all classes."""
        return self.net(inputs, training=training)

    def corrected_logits(self, inputs: Any) -> Tensor:
        """Logits `[batch, classes of the set + 1]` for the natural shares.

        The dustbin's, the last, is corrected; of a net with the full softmax it
        is the log-sum-exp of the classes outside of the set.

        Args:
          inputs: a batch of inputs.

        Returns:
          float32 tensor.
        """
        logits = softmax.at_least_float32(self.net(inputs, training=False))
        if self.full_softmax:
            others = np.setdiff1d(np.arange(self.num_classes), self.classes)
            dustbin = tf.reduce_logsumexp(
                tf.gather(logits, others, axis=-1), axis=-1, keepdims=True
            )
            own = tf.gather(logits, self.classes, axis=-1)
        else:
            own, dustbin = logits[..., :-1], logits[..., -1:]
        return tf.concat([own, dustbin + self.dustbin_correction], axis=-1)

    def get_config(self) -> dict:
        """The configuration, with that of the net."""
        return {
            "name": self.name,
            "net": keras.saving.serialize_keras_object(self.net),
            "classes": self.classes,
            "num_classes": self.num_classes,
            "full_softmax": self.full_softmax,
            "dustbin_correction": self.dustbin_correction,
            "generalist": self.generalist,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Specialist":
        """A specialist whose net is as it was configured."""
        net = keras.saving.deserialize_keras_object(config["net"])
        return cls(**{**config, "net": net})


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
        `keras.Model`, does not end in one `keras.layers.Dense` without
        activation, or the classes are not a set of some of its own.

    Example:
      >>> generalist = keras.Sequential(
      ...     [keras.Input((8,)), keras.layers.Dense(10)])
      >>> specialist = kdtf.specialists.specialist_of(generalist, [2, 7])
      >>> x = np.ones((1, 8))
      >>> bool(np.allclose(specialist(x)[0, :2], generalist(x).numpy()[0, [2, 7]]))
      True
    """
    num_classes = _check_generalist(generalist)
    own = _checks.class_set(classes, num_classes)
    weights: list[tuple[keras.Layer, list[np.ndarray]]] = []

    def new_head(head: keras.layers.Dense) -> keras.layers.Dense:
        config, (kernel, bias) = head.get_config(), _kernel_and_bias(head)
        if not full_softmax:
            kernel, bias = _with_dustbin(kernel, bias, own)
        new = keras.layers.Dense.from_config(
            {**config, "units": len(bias), "use_bias": True, "lora_rank": None}
        )
        weights.append((new, [kernel, bias]))
        return new

    net = _copy(generalist, weights, new_head)
    for layer, values in weights:
        layer.set_weights(values)
    return Specialist(
        net,
        own,
        num_classes,
        full_softmax=full_softmax,
        generalist=digest_of(generalist),
        name=name,
    )


def digest_of(generalist: keras.Model) -> str:
    """Twelve characters that tell the weights of one model from others."""
    digest = hashlib.sha256()
    _models.hash_weights(digest, generalist.weights)
    return digest.hexdigest()[:12]


def _copy(
    model: keras.Model,
    weights: list,
    new_head: Callable[[keras.layers.Dense], keras.layers.Dense],
) -> keras.Model:
    """A copy of a model with another head.

    Args:
      model: functional or Sequential model.
      weights: list, to which pairs of a copied layer and the weights that it
        must be given are added.
      new_head: function from the last Dense to the layer in its place.
    """
    head = _head(model)

    def copied(layer: keras.Layer) -> keras.Layer:
        if layer is head and isinstance(layer, keras.Model):
            return _copy(layer, weights, new_head)
        if layer is head:
            return new_head(layer)
        copy = type(layer).from_config(layer.get_config())
        weights.append((copy, layer.get_weights()))
        return copy

    return keras.models.clone_model(model, clone_function=copied)


def _head(model: keras.Model) -> Any:
    """The operation that makes a model's output, or None if it hides it."""
    for operation in keras_private.operations_from_the_end(model):
        # Such as one that casts the logits of a mixed-precision net.
        linear = isinstance(operation, keras.layers.Activation) and (
            operation.activation is keras.activations.linear
        )
        if not linear and not isinstance(operation, keras.layers.InputLayer):
            return operation
    return None


def _dense_head(model: keras.Model) -> keras.layers.Dense | None:
    """The Dense that a model ends in, also at the end of a nested model."""
    head = _head(model)
    if head is None or keras_private.uses_of(model, head) > 1:
        return None
    if isinstance(head, keras.Model):
        return _dense_head(head)
    return head if type(head) is keras.layers.Dense else None


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
    rule = None
    if not isinstance(generalist, keras.Model):
        rule = "be a keras.Model"
    elif not generalist.built:
        rule = "be built and trained"
    elif _dense_head(generalist) is None:
        rule = (
            "be a functional or Sequential model whose last layer is one "
            "keras.layers.Dense; of another one build the specialist's net "
            "yourself and give it to kdtf.specialists.Specialist"
        )
    if rule:
        raise ValueError(
            f"`generalist` must {rule}. Received: generalist={generalist!r}"
        )
    _models.check_logits(generalist, "generalist", heads.of("softmax"))
    return int(_dense_head(generalist).units)


def _check_net(net: Any, count: int, full_softmax: bool) -> None:
    if not isinstance(net, keras.Model) or not net.built:
        raise ValueError(
            f"`net` must be a built keras.Model. Received: net={net!r}"
        )
    _models.check_logits(net, "net", heads.of("softmax"))
    if _models.class_count(net) not in (count, None):
        what = "all classes" if full_softmax else "`classes` and the dustbin"
        raise ValueError(
            f"`net` must return {count} logits, of {what}. "
            f"Received: a net of {_models.class_count(net)}"
        )

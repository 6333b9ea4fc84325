"""Specialists: nets that tell a few confusable classes apart."""

import math
import numbers
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf import _models
from kdtf._math import heads, softmax
from kdtf._types import Tensor
from kdtf.specialists import _checks

_CORRECTION = "dustbin_correction"  # its name in files of weights


@keras.saving.register_keras_serializable("kdtf")
class Specialist(_models.MadeOfModels, keras.Model):
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
        `kdtf.specialists.dustbin_correction` gives. Assign it at any time;
        nothing is compiled again.
      generalist_digest: str, by which a `SpecialistEnsemble` tells whether it
        has the generalist that the specialist was made of; None if it may have
        any.

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
        generalist_digest: str | None = None,
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
          generalist_digest: str or None; `specialist_of` gives it.
          **kwargs: `name` and the other arguments of `keras.Model`.

        Raises:
          ValueError: if `net` is not built or has another number of outputs, a
            class is unknown or repeated, the set is empty or has all classes,
            the correction is not finite, or another argument is not as
            described.
        """
        _checks.integer("num_classes", num_classes, 2)
        own = _checks.class_set("classes", classes, num_classes)
        _checks.flag("full_softmax", full_softmax)
        count = int(num_classes) if full_softmax else len(own) + 1
        _check_net(net, count)
        _check_digest(generalist_digest)
        # Without autocast, so that the net gets the input as it came.
        super().__init__(autocast=False, **kwargs)
        self.net = net
        self.classes = own.tolist()
        self.num_classes = int(num_classes)
        self.full_softmax = bool(full_softmax)
        # A variable, so that programs which are traced already see another
        # value, but none of Keras: it is no weight that is trained.
        self._correction = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self.dustbin_correction = dustbin_correction
        self.generalist_digest = generalist_digest
        self._count = count
        self.built = True

    @property
    def dustbin_correction(self) -> float:
        """What is added to the dustbin's logit once the net is trained."""
        return float(self._correction)

    @dustbin_correction.setter
    def dustbin_correction(self, value: float) -> None:
        is_number = isinstance(value, numbers.Real)
        if not is_number or not math.isfinite(value):
            raise ValueError(
                "`dustbin_correction` must be a finite number. "
                f"Received: dustbin_correction={value!r}"
            )
        self._correction.assign(float(value))

    def save_own_variables(self, store: Any) -> None:
        """Has the correction in files of weights."""
        store[_CORRECTION] = np.float64(self.dustbin_correction)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` wrote, if the file is not older."""
        if _CORRECTION in set(store.keys()):  # a store has no `in`
            self.dustbin_correction = float(np.asarray(store[_CORRECTION]))

    @property
    def input_model(self) -> keras.Model:
        """The model that tells what input it takes."""
        return self.net

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the logits."""
        return None, self._count

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Logits of the set's classes and the dustbin, or of all classes."""
        return self._checked(self.net(inputs, training=training))

    def corrected_logits(self, inputs: Any) -> Tensor:
        """Logits `[batch, classes of the set + 1]` for the natural shares.

        The dustbin's, the last, is corrected; of a net with the full softmax it
        is the log-sum-exp of the classes outside of the set.

        Args:
          inputs: a batch of inputs.

        Returns:
          float32 tensor; float64 of a net in float64.
        """
        logits = softmax.at_least_float32(
            self._checked(self.net(inputs, training=False))
        )
        if self.full_softmax:
            others = np.setdiff1d(np.arange(self.num_classes), self.classes)
            dustbin = tf.reduce_logsumexp(
                tf.gather(logits, others, axis=-1), axis=-1, keepdims=True
            )
            own = tf.gather(logits, self.classes, axis=-1)
        else:
            own, dustbin = logits[..., :-1], logits[..., -1:]
        correction = tf.cast(self._correction, logits.dtype)
        return tf.concat([own, dustbin + correction], axis=-1)

    def labels_of(self, labels: npt.ArrayLike) -> np.ndarray:
        """The specialist's labels of the generalist's.

        Args:
          labels: integers of any shape, classes of the generalist.

        Returns:
          int64 array of that shape, positions in `corrected_logits`: those in
          `classes`, and `len(classes)`, the dustbin's, for all other classes.

        Raises:
          ValueError: if they are no classes of the generalist.
        """
        found = np.asarray(labels)
        good = found.dtype.kind in "iu"
        if not good or (found < 0).any() or (found >= self.num_classes).any():
            raise ValueError(
                f"`labels` must be integers from 0 to {self.num_classes - 1}. "
                f"Received: labels={labels!r}"
            )
        places = np.full(self.num_classes, len(self.classes))
        places[self.classes] = np.arange(len(self.classes))
        return places[found]

    def _checked(self, logits: Tensor) -> Tensor:
        """The logits, if they are as many as they must be.

        A subclass of `keras.Model` tells how many it returns only when called.
        """
        if not logits.shape.is_compatible_with((None, self._count)):
            raise _wrong_output(self.net, logits.shape, self._count)
        return logits

    def get_config(self) -> dict:
        """The configuration, with that of the net."""
        return {
            "name": self.name,
            "net": keras.saving.serialize_keras_object(self.net),
            "classes": self.classes,
            "num_classes": self.num_classes,
            "full_softmax": self.full_softmax,
            "dustbin_correction": self.dustbin_correction,
            "generalist_digest": self.generalist_digest,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Specialist":
        """A specialist whose net is as it was configured."""
        net = keras.saving.deserialize_keras_object(config["net"])
        return cls(**{**config, "net": net})


def _check_net(net: Any, count: int) -> None:
    if not isinstance(net, keras.Model) or not net.built:
        raise ValueError(
            f"`net` must be a built keras.Model. Received: net={net!r}"
        )
    _models.check_logits(net, "net", heads.of("softmax"))
    shape = _models.output_shape(net)
    if shape is not None and (len(shape) != 2 or shape[1] != count):
        raise _wrong_output(net, shape, count)


def _wrong_output(net: keras.Model, shape: Any, count: int) -> ValueError:
    return ValueError(
        f"`net` must return logits [batch, {count}]: one for each of `classes` "
        "and one for the dustbin, or, with full_softmax=True, one for each of "
        "the `num_classes`. "
        f"Received: {net.name!r}, whose outputs have the shape {tuple(shape)}"
    )


def _check_digest(digest: Any) -> None:
    if digest is not None and not isinstance(digest, str):
        raise ValueError(
            "`generalist_digest` must be a string or None. "
            f"Received: generalist_digest={digest!r}"
        )

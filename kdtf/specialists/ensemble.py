"""SpecialistEnsemble: a generalist and its specialists as one model."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kdtf import _models
from kdtf._math import softmax
from kdtf._types import Tensor
from kdtf.specialists import _checks
from kdtf.specialists.combination import combine
from kdtf.specialists.nets import Specialist
from kdtf.specialists.sets import ClassSets


@keras.saving.register_keras_serializable("kdtf")
class SpecialistEnsemble(_models.MadeOfModels, keras.Model):
    """A generalist whose specialists are asked case by case (section 5.3).

    The generalist's `top` most probable classes choose the specialists: those
    whose sets have one of them are active. The answer is the distribution q
    over all classes that minimises KL(p_g, q) + sum of KL(p_m, q) over the
    active specialists m, where q's mass outside of m's set is summed into its
    dustbin. Where no specialist is active, it is the generalist's.

    Called, it gives logits `[batch, classes]`: the generalist's own where no
    specialist is active, and log q elsewhere. So it takes every place of a
    model that returns logits: a teacher of `kdtf.Distiller` or
    `kdtf.SoftTargets` (distilled back into one net, section 8), of metrics, of
    `kdtf.export_student`. All nets run in inference mode, and no gradient
    flows: they are trained apart.

    A prediction costs the generalist and the specialists that it calls for the
    case: each of them runs once a batch, on the cases that call it. In a
    program that XLA compiles whole, shapes must not depend on the data: with
    `static_shapes=True` all specialists run on all cases.

    Attributes:
      generalist: the `keras.Model`.
      specialists: list of `Specialist`s.
      top: int.
      static_shapes: bool.

    Example:
      >>> generalist = keras.Sequential(
      ...     [keras.Input((8,)), keras.layers.Dense(10)])
      >>> ensemble = kdtf.specialists.SpecialistEnsemble(generalist, [
      ...     kdtf.specialists.specialist_of(generalist, classes)
      ...     for classes in ([0, 1, 2], [2, 3])])
      >>> ensemble(np.ones((5, 8))).shape
      TensorShape([5, 10])
    """

    def __init__(
        self,
        generalist: keras.Model,
        specialists: Sequence[Specialist],
        *,
        top: int = 1,
        static_shapes: bool = False,
        **kwargs: Any,
    ) -> None:
        """Combines nets that are trained.

        Args:
          generalist: built `keras.Model` that returns logits
            `[batch, classes]`.
          specialists: non-empty list of `Specialist`s for as many classes, from
            the same inputs.
          top: int, from 1 to the number of classes: how many of the
            generalist's most probable classes call specialists.
          static_shapes: whether all specialists run on all cases, for
            programs that XLA compiles whole.
          **kwargs: `name` and the other arguments of `keras.Model`.

        Raises:
          ValueError: if the generalist is not built or shows that it returns
            no logits `[batch, classes]`, there is no specialist, one is no
            `Specialist`, is of another generalist, number of classes or other
            inputs, or shares variables with another net, or `top` is out of
            range.
        """
        num_classes = _check_generalist(generalist)
        _check_specialists(specialists, generalist, num_classes)
        _checks.flag("static_shapes", static_shapes)
        sets = ClassSets([s.classes for s in specialists], num_classes, top=top)
        # Without autocast, so that every net gets the input as it came.
        super().__init__(autocast=False, **kwargs)
        self.generalist = generalist
        self.specialists = list(specialists)
        self.top = sets.top
        self.static_shapes = bool(static_shapes)
        # Keras compiles `predict` with XLA where it can.
        self.supports_jit = self.static_shapes
        self._sets = sets
        self.built = True

    @property
    def output_shape(self) -> tuple[int | None, int]:
        """The shape of the logits."""
        return None, self._sets.num_classes

    @property
    def input_model(self) -> keras.Model:
        """The model that tells what input all take."""
        return self.generalist

    @property
    def combination(self) -> str:
        """What the logits depend on beside the nets' weights."""
        sets = [
            (s.classes, s.full_softmax, s.dustbin_correction)
            for s in self.specialists
        ]
        return f"top {self.top} {sets}"

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Logits `[batch, classes]`, float32."""
        del training  # what is combined is trained
        logits = tf.stop_gradient(
            softmax.at_least_float32(self.generalist(inputs, training=False))
        )
        active = self._sets.active(logits)
        if self.static_shapes:
            of_specialists = self._of_all(inputs, active, logits.dtype)
        else:
            active = _trimmed(active)
            of_specialists = self._of_active(inputs, active, logits.dtype)
        combined = combine(logits, of_specialists, active, self._sets)
        is_any = tf.reduce_any(active >= 0, axis=-1, keepdims=True)
        return tf.where(is_any, combined, logits)

    def active_specialists(self, inputs: Any) -> Tensor:
        """The specialists that the generalist calls.

        Args:
          inputs: a batch of inputs.

        Returns:
          `[batch, most that a case can call]` int32, positions in
          `specialists`, then -1.
        """
        return self._sets.active(self.generalist(inputs, training=False))

    def _of_all(self, inputs: Any, active: Tensor, dtype: tf.DType) -> Tensor:
        """As `_of_active`, of shapes that do not depend on the data."""
        everyone = tf.stack(
            [self._logits(s, inputs, dtype) for s in self.specialists], axis=1
        )
        return tf.gather(everyone, tf.maximum(active, 0), axis=1, batch_dims=1)

    def _of_active(
        self, inputs: Any, active: Tensor, dtype: tf.DType
    ) -> Tensor:
        """Logits `[batch, A, S + 1]` of the active specialists, 0 for none."""
        size = self._sets.largest + 1
        where, logits = [], []
        for i, specialist in enumerate(self.specialists):
            places = tf.where(active == i)  # case and slot
            where.append(places)
            # Nets with a Flatten or Reshape cannot take a batch of no cases.
            logits.append(
                tf.cond(
                    tf.shape(places)[0] > 0,
                    functools.partial(
                        self._logits, specialist, inputs, dtype, places[:, 0]
                    ),
                    lambda: tf.zeros([0, size], dtype),
                )
            )
        shape = tf.concat([tf.shape(active, tf.int64), [size]], axis=0)
        scattered = tf.scatter_nd(
            tf.concat(where, axis=0), tf.concat(logits, axis=0), shape
        )
        return tf.ensure_shape(scattered, [None, active.shape[1], size])

    def _logits(
        self,
        specialist: Specialist,
        inputs: Any,
        dtype: tf.DType,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Logits `[rows, S + 1]`, the dustbin's last, of some rows or all."""
        if rows is not None:
            inputs = tf.nest.map_structure(lambda x: tf.gather(x, rows), inputs)
        logits = tf.cast(specialist.corrected_logits(inputs), dtype)
        missing = self._sets.largest + 1 - logits.shape[-1]
        own = tf.pad(logits[:, :-1], [[0, 0], [0, missing]])
        return tf.concat([own, logits[:, -1:]], axis=-1)

    def get_config(self) -> dict:
        """The configuration, with those of the nets."""
        return {
            "name": self.name,
            "generalist": keras.saving.serialize_keras_object(self.generalist),
            "specialists": [
                keras.saving.serialize_keras_object(s) for s in self.specialists
            ],
            "top": self.top,
            "static_shapes": self.static_shapes,
        }

    @classmethod
    def from_config(cls, config: dict) -> "SpecialistEnsemble":
        """An ensemble of nets as they were configured."""
        load = keras.saving.deserialize_keras_object
        generalist = load(config["generalist"])
        specialists = [load(each) for each in config["specialists"]]
        digests = [each.generalist_digest for each in specialists]
        for each in specialists:  # the weights that it tells come later
            each.generalist_digest = None
        nets = {"generalist": generalist, "specialists": specialists}
        ensemble = cls(**{**config, **nets})
        for each, digest in zip(specialists, digests, strict=True):
            each.generalist_digest = digest
        return ensemble


def _trimmed(active: Tensor) -> Tensor:
    """As few slots as the case with the most specialists needs, at least 1."""
    most = tf.reduce_max(tf.reduce_sum(tf.cast(active >= 0, tf.int32), axis=1))
    return active[:, : tf.maximum(most, 1)]


def _check_generalist(generalist: Any) -> int:
    """The number of classes of a generalist."""
    _checks.generalist(generalist)
    shape = _models.output_shape(generalist)
    if not isinstance(shape, tuple) or len(shape) != 2 or not shape[1]:
        raise ValueError(
            "`generalist` must return logits [batch, classes]; a subclass of "
            "keras.Model shows it when it is wrapped: keras.Model(inputs, "
            f"model(inputs)). Received: {generalist.name!r}, whose outputs "
            f"have the shape {shape}"
        )
    return int(shape[1])


def _check_specialists(
    specialists: Any, generalist: keras.Model, num_classes: int
) -> None:
    is_list = isinstance(specialists, Sequence) and len(specialists) > 0
    if not is_list or not all(isinstance(s, Specialist) for s in specialists):
        raise ValueError(
            "`specialists` must be a non-empty list of "
            "kdtf.specialists.Specialist, such as specialist_of makes. "
            f"Received: specialists={specialists!r}"
        )
    digest = _models.digest_of(generalist)
    seen = {id(variable) for variable in generalist.variables}
    for i, specialist in enumerate(specialists):
        if specialist.num_classes != num_classes:
            raise ValueError(
                f"`specialists[{i}]` must be of the generalist's {num_classes} "
                f"classes. Received: one of {specialist.num_classes}"
            )
        _require_same_inputs(specialist, i, generalist)
        _require_same_generalist(specialist, i, digest)
        own = {id(variable) for variable in specialist.variables}
        if own & seen:
            raise ValueError(
                f"`specialists[{i}]` must share no variable with the "
                "generalist or another specialist, and be there once: Keras "
                "could not load what it had saved. Give it layers of its own, "
                "as specialist_of does. "
                f"Received: {specialist.name!r}, which shares {len(own & seen)}"
            )
        seen |= own


def _require_same_inputs(
    specialist: Specialist, index: int, generalist: keras.Model
) -> None:
    ours, theirs = (
        getattr(m, "input_shape", None) for m in (generalist, specialist.net)
    )
    if None not in (ours, theirs) and ours != theirs:
        raise ValueError(
            f"`specialists[{index}]` must take the generalist's inputs, of the "
            f"shape {ours}. Received: one that takes {theirs}"
        )


def _require_same_generalist(
    specialist: Specialist, index: int, digest: str
) -> None:
    if specialist.generalist_digest not in (None, digest):
        raise ValueError(
            f"`specialists[{index}]` must be of this generalist: it was made "
            "of another one, or of this one before it was trained on. If that "
            "is meant, set specialist.generalist_digest = None. Received: a "
            f"specialist of the generalist {specialist.generalist_digest} with "
            f"the generalist {digest}"
        )

"""Ensemble: several teachers as one."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kdtf import _models
from kdtf._math import heads, softmax
from kdtf._types import Scalar, Tensor, TensorLike

_COMBINATIONS = ("arithmetic", "geometric")


@keras.saving.register_keras_serializable("kdtf")
class Ensemble(_models.MadeOfModels, keras.Model):
    """Several models as one teacher: the mean of their distributions.

    The paper (section 2) takes the arithmetic or the geometric mean of the
    members' distributions as soft targets. The arithmetic mean is that of
    their *tempered* probabilities, so it depends on the temperature; the
    geometric mean is the mean of the logits, which does not.

    Called, an ensemble gives float32 logits `[..., classes]` whose softmax (or
    sigmoid, with `head="sigmoid"`) is the members' combined distribution at
    T = 1. Members run in inference mode,
    each on the input as it came, and may differ in architecture and dtype.

    Attributes:
      members: list of the models.
      combine: "arithmetic" or "geometric".
      head: "softmax" or "sigmoid".
      weights_of_members: list of floats that sum to 1.

    Example:
      >>> first, second = (
      ...     keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
      ...     for _ in range(2)
      ... )
      >>> teacher = kdtf.Ensemble([first, second], combine="arithmetic")
      >>> u = teacher.tempered_logits(np.ones((5, 2)), temperature=4.0)
      >>> tf.nn.softmax(u / 4.0).shape  # the soft targets at T = 4
      TensorShape([5, 3])
    """

    def __init__(
        self,
        members: Sequence[keras.Model],
        *,
        combine: str = "arithmetic",
        weights: Sequence[float] | None = None,
        head: str = "softmax",
        **kwargs: Any,
    ) -> None:
        """Builds an ensemble.

        Args:
          members: non-empty list of `keras.Model`s that return logits
            `[..., classes]` with the same number of classes.
          combine: "arithmetic" or "geometric".
          weights: one positive float per member, normalised to the sum 1; None
            for equal weights.
          head: "softmax", or "sigmoid" for members whose labels do not exclude
            each other; see `kdtf.losses`.
          **kwargs: `name` and the other arguments of `keras.Model`.

        Raises:
          ValueError: if there is no member or one is no `keras.Model`, their
            numbers of classes differ or are 1, one shows that it returns
            probabilities, `combine` or `head` is neither name, or the weights
            are not one positive finite number per member.
        """
        _check_members(members, heads.of(head))
        members = list(members)
        if combine not in _COMBINATIONS:
            raise ValueError(
                f"`combine` must be one of {_COMBINATIONS}. "
                f"Received: combine={combine!r}"
            )
        # Without autocast, so that a float32 member of a mixed-precision
        # ensemble gets the input that the caller gave.
        super().__init__(autocast=False, **kwargs)
        self._given_weights = None if weights is None else list(weights)
        self.combine = combine
        self.head = head
        self.weights_of_members = _normalise(weights, len(members))
        self.members = members
        self.built = all(member.built for member in members)

    @property
    def input_model(self) -> keras.Model:
        """The member that tells what input they all take."""
        return self.members[0]

    @property
    def combination(self) -> str:
        """What the logits depend on beside the members' weights."""
        return f"{self.combine} {self.weights_of_members}"

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Logits `[..., classes]` of the combined distribution at T = 1."""
        del training  # teachers never train
        return self.tempered_logits(inputs, 1.0)

    def tempered_logits(self, x: Any, temperature: Scalar) -> Tensor:
        """u with softmax(u / T) equal to the combined distribution at T.

        Args:
          x: a batch of inputs.
          temperature: scalar T > 0; a Python float, tensor or variable.

        Returns:
          `[..., classes]` float32.
        """
        return self.combine_logits(self.member_logits(x), temperature)

    def member_logits(self, x: Any) -> list[Tensor]:
        """The members' outputs: list of `[..., classes]`, in their dtypes."""
        return [_models.call(m, x, training=False) for m in self.members]

    def combine_logits(
        self, member_logits: Sequence[TensorLike], temperature: Scalar
    ) -> Tensor:
        """`tempered_logits` of members whose outputs are there already.

        Args:
          member_logits: list of `[..., classes]`, as from `member_logits`.
          temperature: scalar T > 0; a Python float, tensor or variable.

        Returns:
          `[..., classes]` float32.
        """
        logits = [softmax.at_least_float32(z) for z in member_logits]
        if self.combine == "geometric":
            weighted = zip(self.weights_of_members, logits, strict=True)
            return tf.add_n([weight * z for weight, z in weighted])
        return heads.of(self.head).mean_of_members(
            logits,
            self.weights_of_members,
            tf.cast(temperature, logits[0].dtype),
        )

    def get_config(self) -> dict:
        """The configuration, with those of the members."""
        return {
            "name": self.name,
            "members": [
                keras.saving.serialize_keras_object(m) for m in self.members
            ],
            "combine": self.combine,
            "weights": self._given_weights,
            "head": self.head,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Ensemble":
        """An ensemble of members as they were configured."""
        config = dict(config)
        config["members"] = [
            keras.saving.deserialize_keras_object(m) for m in config["members"]
        ]
        return cls(**config)


def _check_members(members: Any, head: Any) -> None:
    is_list = isinstance(members, Sequence) and len(members) > 0
    if not is_list or not all(isinstance(m, keras.Model) for m in members):
        raise ValueError(
            "`members` must be a non-empty list of keras.Model. "
            f"Received: {members!r}"
        )
    counts = {_models.class_count(m) for m in members} - {None}
    if len(counts) > 1:
        raise ValueError(
            "`members` must have the same number of classes. "
            f"Received: members of {sorted(counts)} classes"
        )
    for i, member in enumerate(members):
        _models.check_logits(member, f"members[{i}]", head)


def _normalise(weights: Sequence[float] | None, count: int) -> list[float]:
    """`count` positive floats that sum to 1."""
    weights = [1.0] * count if weights is None else list(weights)
    good = len(weights) == count and all(
        isinstance(w, numbers.Real) and math.isfinite(w) and w > 0
        for w in weights
    )
    if not good:
        raise ValueError(
            f"`weights` must be {count} positive finite numbers, one per "
            "member. "
            f"Received: weights={weights}"
        )
    return [float(w) / math.fsum(weights) for w in weights]

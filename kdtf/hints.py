"""Hints: hidden features of the teacher that a student learns to match.

Reference: Romero, Ballas, Kahou, Chassang, Gatta, Bengio, *FitNets: Hints for
Thin Deep Nets*, arXiv 1412.6550, section 2.2.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any

import keras

from kdtf import _keras_private as keras_private
from kdtf._types import Tensor, TensorLike

RowLosses = Callable[[TensorLike, TensorLike], Tensor]

# Their metrics would have the names of a Distiller's own.
_TAKEN = ("soft", "hard")


@keras.saving.register_keras_serializable("kdtf")
@dataclasses.dataclass(frozen=True, init=False)
class Hint:
    """What a layer of the student is to learn from a layer of the teacher.

    Of every batch the outputs of the two layers, `[batch, ..., width]`, are
    compared in the one forward pass that student and teacher make anyway. The
    loss of a hint is added to that of the logits, times the hint's weight. It
    is

    - one value an example, the mean over all rows of its features: the steps,
      or the places of an image (those steps alone that the Keras mask of the
      student's feature leaves);
    - or one value an entry, where the rows of the features are the entries of
      the logits: features `[batch, time, width]` and logits
      `[batch, time, classes]`.

    Sample weights, class weights and the mask of the logits count as they do
    for all other losses. Nothing of a hint is part of the student that is
    exported: the projection belongs to the Distiller, which trains and saves
    it.

    A hint describes, and is never changed: it may be given to several
    Distillers, unless it has a projection layer of your own.

    Attributes:
      student: str, the path of the student's layer.
      teacher: str, the path of the teacher's layer.
      loss: as it was given.
      weight: float, the weight at the beginning.
      projection: as it was given.
      name: str; the loss is reported as `{name}_loss`.
      teacher_shape: tuple, the shape of the teacher's feature without the
        batch; None until a Distiller has seen the teacher.

    Example:
      >>> hint = kdtf.Hint("block_2", "backbone/block_4", weight=0.5)
      >>> hint.name
      'block_2_hint'
    """

    student: str
    teacher: str
    loss: Any
    weight: float
    projection: Any
    name: str
    teacher_shape: tuple[int | None, ...] | None

    def __init__(
        self,
        student: Any,
        teacher: Any,
        *,
        loss: str | keras.losses.Loss | RowLosses = "mse",
        weight: float = 1.0,
        projection: str | keras.Layer | None = "auto",
        name: str | None = None,
    ) -> None:
        """Describes a hint.

        Args:
          student: which layer of the student: its name; or, within models and
            layers that hold it, the names that lead to it, as in
            "backbone/block_3", or the last of these names that are enough to
            tell; or the `keras.KerasTensor` that it gives in a functional
            model. Operations of `keras.ops` in a functional model count as
            layers.
          teacher: likewise, of the teacher; within a `kdtf.Ensemble`,
            "member/layer".
          loss: the name of a Keras loss, such as "mse", "huber" or
            "cosine_similarity" (-1 at best, and reported so); a
            `keras.losses.Loss`, whose reduction is not used; or a function of
            (teacher's, student's) features `[batch, ..., width]`, both
            float32, that returns a loss for every row, `[batch, ...]`.
          weight: Python float >= 0, by which the loss is multiplied.
          projection: "auto" for a linear map (a dense layer without an
            activation; on images a convolution of 1 x 1) from the student's
            width to the teacher's where they differ, and nothing where they
            agree; None for nothing; or a `keras.Layer` of its own for this
            hint, from the student's feature to the shape of the teacher's. The
            map has a bias: the features of a teacher, often outputs of a ReLU,
            are far from 0 in the mean, and the student need not learn where.
          name: str without "/"; None for the name of the student's layer and
            "_hint".

        Raises:
          ValueError: if a layer is neither named nor such a tensor, the loss
            is none of these, the weight is negative or not finite, or the
            projection or the name is of another kind.
        """
        paths = {
            "student": _path("student", student),
            "teacher": _path("teacher", teacher),
        }
        if name is None:
            name = paths["student"].rpartition("/")[2] + "_hint"
        _check_name(name)
        check_weight("weight", weight)
        _check_projection(projection)
        row_losses(loss)
        self._set(
            **paths,
            loss=loss,
            weight=float(weight),
            projection=projection,
            name=name,
            teacher_shape=None,
        )

    def get_config(self) -> dict:
        """The configuration, from which Keras builds the hint again."""
        config = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
        }
        for part in ("loss", "projection"):
            if not isinstance(config[part], str | None):
                found = keras.saving.serialize_keras_object(config[part])
                config[part] = found
        if isinstance(self.loss, keras.losses.Loss):
            lost = keras_private.arguments_of_loss(self.loss)
            config["loss"]["config"] = {**lost, **config["loss"]["config"]}
        return config

    @classmethod
    def from_config(cls, config: dict) -> "Hint":
        """A hint as it was configured."""
        config = dict(config)
        shape = config.pop("teacher_shape")
        for part in ("loss", "projection"):
            if isinstance(config[part], dict):
                found = keras.saving.deserialize_keras_object(config[part])
                config[part] = found
        return cls(**config).with_teacher_shape(shape)

    def with_teacher_shape(self, shape: Any) -> "Hint":
        """The same hint, which knows the shape of the teacher's feature.

        Args:
          shape: ints, or None where a size is not fixed, without the batch; or
            None.

        Returns:
          `Hint`.
        """
        hint = object.__new__(type(self))
        hint._set(**vars(self))
        hint._set(teacher_shape=None if shape is None else tuple(shape))
        return hint

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def row_losses(loss: Any) -> RowLosses:
    """The function (y_true, y_pred) -> losses `[batch, ...]` of a hint's loss.

    Raises:
      ValueError: if the loss is none.
    """
    found = loss
    if isinstance(loss, str):
        try:
            found = keras.losses.get(loss)
        except ValueError:
            found = None
    if isinstance(found, keras.losses.Loss):
        return found.call
    if isinstance(found, type) or not callable(found):
        raise ValueError(
            "`loss` must be the name of a Keras loss, such as "
            '"mse", "cosine_similarity" or "huber", a keras.losses.Loss, or a '
            "function (y_true, y_pred) -> losses [batch, ...]. "
            f"Received: loss={loss!r}"
        )
    return found


def check_weight(name: str, weight: Any) -> None:
    """Raises ValueError unless a weight is a finite number from 0."""
    is_number = isinstance(weight, numbers.Real)
    if isinstance(weight, bool) or not (
        is_number and math.isfinite(weight) and weight >= 0
    ):
        raise ValueError(
            f"`{name}` must be one number, finite and not negative. "
            f"Received: {name}={weight!r}"
        )


def _path(argument: str, given: Any) -> str:
    path = given
    if isinstance(given, keras.KerasTensor):
        path = getattr(keras_private.maker_of(given), "name", None)
    if not (isinstance(path, str) and all(path.split("/"))):
        raise ValueError(
            f"`{argument}` must be the name of a layer, the names that lead to "
            'it within nested models, as in "backbone/block_3", or the '
            "keras.KerasTensor that it gives in a functional model. "
            f"Received: {argument}={given!r}"
        )
    return path


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or "/" in name or name in _TAKEN:
        raise ValueError(
            '`name` must be a string without "/", and neither "soft" nor '
            '"hard", whose losses a Distiller reports itself. '
            f"Received: name={name!r}"
        )


def _check_projection(projection: Any) -> None:
    if projection is None or isinstance(projection, keras.Layer):
        return
    if not (isinstance(projection, str) and projection == "auto"):
        raise ValueError(
            '`projection` must be "auto", None or a keras.Layer. '
            f"Received: projection={projection!r}"
        )

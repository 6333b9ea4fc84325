"""What is refused of generalists, integers, flags and sets of classes."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from kdtf import _models
from kdtf._math import heads


def integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raises a ValueError unless `value` is an int from `least` to `most`."""
    good = (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and int(value) >= least
        and (most is None or int(value) <= most)
    )
    if not good:
        limit = "" if most is None else f" and at most {most}"
        raise ValueError(
            f"`{name}` must be an integer of at least {least}{limit}. "
            f"Received: {name}={value!r}"
        )


def flag(name: str, value: Any) -> None:
    """Raises a ValueError unless `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(
            f"`{name}` must be True or False. Received: {name}={value!r}"
        )


def generalist(value: Any) -> None:
    """Raises a ValueError unless `value` is a built `keras.Model` of logits."""
    if not isinstance(value, keras.Model) or not value.built:
        raise ValueError(
            "`generalist` must be a keras.Model that is built and trained. "
            f"Received: generalist={value!r}"
        )
    _models.check_logits(value, "generalist", heads.of("softmax"))


def class_set(
    name: str, classes: npt.ArrayLike, num_classes: int
) -> np.ndarray:
    """The classes of a set as an int64 array, in the order that they came.

    Raises:
      ValueError: if it is no set of some, but not all, of the classes.
    """
    try:
        found = np.asarray(classes)
    except ValueError:  # lists of different lengths
        found = np.empty(0)
    rule = None
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iu":
        rule = "be a list of one or more integers"
    elif found.min() < 0 or found.max() >= num_classes:
        rule = f"hold classes from 0 to {num_classes - 1}"
    elif len(np.unique(found)) < len(found):
        rule = "name each class once"
    elif len(found) == num_classes:
        rule = f"leave out some of the {num_classes} classes, for the dustbin"
    if rule:
        raise ValueError(f"`{name}` must {rule}. Received: {name}={classes!r}")
    return found.astype(np.int64)


def class_sets(
    name: str, sets: Sequence[npt.ArrayLike], num_classes: int
) -> list[np.ndarray]:
    """Each set of a list as by `class_set`.

    Raises:
      ValueError: if it is no list of one or more such sets.
    """
    is_list = isinstance(sets, Sequence | np.ndarray)
    if not is_list or isinstance(sets, str) or not len(sets):
        raise ValueError(
            f"`{name}` must be a list with the classes of each set, one set or "
            f"more. Received: {name}={sets!r}"
        )
    return [
        class_set(f"{name}[{i}]", each, num_classes)
        for i, each in enumerate(sets)
    ]

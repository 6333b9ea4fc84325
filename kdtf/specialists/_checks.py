"""What is refused of sets of classes."""

from typing import Any

import numpy as np
import numpy.typing as npt


def class_set(
    classes: npt.ArrayLike, num_classes: Any, name: str = "classes"
) -> np.ndarray:
    """The classes of a set as an int64 array, in the order that they came.

    Raises:
      ValueError: if it is no set of some, but not all, of the classes.
    """
    found = np.asarray(classes)
    rule = None
    if found.ndim != 1 or not found.size or found.dtype.kind not in "iu":
        rule = "be a list of integers, at least one"
    elif found.min() < 0 or found.max() >= num_classes:
        rule = f"be classes from 0 to {num_classes - 1}"
    elif len(np.unique(found)) < len(found):
        rule = "name each class once"
    elif len(found) >= num_classes:
        rule = "leave a class for the dustbin"
    if rule:
        raise ValueError(f"`{name}` must {rule}. Received: {classes!r}")
    return found.astype(np.int64)

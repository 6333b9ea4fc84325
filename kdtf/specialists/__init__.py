"""A generalist with specialists for confusable classes (paper, section 5)."""

from kdtf.specialists.nets import Specialist, specialist_of

__all__ = ["Specialist", "specialist_of"]
"""Specialists for confusable classes beside a generalist."""

from kdtf.specialists.stored_examples import read_examples, write_examples
from kdtf.specialists.training_sets import (
    dustbin_correction,
    fitted_dustbin_shift,
    training_set,
)

__all__ = [
    "dustbin_correction",
    "fitted_dustbin_shift",
    "read_examples",
    "training_set",
    "write_examples",
]
"""Specialists for confusable classes, beside a generalist (section 5)."""
"""Specialists: nets for confusable classes beside a generalist."""

from kdtf.specialists.combination import combine
from kdtf.specialists.sets import ClassSets

__all__ = ["ClassSets", "combine"]

"""A generalist with specialists for confusable classes (paper, section 5)."""

from kdtf.specialists.clusters import confusable_classes, covered_confusion
from kdtf.specialists.combination import combine
from kdtf.specialists.copies import specialist_of
from kdtf.specialists.ensemble import SpecialistEnsemble
from kdtf.specialists.nets import Specialist
from kdtf.specialists.sets import ClassSets
from kdtf.specialists.stored_examples import read_examples, write_examples
from kdtf.specialists.training_sets import (
    dustbin_correction,
    fitted_dustbin_shift,
    training_set,
)

__all__ = [
    "ClassSets",
    "Specialist",
    "SpecialistEnsemble",
    "combine",
    "confusable_classes",
    "covered_confusion",
    "dustbin_correction",
    "fitted_dustbin_shift",
    "read_examples",
    "specialist_of",
    "training_set",
    "write_examples",
]

"""A generalist with specialists for confusable classes (paper, section 5)."""

from kdtf.specialists.nets import Specialist, specialist_of

__all__ = ["Specialist", "specialist_of"]

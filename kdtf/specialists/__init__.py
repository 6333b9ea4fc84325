"""Specialists: nets for confusable classes beside a generalist."""

from kdtf.specialists.combination import combine
from kdtf.specialists.sets import ClassSets

__all__ = ["ClassSets", "combine"]

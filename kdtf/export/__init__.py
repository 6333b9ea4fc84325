"""The student alone, in the forms that servers and devices run."""

from kdtf.export.student import export_student

__all__ = ["export_student"]

"""The student alone, in the forms that servers and devices run."""

from kdtf.export.litert import LiteRTReport, export_litert
from kdtf.export.student import export_student

__all__ = ["LiteRTReport", "export_litert", "export_student"]

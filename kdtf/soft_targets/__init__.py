"""The store of soft targets: a teacher's outputs on disk."""

from kdtf.soft_targets.store import SoftTargets

__all__ = ["SoftTargets"]

"""Specialists for confusable classes beside a generalist."""

from kdtf.specialists.training_sets import (
    dustbin_correction,
    fitted_dustbin_shift,
    training_set,
)

__all__ = ["dustbin_correction", "fitted_dustbin_shift", "training_set"]

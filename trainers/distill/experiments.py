"""The sections of the page, by name."""

from trainers.core import sections
from trainers.distill import (
    calibration,
    choice,
    classes,
    comparison,
    costs,
    differences,
)

EXPERIMENTS = {
    "comparison": sections.of_module(comparison),
    "classes": sections.of_module(classes),
    "calibration": sections.of_module(calibration),
    "costs": sections.of_module(costs),
    "differences": sections.of_module(differences),
    "choice": sections.of_module(choice),
}

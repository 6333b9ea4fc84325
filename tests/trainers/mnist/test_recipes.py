"""Arms keep the directory names that runs on disk already have."""

import pytest

from trainers.mnist import recipes
from trainers.mnist.settings import DEFAULTS


@pytest.mark.parametrize(
    "dataset, recipe, name",
    [
        ("mnist", recipes.teacher, "teacher-1200-f27b09"),
        ("mnist", recipes.student, "student-800-a8cdc0"),
        ("mnist", recipes.distilled, "distilled-800-T20-bf1ab2"),
        ("digits", recipes.teacher, "teacher-256-54cd76"),
        ("digits", recipes.student, "student-24-77ca9b"),
        ("digits", recipes.distilled, "distilled-24-T4-b03979"),
    ],
)
def test_arms_keep_the_names_of_their_directories(dataset, recipe, name):
    settings = DEFAULTS[dataset]
    assert recipe(settings).directory_name() == name

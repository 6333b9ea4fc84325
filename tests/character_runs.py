"""A tiny run on made-up drawings that the characters trainer's tests share."""

import dataclasses

import numpy as np

from trainers.characters import run
from trainers.characters.settings import DEFAULTS, Settings
from trainers.core import settings as core_settings
from trainers.data.images import SplitImages

CLASSES, SIZE = 3, 8  # of views; drawings are twice as high and wide
SETTINGS = dataclasses.replace(
    DEFAULTS["omniglot"],
    **core_settings.tiny(Settings)
    | {"classes": CLASSES, "batch_size": 4, "teacher_epochs": 1},
)


def _drawings(seed, cases):
    """A square of each class's own size, and noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(cases, dtype=np.int32) % CLASSES
    images = rng.integers(0, 60, (cases, 2 * SIZE, 2 * SIZE), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 : 6 + 3 * label, 3 : 6 + 3 * label] = 255
    return images, labels


DATA = SplitImages(
    *_drawings(0, 12),
    *_drawings(1, 6),
    *_drawings(2, 9),
    classes=CLASSES,
    white=255,
    class_names=("a", "b", "c"),
    class_images=np.zeros((CLASSES, 2 * SIZE, 2 * SIZE), np.uint8),
)


def make_run(directory, seeds=1):
    """The `run.Run` of these drawings."""
    return run.Run(SETTINGS, DATA, directory, seeds, checkpoint_every=1)

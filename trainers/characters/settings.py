"""The settings of the experiments with characters."""

import dataclasses

from trainers.core import settings
from trainers.core.settings import (
    LARGEST_RATE,
    LARGEST_WEIGHT,
    MOST_EPOCHS,
    setting,
)

_MOST_WIDTH = 1_000


# Chosen on held-out drawings: see docs/results/characters.md.
@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on: a flag each, but for the plain fields."""

    dataset: str
    classes: int = setting(
        "how many characters are used",
        high=1623,
        low=2,
        tiny=12,
        omniglot=300,
        glyphs=300,
    )
    teacher_width: int = setting(
        "channels of the teacher's first convolution",
        high=_MOST_WIDTH,
        tiny=6,
        omniglot=32,
        glyphs=32,
    )
    student_width: int = setting(
        "the same of the students",
        high=_MOST_WIDTH,
        tiny=4,
        omniglot=10,
        glyphs=10,
    )
    teacher_epochs: int = setting(
        "epochs of the teacher",
        high=MOST_EPOCHS,
        tiny=2,
        omniglot=100,
        glyphs=100,
    )
    student_epochs: int = setting(
        "epochs of every student",
        high=MOST_EPOCHS,
        tiny=2,
        omniglot=120,
        glyphs=120,
    )
    short_epochs: int = setting(
        "epochs of every student that is trained for a short time, those of "
        "--experiment=choice among them",
        high=MOST_EPOCHS,
        tiny=1,
        omniglot=40,
        glyphs=40,
    )
    batch_size: int = setting(
        "cases of a step", high=100_000, tiny=16, omniglot=30, glyphs=30
    )
    teacher_learning_rate: float = setting(
        "Adam's for the teacher at the start; falls to 0 along a cosine",
        high=LARGEST_RATE,
        omniglot=0.003,
        glyphs=0.003,
    )
    student_learning_rate: float = setting(
        "the same for every student",
        high=LARGEST_RATE,
        omniglot=0.004,
        glyphs=0.004,
    )
    augmentation: float = setting(
        "how far views are turned, scaled, slanted and moved; 1 for up to 17 "
        "degrees, 20 %, 0.3 and 2.5 pixels",
        high=3.0,
        low=0.0,
        omniglot=0.7,
        glyphs=0.7,
    )
    teacher_dropout: float = setting(
        "share of the teacher's last channels that are dropped",
        high=0.9,
        low=0.0,
        omniglot=0.2,
        glyphs=0.2,
    )
    l2: float = setting(
        "weight of the squared kernels in the loss of every net",
        high=LARGEST_WEIGHT,
        low=0.0,
        omniglot=1e-4,
        glyphs=1e-4,
    )
    temperature: float = setting(
        "T of the distilled student", high=1000.0, omniglot=4.0, glyphs=4.0
    )
    soft_weight: float = setting(
        "weight of its soft targets; labels have the rest",
        high=1.0,
        low=0.01,
        omniglot=0.9,
        glyphs=0.9,
    )


DEFAULTS = settings.defaults(Settings)

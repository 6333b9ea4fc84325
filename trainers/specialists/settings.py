"""The settings of the experiments with specialists."""

import dataclasses

from trainers.core import settings
from trainers.core.settings import LARGEST_RATE, MOST_UNITS, setting

_MOST_STEPS = 10_000_000


# Those of glyphs were chosen on held-out drawings: see docs/results/choices.md.
@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on: a flag each, but for the plain fields."""

    dataset: str
    units: int = setting(
        "width of the generalist's two hidden layers, and of the specialists'",
        high=MOST_UNITS,
        tiny=16,
        glyphs=64,
        omniglot=128,
    )
    wide_units: int = setting(
        "width of the net that costs as much training as generalist and "
        "specialists",
        high=MOST_UNITS,
        tiny=24,
        glyphs=124,
        omniglot=240,
    )
    steps: int = setting(
        "training steps of the generalist, rounded to whole parts",
        high=_MOST_STEPS,
        tiny=200,
        glyphs=18_000,
        omniglot=9_000,
    )
    batch_size: int = setting(
        "cases of a step", high=100_000, tiny=64, glyphs=256, omniglot=256
    )
    learning_rate: float = setting(
        "Adam's for generalists at the start; falls to 0 along a cosine",
        high=LARGEST_RATE,
        glyphs=0.006,
        omniglot=0.003,
    )
    wide_learning_rate: float = setting(
        "the same for the wide net",
        high=LARGEST_RATE,
        glyphs=0.004,
        omniglot=0.003,
    )
    specialist_learning_rate: float = setting(
        "the same for specialists; small ones leave the dustbin uncalibrated",
        high=LARGEST_RATE,
        glyphs=0.01,
        omniglot=0.005,
    )
    student_learning_rate: float = setting(
        "the same for the nets of --experiment=distilled",
        high=LARGEST_RATE,
        glyphs=0.004,
        omniglot=0.003,
    )
    specialists: int = setting(
        "how many there are", high=1000, tiny=4, low=2, glyphs=28, omniglot=28
    )
    size: int = setting(
        "classes of each specialist",
        high=10_000,
        tiny=10,
        low=2,
        glyphs=60,
        omniglot=60,
    )
    specialist_cost: float = setting(
        "training FLOPs of all specialists together, over the generalist's",
        high=1000.0,
        glyphs=1.0,
        omniglot=1.0,
    )
    own_share: float = setting(
        "share of its own classes' cases among those that a specialist sees; "
        "the paper's is 0.5",
        high=0.99,
        low=0.01,
        glyphs=0.75,
        omniglot=0.75,
    )
    predictions: int = setting(
        "training cases, without labels, by whose predictions the classes are "
        "put into sets",
        high=100_000_000,
        tiny=2_000,
        glyphs=60_000,
        omniglot=60_000,
    )
    noise: float = setting(
        "standard deviation of the noise in the training images, whose white "
        "is 1",
        high=10.0,
        low=0.0,
        glyphs=0.1,
        omniglot=0.1,
    )
    few: float = setting(
        "share of the training cases that --experiment=soft_targets leaves to "
        "specialists",
        high=0.5,
        low=0.001,
        glyphs=0.1,
        omniglot=0.5,
    )
    few_steps: int = setting(
        "training steps of each of these specialists",
        high=_MOST_STEPS,
        tiny=40,
        glyphs=1_000,
        omniglot=1_000,
    )
    few_learning_rate: float = setting(
        "Adam's for them at the start",
        high=LARGEST_RATE,
        glyphs=0.003,
        omniglot=0.003,
    )
    train_cases: int = setting(
        "training drawings; of data sets with files all are used",
        high=100_000_000,
        tiny=4_000,
        glyphs=600_000,
        omniglot=0,
        low=0,
    )
    classes: int = setting(
        "how many of the classes are used; 0 for all",
        high=100_000,
        low=0,
        tiny=60,
        glyphs=0,
        omniglot=0,
    )


DEFAULTS = settings.defaults(Settings)

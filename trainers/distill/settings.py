"""The settings of a distillation: how nets are trained."""

import dataclasses

from trainers.core import settings
from trainers.core.settings import (
    LARGEST_RATE,
    LARGEST_WEIGHT,
    MOST_EPOCHS,
    setting,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What nets depend on beside the data: a flag each."""

    dataset: str
    epochs: int = setting(
        "passes over the training cases, of either student",
        high=MOST_EPOCHS,
        tiny=2,
        any=40,
    )
    learning_rate: float = setting(
        "Adam's rate at the start; falls to 0 along a cosine",
        high=LARGEST_RATE,
        any=0.003,
    )
    batch_size: int = setting("cases per step", high=1_000_000, any=64)
    hard_weight: float = setting(
        "weight of the cross-entropy with the labels, beside a soft weight; 0 "
        "for the teacher's word alone",
        low=0.0,
        high=LARGEST_WEIGHT,
        any=0.1,
    )
    views: int = setting(
        "augmented copies of each case that soft targets are stored of; 0 to "
        "ask the teacher about every batch instead",
        low=0,
        high=1000,
        tiny=1,
        any=1,
    )
    l2: float = setting(
        "weight of the squared kernels in the loss, of an mlp or a cnn",
        low=0.0,
        high=LARGEST_WEIGHT,
        any=0.0,
    )
    dropout: float = setting(
        "share of the last features dropped, of a teacher that is trained "
        "here, an mlp or a cnn",
        low=0.0,
        high=0.95,
        any=0.2,
    )
    teacher_epochs: int = setting(
        "passes over the training cases, of a named teacher",
        high=MOST_EPOCHS,
        tiny=2,
        any=40,
    )
    teacher_learning_rate: float = setting(
        "the same rate, of a named teacher", high=LARGEST_RATE, any=0.002
    )


DEFAULTS = settings.defaults(Settings)["any"]

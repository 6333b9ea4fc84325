"""The settings of the MNIST experiments."""

import dataclasses

from trainers.core import settings
from trainers.core.settings import (
    LARGEST_RATE,
    LARGEST_WEIGHT,
    MOST_EPOCHS,
    MOST_UNITS,
    setting,
)


# Chosen on held-out training cases: see docs/results/choices.md.
@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on: a flag each, but for the plain fields."""

    dataset: str
    teacher_units: int = setting(
        "width of the teacher's two hidden layers",
        high=MOST_UNITS,
        tiny=32,
        mnist=1200,
        digits=256,
    )
    student_units: int = setting(
        "width of the student's two hidden layers",
        high=MOST_UNITS,
        tiny=8,
        mnist=800,
        digits=24,
    )
    teacher_epochs: int = setting(
        "epochs of the teacher", high=MOST_EPOCHS, tiny=4, mnist=200, digits=200
    )
    student_epochs: int = setting(
        "epochs of either student",
        high=MOST_EPOCHS,
        tiny=4,
        mnist=60,
        digits=200,
    )
    sweep_epochs: int = setting(
        "epochs of the students of temperatures, hard_weight and "
        "logit_matching, which are many; few_labels makes as many updates",
        high=MOST_EPOCHS,
        tiny=4,
        mnist=20,
        digits=200,
    )
    narrow_epochs: int = setting(
        "the same for the narrowest students of temperatures",
        high=MOST_EPOCHS,
        tiny=4,
        mnist=150,
        digits=400,
    )
    consistent_epochs: int = setting(
        "epochs of the students of consistent",
        high=MOST_EPOCHS,
        tiny=4,
        mnist=60,
        digits=400,
    )
    convolutional_epochs: int = setting(
        "epochs of each teacher of convolutional",
        high=MOST_EPOCHS,
        tiny=4,
        mnist=15,
        digits=60,
    )
    patient_epochs: int = setting(
        "epochs of the students of convolutional",
        high=MOST_EPOCHS,
        tiny=4,
        mnist=100,
        digits=400,
    )
    teacher_learning_rate: float = setting(
        "Adam's rate at the start, for the teacher",
        high=LARGEST_RATE,
        mnist=0.001,
        digits=0.005,
    )
    student_learning_rate: float = setting(
        "the same for the student on labels",
        high=LARGEST_RATE,
        mnist=0.001,
        digits=0.01,
    )
    distilled_learning_rate: float = setting(
        "the same for the distilled student",
        high=LARGEST_RATE,
        mnist=0.003,
        digits=0.01,
    )
    omitted_learning_rate: float = setting(
        "the same for the students of omit_3 and only_7_8",
        high=LARGEST_RATE,
        mnist=0.001,
        digits=0.01,
    )
    convolutional_learning_rate: float = setting(
        "the same for the teachers of convolutional",
        high=LARGEST_RATE,
        mnist=0.002,
        digits=0.005,
    )
    teacher_batch_size: int = setting(
        "cases per step of the teacher", high=1_000_000, mnist=250, digits=64
    )
    batch_size: int = setting(
        "cases per step of the students", high=1_000_000, mnist=100, digits=64
    )
    temperature: float = setting(
        "T, of the teacher's and the student's softmax",
        low=0.001,
        high=1e6,
        mnist=20.0,
        digits=4.0,
    )
    patient_temperature: float = setting(
        "the same in convolutional",
        low=0.001,
        high=1e6,
        mnist=2.0,
        digits=4.0,
    )
    soft_weight: float = setting(
        "weight of T^2 KL(teacher || student)",
        high=LARGEST_WEIGHT,
        low=1e-6,
        mnist=1.0,
        digits=0.9,
    )
    hard_weight: float = setting(
        "weight of the cross-entropy with the labels",
        high=LARGEST_WEIGHT,
        low=0.0,
        mnist=0.0,
        digits=0.1,
    )
    input_dropout: float = setting(
        "share of the teacher's inputs dropped",
        low=0.0,
        high=0.95,
        mnist=0.2,
        digits=0.0,
    )
    hidden_dropout: float = setting(
        "share of the teacher's hidden units dropped",
        low=0.0,
        high=0.95,
        mnist=0.5,
        digits=0.1,
    )
    convolutional_dropout: float = setting(
        "share of the last layer's inputs dropped, of these teachers",
        low=0.0,
        high=0.95,
        mnist=0.4,
        digits=0.1,
    )
    max_norm: float = setting(
        "bound on the norm of the weights into a unit of the teacher; "
        "0 for none",
        high=1e3,
        low=0.0,
        mnist=2.0,
        digits=0.0,
    )
    jitter: float = setting(
        "pixels by which the teacher's images move at most, up or down and "
        "to either side",
        high=7.0,
        low=0.0,
        mnist=2.0,
        digits=1.0,
    )
    warp: float = setting(
        "deviation in pixels by which convolutional warps images, too",
        high=7.0,
        low=0.0,
        mnist=1.0,
        digits=0.3,
    )
    views: int = setting(
        "moved copies of each image that consistent and convolutional store "
        "soft targets of",
        high=1000,
        tiny=2,
        mnist=25,
        digits=25,
    )
    members: int = setting(
        "teachers in the ensemble", high=100, tiny=2, mnist=10, digits=10
    )
    member_epochs: int = setting(
        "epochs of each of them", high=MOST_EPOCHS, tiny=4, mnist=20, digits=200
    )
    consistent_members: int = setting(
        "teachers, trained in full, that teach together in consistent and "
        "convolutional",
        high=100,
        tiny=2,
        mnist=3,
        digits=3,
    )
    convolutional_channels: int = setting(
        "channels of the first of three convolutions of such a teacher",
        high=MOST_UNITS,
        tiny=2,
        mnist=32,
        digits=8,
    )
    held_out: int = 0


DEFAULTS = settings.defaults(Settings)
TINY = settings.tiny(Settings)

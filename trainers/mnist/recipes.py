"""What nets are trained and how: settings, their defaults, and the arms."""

import dataclasses

from trainers.mnist import nets


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on; one flag each."""

    dataset: str
    teacher_units: int
    student_units: int
    teacher_epochs: int
    student_epochs: int
    sweep_epochs: int
    consistent_epochs: int
    teacher_learning_rate: float
    student_learning_rate: float
    distilled_learning_rate: float
    batch_size: int
    temperature: float
    soft_weight: float
    hard_weight: float
    input_dropout: float
    hidden_dropout: float
    max_norm: float
    jitter: int
    members: int
    member_epochs: int
    consistent_members: int
    held_out: int = 0


# Chosen on held-out training cases: see BENCHMARKS.md.
DEFAULTS = {
    "mnist": Settings(
        dataset="mnist",
        teacher_units=1200,
        student_units=800,
        teacher_epochs=60,
        student_epochs=50,
        sweep_epochs=20,
        consistent_epochs=60,
        teacher_learning_rate=0.001,
        student_learning_rate=0.001,
        distilled_learning_rate=0.001,
        batch_size=100,
        temperature=20.0,
        soft_weight=1.0,
        hard_weight=0.0,
        input_dropout=0.2,
        hidden_dropout=0.3,
        max_norm=2.0,
        jitter=2,
        members=10,
        member_epochs=20,
        consistent_members=3,
    ),
    "digits": Settings(
        dataset="digits",
        teacher_units=256,
        student_units=24,
        teacher_epochs=200,
        student_epochs=200,
        sweep_epochs=200,
        consistent_epochs=400,
        teacher_learning_rate=0.005,
        student_learning_rate=0.01,
        distilled_learning_rate=0.01,
        batch_size=64,
        temperature=4.0,
        soft_weight=0.9,
        hard_weight=0.1,
        input_dropout=0.0,
        hidden_dropout=0.1,
        max_norm=0.0,
        jitter=1,
        members=10,
        member_epochs=200,
        consistent_members=3,
    ),
}

TINY = {
    "teacher_units": 32,
    "student_units": 8,
    "teacher_epochs": 4,
    "student_epochs": 4,
    "sweep_epochs": 4,
    "consistent_epochs": 4,
    "members": 2,
    "member_epochs": 4,
    "consistent_members": 2,
}

HELP = {
    "teacher_units": "width of the teacher's two hidden layers",
    "student_units": "width of the student's two hidden layers",
    "teacher_epochs": "epochs of the teacher",
    "student_epochs": "epochs of either student",
    "sweep_epochs": "epochs of the students of temperatures, hard_weight, "
    "logit_matching and ensemble, which are many",
    "consistent_epochs": "epochs of the students of consistent",
    "teacher_learning_rate": "Adam's rate at the start, for the teacher",
    "student_learning_rate": "the same for the student on labels",
    "distilled_learning_rate": "the same for the distilled student",
    "batch_size": "cases a step",
    "temperature": "T, of the teacher's and the student's softmax",
    "soft_weight": "weight of T^2 KL(teacher || student)",
    "hard_weight": "weight of the cross-entropy with the labels",
    "input_dropout": "share of the teacher's inputs dropped",
    "hidden_dropout": "share of the teacher's hidden units dropped",
    "max_norm": "bound on the norm of the weights into a unit of the teacher; "
    "0 for none",
    "jitter": "pixels by which the teacher's images move, in either direction",
    "members": "teachers in the ensemble",
    "member_epochs": "epochs of each of them",
    "consistent_members": "teachers, trained in full, that teach together in "
    "consistent",
}

# The settings that a teacher and its soft targets depend on.
TEACHER = {
    "dataset",
    "teacher_units",
    "teacher_epochs",
    "teacher_learning_rate",
    "batch_size",
    "input_dropout",
    "hidden_dropout",
    "max_norm",
    "jitter",
    "held_out",
}

RANGES = {
    "input_dropout": {"lower_bound": 0.0, "upper_bound": 0.95},
    "hidden_dropout": {"lower_bound": 0.0, "upper_bound": 0.95},
    "temperature": {"lower_bound": 1e-3, "upper_bound": 1e6},
    "jitter": {"lower_bound": 0},
    "soft_weight": {"lower_bound": 1e-6},
    "hard_weight": {"lower_bound": 0.0},
    "max_norm": {"lower_bound": 0.0},
}


def teacher(settings):
    """The paper's teacher: big, regularised, on jittered images."""
    return nets.Arm(
        name="teacher",
        units=settings.teacher_units,
        learning_rate=settings.teacher_learning_rate,
        epochs=settings.teacher_epochs,
        batch_size=settings.batch_size,
        input_dropout=settings.input_dropout,
        hidden_dropout=settings.hidden_dropout,
        max_norm=settings.max_norm,
        jitter=settings.jitter,
    )


def ensemble(settings, combine):
    """Many teachers that were trained for a shorter time."""
    return nets.Ensemble(settings.members, settings.member_epochs, combine)


def student(settings):
    """The small net that learns from labels alone, without a regulariser."""
    return nets.Arm(
        name="student",
        units=settings.student_units,
        learning_rate=settings.student_learning_rate,
        epochs=settings.student_epochs,
        batch_size=settings.batch_size,
    )


def distilled(settings):
    """The same net, in as many updates, on the teacher's soft targets."""
    return dataclasses.replace(
        student(settings),
        name="distilled",
        learning_rate=settings.distilled_learning_rate,
        temperature=settings.temperature,
        soft_weight=settings.soft_weight,
        hard_weight=settings.hard_weight,
    )


def jittered(arm, settings):
    """An arm that sees jittered images, for long.

    With soft targets, those of the very image that it sees.
    """
    return dataclasses.replace(
        arm, epochs=settings.consistent_epochs, jitter=settings.jitter
    )


def for_sweep(arm, settings):
    """An arm of the experiments that have many."""
    return dataclasses.replace(arm, epochs=settings.sweep_epochs)

"""What nets are trained and how: settings, their defaults, and the arms."""

import dataclasses

from trainers import arms, transfer_set


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the results depend on; one flag each."""

    dataset: str
    teacher_units: int
    student_units: int
    teacher_epochs: int
    student_epochs: int
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
    views: int = 0
    held_out: int = 0


# Chosen on held-out training cases: see BENCHMARKS.md.
DEFAULTS = {
    "mnist": Settings(
        dataset="mnist",
        teacher_units=1200,
        student_units=800,
        teacher_epochs=100,
        student_epochs=120,
        teacher_learning_rate=0.002,
        student_learning_rate=0.003,
        distilled_learning_rate=0.001,
        batch_size=256,
        temperature=20.0,
        soft_weight=1.0,
        hard_weight=0.0,
        input_dropout=0.2,
        hidden_dropout=0.3,
        max_norm=2.0,
        jitter=2,
    ),
    "digits": Settings(
        dataset="digits",
        teacher_units=256,
        student_units=24,
        teacher_epochs=200,
        student_epochs=200,
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
    ),
}

TINY = {
    "teacher_units": 32,
    "student_units": 8,
    "teacher_epochs": 4,
    "student_epochs": 4,
}

HELP = {
    "teacher_units": "width of the teacher's two hidden layers",
    "student_units": "width of the student's two hidden layers",
    "teacher_epochs": "epochs of the teacher",
    "student_epochs": "epochs of either student",
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
    "views": "show the distilled student that many jittered views of every "
    "image, one an epoch, with the teacher's soft targets of that very view; "
    "0 for the images as they are",
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
    "views",
    "held_out",
}

RANGES = {
    "input_dropout": {"lower_bound": 0.0, "upper_bound": 0.95},
    "hidden_dropout": {"lower_bound": 0.0, "upper_bound": 0.95},
    "temperature": {"lower_bound": 1e-3, "upper_bound": 1e6},
    "jitter": {"lower_bound": 0},
    "views": {"lower_bound": 0},
    "soft_weight": {"lower_bound": 1e-6},
    "hard_weight": {"lower_bound": 0.0},
    "max_norm": {"lower_bound": 0.0},
}


def arms_of(settings):
    """Dict from name to `arms.Arm`."""
    student = arms.Arm(
        name="student",
        units=settings.student_units,
        learning_rate=settings.student_learning_rate,
        epochs=settings.student_epochs,
        batch_size=settings.batch_size,
    )
    distilled = dataclasses.replace(
        student,
        name="distilled",
        learning_rate=settings.distilled_learning_rate,
        temperature=settings.temperature,
        soft_weight=settings.soft_weight,
        hard_weight=settings.hard_weight,
        jitter=settings.jitter if settings.views else 0,
        views=settings.views,
    )
    teacher = arms.Arm(
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
    return {arm.name: arm for arm in (teacher, student, distilled)}


def teacher_and_soft_targets(
    settings, data, run_dir, seed, checkpoint_every, teachers_from=None
):
    """A seed's teacher, and what it says of the transfer set.

    Args:
      settings: `Settings`.
      data: `trainers.data.ImageData`.
      run_dir: `pathlib.Path` of an opened run directory.
      seed: int.
      checkpoint_every: int, epochs between two checkpoints.
      teachers_from: `pathlib.Path` of another run directory, whose teachers
        and soft targets are taken; None to train and store them here.

    Returns:
      `arms.Result` and `[max(views, 1), cases, classes]` logits.
    """
    directory = (teachers_from or run_dir) / f"seed{seed}"
    stored = directory / "soft_targets"
    views = {"views": settings.views, "jitter": settings.jitter}
    teacher = arms.train(
        arms_of(settings)["teacher"],
        data,
        seed,
        directory / "teacher",
        checkpoint_every=checkpoint_every,
    )
    if teachers_from is None:
        transfer_set.write(teacher.net, data, stored, **views)
    return teacher, transfer_set.read(data, stored, **views)

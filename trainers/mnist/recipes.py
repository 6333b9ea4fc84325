"""The nets of the MNIST experiments: what each is trained on, and how."""

import dataclasses

from trainers.mnist import nets
from trainers.mnist.moves import Moves

# The settings that a teacher and its soft targets depend on.
TEACHER = {
    "dataset",
    "teacher_units",
    "teacher_epochs",
    "teacher_learning_rate",
    "teacher_batch_size",
    "input_dropout",
    "hidden_dropout",
    "max_norm",
    "jitter",
    "held_out",
}

# Of the labels (paper, section 6: 3 % and 100 %).
LABEL_SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)


def teacher(settings):
    """The paper's teacher: big, regularised, on jittered images."""
    return nets.Arm(
        name="teacher",
        units=settings.teacher_units,
        learning_rate=settings.teacher_learning_rate,
        epochs=settings.teacher_epochs,
        batch_size=settings.teacher_batch_size,
        input_dropout=settings.input_dropout,
        hidden_dropout=settings.hidden_dropout,
        max_norm=settings.max_norm,
        moves=Moves(settings.jitter),
    )


def ensemble(settings, combine):
    """Many teachers that were trained for a shorter time."""
    return nets.Ensemble(settings.members, settings.member_epochs, combine)


def convolutional_teacher(settings):
    """A convolutional net on images that move and are warped."""
    return nets.Arm(
        name="teacher",
        units=4 * settings.convolutional_channels,
        learning_rate=settings.convolutional_learning_rate,
        epochs=settings.convolutional_epochs,
        batch_size=settings.batch_size,
        hidden_dropout=settings.convolutional_dropout,
        moves=Moves(settings.jitter, settings.warp),
        channels=settings.convolutional_channels,
    )


def member(ensemble, settings):
    """The teacher that is a member of an `nets.Ensemble`."""
    if ensemble.channels:
        return convolutional_teacher(settings)
    return dataclasses.replace(teacher(settings), epochs=ensemble.epochs)


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


def moved(arm, settings, *, epochs, warp=0.0):
    """An arm that sees moved images, for long.

    With soft targets, those of the very image that it sees.
    """
    return dataclasses.replace(
        arm,
        epochs=epochs,
        moves=Moves(settings.jitter, warp),
        views=settings.views if arm.soft_weight else 1,
    )


def warped_student(settings):
    """The student on labels of images that move and are warped, for longer."""
    return moved(
        student(settings),
        settings,
        epochs=settings.patient_epochs,
        warp=settings.warp,
    )


def warped_distilled(settings):
    """The same net, of the same images, taught by convolutional nets."""
    arm = moved(
        distilled(settings),
        settings,
        epochs=settings.patient_epochs,
        warp=settings.warp,
    )
    teachers = nets.Ensemble(
        settings.consistent_members,
        settings.convolutional_epochs,
        "geometric",
        settings.convolutional_channels,
    )
    return dataclasses.replace(
        arm, ensemble=teachers, temperature=settings.patient_temperature
    )


def for_sweep(arm, settings):
    """An arm of the experiments that have many."""
    return dataclasses.replace(arm, epochs=settings.sweep_epochs)

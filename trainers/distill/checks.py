"""Whether teacher, student, data and flags of a run fit, before long work."""

import warnings

import tensorflow as tf

import kdtf
from trainers.distill import augmentation, files, nets
from trainers.distill.run import SIGMOID
from trainers.distill.sources import epochs

_TEMPERATURE = "teacher_temperature="  # a key of y, as `run.SIGMOID`
_LOOKED_AT = 256  # cases of soft targets that stay on disk


def check(run, *, larger):
    """Refuses what cannot be.

    Args:
      run: `run.Run`; nothing of it is trained.
      larger: whether a student may be larger than its teacher.

    Raises:
      ValueError: names the flag.
    """
    _check_flags(run)
    if run.stored:
        _check_stored(run)
    _check_comparable(run)
    student = run.begun("plain")
    _check_student(run, student)
    teacher = _teacher(run)
    if teacher is not None:
        _check_sizes(run, student, teacher, larger)
        _check_distiller(run, student, teacher)


def _teacher(run):
    """The teacher, as it begins where it is trained here; None without."""
    source = run.teacher_source
    if source is not None and source.is_trained_here:
        return run.begun("teacher")
    return run.teacher


def _check_flags(run):
    source = run.teacher_source
    if source and source.is_trained_here and not run.labelled:
        raise ValueError(
            "--teacher must be a trained model where training cases have no "
            f"labels. Received: --teacher={source.specs[0]}"
        )
    is_stored = run.settings.views and not run.stored
    if (
        source
        and source.is_arithmetic
        and is_stored
        and len(run.temperatures) > 1
    ):
        raise ValueError(
            "--temperatures must be a single one with the stored soft targets "
            "of an arithmetic mean, which depend on it: add "
            "--combine=geometric, or --views=0. Received: --temperatures="
            f"{_listed(run.temperatures)}"
        )
    if not augmentation.mixup_of(run.augment):
        return
    weighted = len(run.data.train.dataset.element_spec) > 2
    for is_so, what in (
        (run.head == "sigmoid", "models of one output"),
        (weighted, "cases that have weights"),
    ):
        if is_so:
            raise ValueError(
                f"--augment must be without mixup for {what}. "
                f"Received: --augment={','.join(run.augment)}"
            )


def _listed(numbers):
    return ",".join(f"{number:g}" for number in numbers)


def _check_stored(run):
    with files.named(
        "soft_targets", run.stored, "a folder that kdtf.SoftTargets.write made"
    ):
        found = len(kdtf.SoftTargets(run.stored))
    wanted = run.data.train.cases
    if found != wanted:
        raise ValueError(
            "--soft_targets must be those of the training cases of --data, "
            f"{wanted:,}, in their order. Received: "
            f"--soft_targets={run.stored}, of {found:,}"
        )
    with files.named(
        "soft_targets",
        run.stored,
        "those of the training cases of --data, in their order, with their "
        "--augment and of their shape (give --image_size and --channels, "
        "which a teacher's file told before)",
    ):
        keys = run.stored_keys
        _compare_stored(run)
    if run.head != ("sigmoid" if SIGMOID in keys else "softmax"):
        raise ValueError(
            "--teacher must have the head of --soft_targets, or be left out "
            f"beside them. Received: --soft_targets={run.stored} with a "
            f"teacher whose head is {run.head}"
        )
    own = [key for key in keys if key.startswith(_TEMPERATURE)]
    for temperature in (float(key.removeprefix(_TEMPERATURE)) for key in own):
        if run.temperatures != (temperature,):
            raise ValueError(
                "--temperatures must be that of --soft_targets, which depend "
                f"on it: {temperature:g}. Received: "
                f"--temperatures={_listed(run.temperatures)}"
            )


def _compare_stored(run):
    """Reads soft targets beside their cases: the first, or what memory holds.

    What is held is kept by the run, and is not read again.
    """
    try:
        for view in run.stored_views:
            if not isinstance(view, epochs.Loaded):
                for _ in view.take(_LOOKED_AT):
                    pass
    except tf.errors.InvalidArgumentError as error:
        raise ValueError("they are of other cases, or other views") from error


def _check_comparable(run):
    labels = run.data.held_out.labels
    if (labels >= 0).any() or run.teacher_source is not None:
        return
    for flag, is_given in (
        ("temperatures", len(run.candidates) > 1),
        ("early_stopping", run.early_stopping),
    ):
        if is_given:
            raise ValueError(
                f"--{flag} needs held-out cases with labels, or a teacher that "
                f"can be asked about them, to choose by. Received: --{flag} "
                f"with --soft_targets={run.stored}"
            )


def _check_student(run, student):
    spec = run.student.spec
    files.check_fits("student", spec, student, run.data)
    if student.output_shape[-1] != run.outputs:
        raise ValueError(
            f"--student must have as many outputs as the teacher, "
            f"{run.outputs}. Received: --student={spec}, whose output is "
            f"{student.output_shape}"
        )


def _check_sizes(run, student, teacher, larger):
    own, teachers_own = (net.count_params() for net in (student, teacher))
    # A SavedModel may not tell how many it has.
    if teachers_own and own > teachers_own and not larger:
        raise ValueError(
            "--student must be no larger than the teacher: give a smaller one, "
            "or add --larger_student if that is what you want. Received: "
            f"--student={run.student.spec} of {own:,} parameters and a teacher "
            f"of {teachers_own:,}"
        )


def _check_distiller(run, student, teacher):
    """Of hints, above all: their layers must exist, and fit."""
    try:
        with warnings.catch_warnings():
            # Of a larger student the flags have said that it is wanted.
            warnings.simplefilter("ignore", UserWarning)
            kdtf.Distiller(
                student,
                teacher,
                temperature=1.0,
                head=run.head,
                hints=nets.hints_of(run.hints),
            )
    except ValueError as error:
        raise ValueError(
            "--student, --teacher and --hint must be what a kdtf.Distiller "
            f"takes. Received: {error}"
        ) from error

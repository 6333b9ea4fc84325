r"""A small model from your own teacher and your own data, and what it is worth.

A teacher that you have, a student, and a data set:

    python -m trainers.distill --teacher=teacher.keras --student=student.keras \
        --data=folder:photos --run_dir=runs/mine

It trains the student twice, from the same weights and for as long: on the
labels, and on labels and the teacher's soft targets. The page, report.html, has
both beside the teacher: how good, how small, how fast, how like the teacher,
and whether the distillation is worth it. export/ (SavedModel), student.keras,
student.tflite and soft_targets/ are left for use. Killed at any moment and run
again, it resumes and ends with the same figures.

The teacher: a .keras file, a SavedModel (--teacher_signature,
--teacher_output), several of them between commas (an ensemble, --combine), none
beside --soft_targets=FOLDER, or a net by name, which is trained first. The
student: a .keras file, whose architecture and frozen weights are taken (with
--keep_weights all weights), or a net by name: mlp:256,256 for tables,
cnn:32,64,128 for small images and sound, mobilenet_v3_small and all others of
keras.applications for images.

The data, see --data:

    --data=tfds:omniglot --data_dir=FOLDER          TensorFlow Datasets
    --data=folder:photos                            a folder a class, or wav
    --data=npz:cases.npz                            arrays x and y
    --data=csv:rows.csv --label=species             a table (or parquet:)
    --data='tfrecord:cases-*.tfrecord' --features=features.json

A student can also learn from cases without labels, on which it has the
teacher's word:

    python -m trainers.distill ... --unlabelled_data=folder:more_photos

Several temperatures and weights are compared on held-out cases:

    python -m trainers.distill ... --temperatures=1,2,4,8 --soft_weights=0.5,0.9

To see that all is installed, in seconds and without any file:

    python -m trainers.distill --teacher=cnn:16,32 --student=cnn:4,8 \
        --data=sklearn:digits --tiny --run_dir=runs/tiny
"""

import dataclasses
import math
import pathlib

from absl import app, flags

from trainers.core import main as core
from trainers.core import run_directory, sections
from trainers.core import settings as core_settings
from trainers.distill import (
    augmentation,
    checks,
    files,
    preprocessing,
    sources,
    students,
    teachers,
)
from trainers.distill.experiments import EXPERIMENTS
from trainers.distill.run import Run, Student
from trainers.distill.settings import DEFAULTS, Settings
from trainers.distill.sources import epochs

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def _define_flags():
    core.define_flags(
        EXPERIMENTS,
        Settings,
        seeds=3,
        manual_dir="folder of original files, for tfds",
        default="all",
    )
    sources.define_flags()
    flags.DEFINE_list("teacher", [], "the teacher; see above")
    flags.DEFINE_string("student", None, "the student; see above")
    flags.mark_flag_as_required("student")
    flags.DEFINE_enum(
        "combine",
        "arithmetic",
        ["arithmetic", "geometric"],
        "the mean that several teachers have: of their tempered probabilities, "
        "or of their logits",
    )
    flags.DEFINE_string(
        "teacher_signature", "serving_default", "of a SavedModel"
    )
    flags.DEFINE_string("teacher_output", None, "of a SavedModel")
    flags.DEFINE_enum(
        "teacher_gives",
        "logits",
        teachers.GIVES,
        "what a teacher returns that does not show it, such as a SavedModel",
    )
    for name in ("teacher", "student"):
        flags.DEFINE_enum(
            f"{name}_preprocess",
            preprocessing.NONE if name == "teacher" else None,
            preprocessing.names(),
            f"what scales the pixels, 0 to 255, for the {name}: unit (0 to 1) "
            "or as a family of keras.applications wants"
            + ("" if name == "teacher" else " (default: its own)"),
        )
    flags.DEFINE_string(
        "soft_targets",
        None,
        "folder of a kdtf.SoftTargets of the training cases, in place of the "
        "teacher or of asking it",
    )
    flags.DEFINE_boolean(
        "keep_weights", False, "begin with the weights of the student's file"
    )
    flags.DEFINE_boolean(
        "larger_student", False, "allow a student larger than its teacher"
    )
    flags.DEFINE_list(
        "temperatures", ["4"], "T; the best of several on held-out cases"
    )
    flags.DEFINE_list(
        "soft_weights",
        ["0.9"],
        "weight of T^2 KL(teacher || student); the best of several, likewise",
    )
    flags.DEFINE_list("augment", [], augmentation.help_text())
    flags.DEFINE_list(
        "hint",
        [],
        "student_layer:teacher_layer, whose features are matched; several "
        "between commas. Needs --views=0",
    )
    flags.DEFINE_boolean(
        "early_stopping",
        False,
        "take the epoch that is best on held-out cases, not the last",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        _PRECISIONS,
        "Keras's dtype policy for a student by name",
    )
    flags.DEFINE_boolean("int8", False, "leave student_int8.tflite, too")


def _open_run(values):
    """The `Run` that absl's flag values describe."""
    settings = core_settings.from_flags(values, DEFAULTS, dataset=values.data)
    temperatures = _numbers("temperatures", values.temperatures, low=0.0)
    soft_weights = _numbers("soft_weights", values.soft_weights, low=0.0)
    source = teachers.source(values)
    student = _student(values)
    _check_flags(values, settings, source)
    _check_training_flags(values, source, student)
    data = sources.open_data(values, **_image(source, student))
    if not data.classes:
        data = teachers.with_its_classes(data, source)
    labelled = int((data.train.labels >= 0).sum())
    cases = labelled or data.train.cases
    epochs.steps_per_epoch(cases, settings.batch_size)  # refuses
    _check_scaling(values, source, student, data)
    if not students.is_file(student.spec):
        students.check("student", student.spec, data)
    if source and source.is_trained_here:
        students.check("teacher", source.specs[0], data)
    if values.augment:
        augmentation.of_names(values.augment, data.kind)
    run = Run(
        settings,
        data,
        pathlib.Path(values.run_dir),
        seeds=values.seeds,
        student=student,
        teacher_source=source,
        stored=values.soft_targets and pathlib.Path(values.soft_targets),
        temperatures=temperatures,
        soft_weights=soft_weights,
        augment=tuple(values.augment),
        hints=tuple(values.hint),
        early_stopping=values.early_stopping,
        labelled=bool((data.train.labels >= 0).any()),
        checkpoint_every=values.checkpoint_every,
        int8=values.int8,
    )
    checks.check(run, larger=values.larger_student)
    run_directory.open_run_directory(
        run.directory,
        {
            **_flags_of(values, settings, source, student),
            "data_digest": data.digest,
        },
    )
    return run


def _numbers(name, given, low):
    """Tuple of finite numbers above `low`, in the order of the flag."""
    try:
        found = tuple(dict.fromkeys(float(each) for each in given))
        good = found and all(low < v < math.inf for v in found)
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            f"--{name} must be numbers above {low:g} between commas. "
            f"Received: --{name}={','.join(given)}"
        )
    return found


def _student(values):
    spec, digest = values.student, ""
    if students.is_file(spec):
        files.require("student", spec)
        digest = files.digest(spec)
    for flag, needs_file, is_given in (
        ("keep_weights", True, values.keep_weights),
        ("precision", False, values.precision != _PRECISIONS[0]),
    ):
        if is_given and needs_file != bool(digest):
            kind = "a .keras file" if needs_file else "a net by name"
            raise ValueError(
                f"--{flag} must be left out but for {kind} as --student. "
                f"Received: --{flag} with --student={spec}"
            )
    return Student(
        spec,
        digest,
        preprocess=values.student_preprocess,
        keep_weights=values.keep_weights,
        precision=values.precision,
    )


def _image(source, student):
    """Which images the models take, as far as files tell."""
    if source and source.specs[0].endswith(".keras") and source.digests:
        return files.image_of("teacher", source.specs[0])
    if student.digest:
        return files.image_of("student", student.spec)
    return {}


def _check_scaling(values, source, student, data):
    """Refuses a scaling of what is no image, or of nets with their own."""
    by_name = source is not None and source.is_trained_here
    for flag, given, has_own in (
        ("teacher_preprocess", values.teacher_preprocess, by_name),
        (
            "student_preprocess",
            values.student_preprocess,
            students.is_own(student.spec),
        ),
    ):
        if given in (None, preprocessing.NONE):
            continue
        if data.kind != "images" or has_own:
            raise ValueError(
                f"--{flag} must be left out for data other than images, and "
                f"for nets that scale their input themselves. Received: "
                f"--{flag}={given} with {data.kind}"
            )


def _check_flags(values, settings, source):
    if source is None and not values.soft_targets:
        raise ValueError(
            "--teacher must be given, or --soft_targets with what a teacher "
            "has said. Received: neither"
        )
    mixup = augmentation.mixup_of(values.augment)
    for said in (
        "--hint" if values.hint else "",
        "--augment=mixup" * bool(mixup),
    ):
        if said and settings.views:
            raise ValueError(
                f"--views must be 0 with {said}, for which the teacher is "
                f"asked about every batch. Received: --views={settings.views}"
            )
    if not settings.views and (source is None or values.soft_targets):
        raise ValueError(
            "--views must be 1 or more with --soft_targets, which are of so "
            "many copies of each case. Received: --views=0"
        )


def _check_training_flags(values, source, student):
    """Refuses flags of nets that are trained here where they are none such."""
    by_name = source is not None and source.is_trained_here
    teacher = by_name and students.is_own(source.specs[0])
    student_too = teacher or students.is_own(student.spec)
    for flag, is_used, of in (
        ("teacher_epochs", by_name, "a net by name as --teacher"),
        ("teacher_learning_rate", by_name, "a net by name as --teacher"),
        ("dropout", teacher, "an mlp or a cnn as --teacher"),
        ("l2", student_too, "an mlp or a cnn as --teacher or --student"),
    ):
        given = getattr(values, flag)
        if given is not None and not is_used:
            raise ValueError(
                f"--{flag} must be left out but for {of}. "
                f"Received: --{flag}={given} with --student={student.spec}, "
                f"--teacher={','.join(source.specs) if source else None}"
            )


def _flags_of(values, settings, source, student):
    """Dict from flag to value: those that results depend on."""
    names = (
        "temperatures",
        "soft_weights",
        "augment",
        "hint",
        "early_stopping",
        "soft_targets",
    )
    return {
        **dataclasses.asdict(settings),
        **sources.settings(values),
        **{name: getattr(values, name) for name in names},
        **_described("teacher", source),
        **_described("student", student),
    }


def _described(name, model):
    """Dict of what the flags say of a model; empty without one."""
    described = {} if model is None else dataclasses.asdict(model)
    return {
        name if what in ("spec", "specs") else f"{name}_{what}": value
        for what, value in described.items()
    }


def _provenance(figures):
    data = figures["data"]
    said = (
        f"{data['test_cases']:,} test cases of {data['classes']:,} classes of "
        f"{figures['dataset']}, {data['train_cases']:,} training cases, "
        f"{figures['seeds']} seeds. "
    )
    return said + sections.said_of_software(figures)


def main(argv):
    """Trains, compares and reports what the flags describe."""
    core.run(argv, _open_run, EXPERIMENTS, _provenance)


if __name__ == "__main__":
    _define_flags()
    app.run(main)

"""The paper's MNIST experiment (section 3): a teacher and two students.

A big regularised net (dropout, max-norm, jittered images) is trained on labels;
a small one without any regulariser on labels; and the same small net, from the
same initial weights and in as many updates, on the big one's soft targets. The
settings that are not flags of yours are those of `--dataset`:

    python -m trainers.mnist --dataset=digits --run_dir=runs/digits --seeds=5
        scikit-learn's 1,797 embedded digits, 5 seeds: under 3 minutes on two
        cores, no network, no files.

    python -m trainers.mnist --dataset=mnist --run_dir=runs/mnist
        MNIST through TFDS at the paper's sizes, 1 seed: about an hour and a
        half on two cores. Without network, add --manual_dir=FOLDER with the
        four original files, or --data_dir=FOLDER with a prepared data set.

    python -m trainers.mnist --run_dir=runs/t4 --teachers_from=runs/mnist \
            --temperature=4
        Other students of the teachers of an earlier run: minutes. Those of the
        published one are in results/mnist.

    python -m trainers.mnist --dataset=digits --run_dir=runs/tiny --tiny
        Seconds: shows that all is installed; the figures mean nothing.

Killed at any moment and run again, it goes on and ends with the same figures.
The run directory then holds metrics.json (every figure), report.md with its
plots, TensorBoard's logs, and export/ with the distilled student as a
SavedModel. To choose settings, hold out training cases (--held_out=10000): the
test set stays unseen.
"""

import dataclasses
import pathlib

from absl import app, flags, logging

import kdtf
from trainers import arms, common, evaluation, report, transfer_set
from trainers.data import digits, mnist


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

_TINY = {
    "teacher_units": 32,
    "student_units": 8,
    "teacher_epochs": 4,
    "student_epochs": 4,
}

_HELP = {
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
_TEACHER = {
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

_RANGES = {
    "input_dropout": {"lower_bound": 0.0, "upper_bound": 0.95},
    "hidden_dropout": {"lower_bound": 0.0, "upper_bound": 0.95},
    "temperature": {"lower_bound": 1e-3, "upper_bound": 1e6},
    "jitter": {"lower_bound": 0},
    "views": {"lower_bound": 0},
    "soft_weight": {"lower_bound": 1e-6},
    "hard_weight": {"lower_bound": 0.0},
    "max_norm": {"lower_bound": 0.0},
}


def train_and_evaluate(
    settings, data, run_dir, *, seeds, checkpoint_every, teachers_from=None
):
    """Runs the experiment, or what is left of it, and writes its results.

    Args:
      settings: `Settings`.
      data: `trainers.data.ImageData`.
      run_dir: `pathlib.Path` of an opened run directory.
      seeds: int; seeds 0 to seeds - 1 are run.
      checkpoint_every: int, epochs between two checkpoints.
      teachers_from: `pathlib.Path` of another run directory, whose teachers
        and soft targets are taken; None to train and store them here.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    all_arms = arms_of(settings)
    by_seed = [
        _train_seed(
            settings, data, run_dir, seed, checkpoint_every, teachers_from
        )
        for seed in range(seeds)
    ]
    results = {name: [r[name] for r in by_seed] for name in evaluation.ARMS}
    metrics = evaluation.summarise(results, data, all_arms, settings.dataset)
    common.write_json(run_dir / "metrics.json", metrics)
    report.write(run_dir, metrics)
    kdtf.export_student(
        results["distilled"][0].net,
        run_dir / "export",
        class_names=[str(digit) for digit in range(data.classes)],
        overwrite=True,
    )
    return metrics


def _train_seed(settings, data, run_dir, seed, checkpoint_every, teachers_from):
    """Dict from arm name to its `arms.Result` of one seed."""
    all_arms = arms_of(settings)
    views = {"views": settings.views, "jitter": settings.jitter}

    def train(name, root, soft_targets=None):
        return arms.train(
            all_arms[name],
            data,
            seed,
            root / f"seed{seed}" / name,
            soft_targets=soft_targets,
            checkpoint_every=checkpoint_every,
        )

    source = teachers_from or run_dir
    stored = source / f"seed{seed}" / "soft_targets"
    teacher = train("teacher", source)
    if teachers_from is None:
        transfer_set.write(teacher.net, data, stored, **views)
    soft_targets = transfer_set.read(data, stored, **views)
    return {
        "teacher": teacher,
        "student": train("student", run_dir),
        "distilled": train("distilled", run_dir, soft_targets),
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


def _define_flags():
    flags.DEFINE_enum("dataset", "mnist", sorted(DEFAULTS), "what to learn")
    flags.DEFINE_string("run_dir", None, "where results go; resumed if there")
    flags.DEFINE_string("data_dir", None, "TFDS's folder of prepared data")
    flags.DEFINE_string("manual_dir", None, "folder with MNIST's four files")
    flags.DEFINE_integer("seeds", 1, "how many seeds to run", lower_bound=1)
    flags.DEFINE_integer(
        "held_out",
        0,
        "evaluate on that many training cases, and not on the test set",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "checkpoint_every", 5, "epochs between checkpoints", lower_bound=1
    )
    flags.DEFINE_string(
        "teachers_from",
        None,
        "run directory whose teachers and soft targets are taken, of the same "
        "data, teacher and views; results/mnist has those of the published run",
    )
    flags.DEFINE_boolean("tiny", False, "small nets, few epochs: a smoke test")
    flags.mark_flag_as_required("run_dir")
    for name, text in _HELP.items():
        values = {d: getattr(s, name) for d, s in DEFAULTS.items()}
        said = ", ".join(f"{v} for {d}" for d, v in values.items())
        integer = isinstance(values["mnist"], int)
        define = flags.DEFINE_integer if integer else flags.DEFINE_float
        bounds = _RANGES.get(name, {"lower_bound": 1 if integer else 1e-9})
        define(name, None, f"{text} (default: {said})", **bounds)


def _settings(values):
    """`Settings` from absl's flag values."""
    settings = DEFAULTS[values.dataset]
    if values.tiny:
        settings = dataclasses.replace(settings, **_TINY)
    given = {n: v for n in _HELP if (v := getattr(values, n)) is not None}
    return dataclasses.replace(settings, held_out=values.held_out, **given)


def _load_data(values):
    if values.dataset == "digits":
        data = digits.load()
    else:
        data = mnist.load(values.data_dir, values.manual_dir)
    return data.hold_out(values.held_out) if values.held_out else data


def _teachers_from(values, settings):
    """Path of the run with all the teachers that are wanted, or None."""
    if values.teachers_from is None:
        return None
    directory = pathlib.Path(values.teachers_from)
    common.require_same_flags(
        "teachers_from",
        directory,
        {
            n: v
            for n, v in dataclasses.asdict(settings).items()
            if n in _TEACHER
        },
    )
    for seed in range(values.seeds):
        if not arms.is_finished(directory / f"seed{seed}" / "teacher"):
            raise ValueError(
                "--teachers_from must hold a finished teacher for each of the "
                f"{values.seeds} seeds. Received: --teachers_from={directory}, "
                f"without that of seed {seed}"
            )
    return directory


def main(argv):
    """Runs the experiment that the flags describe."""
    if len(argv) > 1:
        raise app.UsageError(f"Flags only, please. Received: {argv[1:]}")
    values = flags.FLAGS
    if not values["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    settings = _settings(values)
    try:
        data = _load_data(values)
        teachers_from = _teachers_from(values, settings)
        run_dir = common.open_run_directory(
            pathlib.Path(values.run_dir), dataclasses.asdict(settings)
        )
    except (ValueError, RuntimeError) as error:
        raise app.UsageError(str(error)) from error
    metrics = train_and_evaluate(
        settings,
        data,
        run_dir,
        seeds=values.seeds,
        checkpoint_every=values.checkpoint_every,
        teachers_from=teachers_from,
    )
    print("\n".join(report.table(metrics)))
    print(f"\nReport:     {run_dir / 'report.md'}")
    print(f"Plots:      {run_dir / 'errors.png'}")
    print(f"            {run_dir / 'learning_curves.png'}")
    print(f"Figures:    {run_dir / 'metrics.json'}")
    print(f"SavedModel: {run_dir / 'export'}")
    print(f"Curves:     tensorboard --logdir={run_dir}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)

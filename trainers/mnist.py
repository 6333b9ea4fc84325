r"""The paper's MNIST experiments (section 3): a teacher and its students.

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

    python -m trainers.mnist --run_dir=runs/omit_3 --experiment=omit_3 \
            --teachers_from=results/mnist --seeds=3
        A student that never sees a 3, and a bias that brings the 3 back;
        only_7_8: one that sees nothing else than 7 and 8.

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

from trainers import (
    arms,
    common,
    omitted,
    omitted_report,
    recipes,
    report,
    table,
)
from trainers.data import digits, mnist


def _define_flags():
    flags.DEFINE_enum(
        "dataset", "mnist", sorted(recipes.DEFAULTS), "what to learn"
    )
    flags.DEFINE_enum(
        "experiment",
        "table",
        ["table", *omitted.EXPERIMENTS],
        "table: teacher, student and distilled student; omit_3, only_7_8: "
        "digits left out of the transfer set",
    )
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
    for name, text in recipes.HELP.items():
        values = {d: getattr(s, name) for d, s in recipes.DEFAULTS.items()}
        said = ", ".join(f"{v} for {d}" for d, v in values.items())
        integer = isinstance(values["mnist"], int)
        define = flags.DEFINE_integer if integer else flags.DEFINE_float
        bounds = recipes.RANGES.get(
            name, {"lower_bound": 1 if integer else 1e-9}
        )
        define(name, None, f"{text} (default: {said})", **bounds)


def _settings(values):
    """`Settings` from absl's flag values."""
    settings = recipes.DEFAULTS[values.dataset]
    if values.tiny:
        settings = dataclasses.replace(settings, **recipes.TINY)
    given = {
        n: v for n in recipes.HELP if (v := getattr(values, n)) is not None
    }
    return dataclasses.replace(settings, held_out=values.held_out, **given)


def _check_views(values, settings):
    """Views are kept by their place in the whole transfer set."""
    if settings.views and values.experiment != "table":
        raise ValueError(
            f"--views must be 0 with --experiment={values.experiment}. "
            f"Received: --views={settings.views}"
        )


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
            if n in recipes.TEACHER
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
        _check_views(values, settings)
        data = _load_data(values)
        teachers_from = _teachers_from(values, settings)
        run_dir = common.open_run_directory(
            pathlib.Path(values.run_dir),
            {"experiment": values.experiment, **dataclasses.asdict(settings)},
        )
    except (ValueError, RuntimeError) as error:
        raise app.UsageError(str(error)) from error
    how = {
        "seeds": values.seeds,
        "checkpoint_every": values.checkpoint_every,
        "teachers_from": teachers_from,
    }
    if values.experiment == "table":
        metrics = table.run(settings, data, run_dir, **how)
        lines, plots = report.table(metrics), ("errors", "learning_curves")
    else:
        metrics = omitted.run(values.experiment, settings, data, run_dir, **how)
        lines, plots = omitted_report.table(metrics), ("shift",)
    print("\n".join(lines))
    print(f"\nReport:     {run_dir / 'report.md'}")
    for name in plots:
        print(f"Plot:       {run_dir / name}.png")
    print(f"Figures:    {run_dir / 'metrics.json'}")
    if (run_dir / "export").exists():
        print(f"SavedModel: {run_dir / 'export'}")
    print(f"Curves:     tensorboard --logdir={run_dir}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)

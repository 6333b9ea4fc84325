r"""The paper's MNIST experiments (section 3), and what goes beyond them.

A big regularised net (dropout, max-norm, jittered images) is trained on labels;
a small one without any regulariser on labels; and the same small net, from the
same initial weights and in as many updates, on the big one's soft targets. The
settings that are not flags of yours are those of `--dataset`:

    python -m trainers.mnist --dataset=digits --run_dir=runs/digits --seeds=5
        scikit-learn's 1,797 embedded digits, 5 seeds: about a minute on two
        cores, no network, no files.

    python -m trainers.mnist --dataset=digits --run_dir=runs/digits --seeds=5 \
            --experiment=few_labels --label_shares=3,10 --experiment=table \
            --processes=2
        Two experiments, one after the other, as `make demo` has them; nets of
        two seeds are trained at a time.

    python -m trainers.mnist --dataset=mnist --run_dir=runs/mnist
        MNIST through TFDS at the paper's sizes, 1 seed: about an hour on two
        cores. Without network, add --manual_dir=FOLDER with the four
        original files, or --data_dir=FOLDER with a prepared data set.

    python -m trainers.mnist --run_dir=runs/mnist --experiment=temperatures
        Another experiment of the same run: nets that are there are not trained
        again, and the report gets another section. --experiment=all runs every
        one of them: hours.

    python -m trainers.mnist --run_dir=runs/other --experiment=omit_3 \
            --teachers_from=runs/mnist --seeds=3
        Students of the teachers of another run.

    python -m trainers.core.local_workers trainers.mnist --dataset=digits \
            --run_dir=runs/digits
        Two workers train each net together, with the same figures. On several
        machines --strategy=multi_worker does, on several GPUs
        --strategy=mirrored.

    python -m trainers.mnist --dataset=digits --run_dir=runs/tiny --tiny
        Seconds: shows that all is installed; the figures mean nothing.

Experiments (`--experiment`):

    table           teacher, student and distilled student
    temperatures    students of three widths at temperatures from 1 to 40
    hard_weight     from soft targets alone to labels alone
    omit_3          a student that sees no 3, and a bias that brings it back
    only_7_8        the same with nothing but 7 and 8 in the transfer set
    ensemble        ten teachers' arithmetic and geometric mean
    consistent      teacher and student see the same moved images, for long
    convolutional   convolutional teachers of images that are warped, too: how
                    good can the small net get?
    logit_matching  temperatures up to 1000 beside logit matching
    few_labels      labels of 1 to 100 % of the cases, or soft targets
    few_labels_weight
                    hard_weight, with labels of 3 % of the cases
    choice          settings varied one at a time, on held-out training cases
    convolutional_choice
                    the same, of convolutional

Killed at any moment and run again, it resumes and ends with the same figures.
The run directory then holds metrics.json (every figure), report.html and
report.md with the plots, TensorBoard's logs, and export/ with the distilled
student as a SavedModel. To choose settings, hold out training cases
(--held_out=10000 --experiment=choice): the test set stays unseen.

Settings belong to the run directory, for all of its experiments: --members may
be given beside --experiment=table, which has no ensemble, since another
experiment of the same run may follow.
"""

import dataclasses
import pathlib

from absl import app, flags

from trainers.core import main as core
from trainers.core import results, run_directory, sections, workers
from trainers.core import settings as core_settings
from trainers.data import digits, mnist
from trainers.mnist import choice, figures, recipes, runs
from trainers.mnist.experiments import EXPERIMENTS
from trainers.mnist.settings import DEFAULTS, Settings


def _define_flags():
    flags.DEFINE_enum("dataset", "mnist", sorted(DEFAULTS), "what to learn")
    core.define_flags(
        EXPERIMENTS,
        Settings,
        seeds=1,
        manual_dir="folder with MNIST's four files",
    )
    workers.define_flag()
    flags.DEFINE_integer(
        "held_out",
        0,
        "evaluate on that many training cases, and not on the test set",
        lower_bound=0,
    )
    flags.DEFINE_string(
        "teachers_from",
        None,
        "run directory whose teachers and soft targets are taken, of the same "
        "data and teacher",
    )
    flags.DEFINE_list(
        "label_shares",
        [f"{100 * share:g}" for share in recipes.LABEL_SHARES],
        "percent of the training cases that have labels, in few_labels",
    )


def _open_run(values):
    """The `runs.Run` that absl's flag values describe."""
    settings = core_settings.from_flags(
        values, DEFAULTS[values.dataset], held_out=values.held_out
    )
    _require_held_out(values)
    data = _load_data(values)
    for name in ("teacher_batch_size", "batch_size"):
        size = getattr(settings, name)
        if size > len(data.train_labels):
            raise ValueError(
                f"--{name} must be at most the number of training cases, "
                f"{len(data.train_labels)}. Received: --{name}={size}"
            )
    teachers_from = _teachers_from(values, settings)
    label_shares = _label_shares(values.label_shares)
    return runs.Run(
        settings,
        data,
        run_directory.open_run_directory(
            values.run_dir, dataclasses.asdict(settings)
        ),
        seeds=values.seeds,
        checkpoint_every=values.checkpoint_every,
        teachers_from=teachers_from,
        label_shares=label_shares,
        processes=values.processes,
    )


def _require_held_out(values):
    """Refuses a choice of settings by test cases before a directory is made.

    It would belong to runs of these, and none other could go there.
    """
    chosen = (EXPERIMENTS[n] for n in values.experiment if n != "all")
    if not values.held_out and not all(each.in_all for each in chosen):
        raise ValueError(choice.TEST_CASES)


def _label_shares(given):
    """Tuple of shares from percentages, as they are given."""
    try:
        shares = tuple(sorted({float(percent) / 100 for percent in given}))
        good = shares and all(0 < share <= 1 for share in shares)
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "--label_shares must be numbers above 0, to 100, between commas, "
            f"in percent. Received: --label_shares={','.join(given)}"
        )
    return shares


def _load_data(values):
    if values.dataset == "digits":
        core.refuse_ignored(values, ("data_dir", "manual_dir"), "digits")
        data = digits.load()
    else:
        data = mnist.load(values.data_dir, values.manual_dir)
    return data.hold_out(values.held_out) if values.held_out else data


def _teachers_from(values, settings):
    """Path of the run with all the teachers that are wanted, or None."""
    if values.teachers_from is None:
        return None
    directory = pathlib.Path(values.teachers_from)
    run_directory.require_same_flags(
        "teachers_from",
        directory,
        {
            n: v
            for n, v in dataclasses.asdict(settings).items()
            if n in recipes.TEACHER
        },
    )
    arm = recipes.teacher(settings)
    for seed in range(values.seeds):
        if not results.is_finished(runs.arm_directory(directory, arm, seed)):
            raise ValueError(
                "--teachers_from must hold a finished teacher for each of the "
                f"{values.seeds} seeds. Received: --teachers_from={directory}, "
                f"without that of seed {seed}"
            )
    return directory


def _provenance(metrics):
    """What a section's figures are of, and were made with."""
    said = f"{figures.errors_label(metrics).capitalize()}. "
    if metrics["evaluated_on"] != "test":
        said += (
            "These are training cases that were held out to choose settings; "
            "the test set was not looked at. "
        )
    return said + sections.said_of_software(metrics)


def main(argv):
    """Runs the experiments that the flags describe."""
    core.run(argv, _open_run, EXPERIMENTS, _provenance)


if __name__ == "__main__":
    _define_flags()
    app.run(main)

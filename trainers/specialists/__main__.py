r"""The paper's experiments with specialists (sections 5, 6.1 and 8).

A generalist learns many classes; its own predictions tell which classes it
confuses; a specialist for each set of these starts from the generalist's
weights; and for each case the generalist calls the specialists of its choice,
which are combined with it:

    python -m trainers.specialists --run_dir=runs/glyphs --processes=2
        About 1,400 letters and numbers, drawn from matplotlib's fonts: no
        network, no files. Three seeds: about half an hour on two cores.

    python -m trainers.specialists --run_dir=runs/glyphs --experiment=overlap
        Another experiment of the same run: nets that are there are not trained
        again, and the report gets another section. --experiment=all runs every
        one of them: twice as long.

    python -m trainers.specialists --dataset=omniglot --run_dir=runs/omniglot
        The 1,623 characters of Omniglot through TFDS, by 20 drawers, 5 of them
        for the test.

    python -m trainers.specialists --dataset=cifar100 --run_dir=runs/cifar100
        Any data set of TFDS with features `image` and `label` and splits train
        and test; the settings are then those of omniglot.

    python -m trainers.specialists --run_dir=runs/tiny --tiny
        Seconds: shows that all is installed; the figures mean nothing.

Experiments (`--experiment`):

    table           the paper's tables 3 and 4: test accuracy, conditional
                    accuracy, gain by the number of covering specialists; and
                    the same cost spent otherwise: a longer training, ensembles,
                    a wide net, specialists of random sets; four corrections of
                    the dustbin
    overlap         number and size of the sets, and how many classes call
    soft_targets    few cases: dustbin, full softmax, soft targets (6.1)
    distilled       all of it taught back to one net (8)

Costs are named: training FLOPs, examples seen, weights, multiply-adds of a
prediction. By default all specialists together cost as many training FLOPs as
the generalist.

Killed at any moment and run again, it resumes and ends with the same figures.
The run directory then holds metrics.json (every figure), report.html and
report.md with the plots, TensorBoard's logs, and export/ with generalist and
specialists as one SavedModel that takes images. Choices are made on held-out
cases; test cases are only measured.
"""

import dataclasses

from absl import app, flags

from trainers.core import main as core
from trainers.core import run_directory, sections
from trainers.core import settings as core_settings
from trainers.data import glyphs, omniglot, tfds_images
from trainers.specialists.experiments import EXPERIMENTS
from trainers.specialists.run import Run
from trainers.specialists.settings import DEFAULTS, Settings

_SIZE = 28  # pixels, of the images of TFDS


def _define_flags():
    flags.DEFINE_string(
        "dataset",
        "glyphs",
        "glyphs, omniglot, or a data set of TFDS with features `image` and "
        "`label`",
    )
    core.define_flags(
        EXPERIMENTS,
        Settings,
        seeds=3,
        manual_dir="folder with the original files",
    )
    flags.DEFINE_integer(
        "processes",
        1,
        "nets that are trained in parallel, one process each; small ones "
        "finish soonest with one process per core",
        lower_bound=1,
        upper_bound=1000,
    )


def _open_run(values):
    """The `Run` that absl's flag values describe."""
    defaults = DEFAULTS.get(values.dataset) or dataclasses.replace(
        DEFAULTS["omniglot"], dataset=values.dataset
    )
    settings = core_settings.from_flags(values, defaults)
    data = _load(values, settings)
    _check(settings, data)
    return Run(
        settings,
        data,
        run_directory.open_run_directory(
            values.run_dir, dataclasses.asdict(settings)
        ),
        seeds=values.seeds,
        checkpoint_every=values.checkpoint_every,
        processes=values.processes,
    )


def _load(values, settings):
    """`SplitImages` of a data set."""
    if values.dataset == "glyphs":
        core.refuse_ignored(values, ("data_dir", "manual_dir"), "glyphs")
        few = settings.train_cases
        return glyphs.load(
            classes=settings.classes or None,
            train=few,
            held_out=max(1, few // 15),
            test=max(1, few // 10),
        )
    core.refuse_ignored(values, ("train_cases",), values.dataset)
    if values.dataset == "omniglot":
        core.refuse_ignored(values, ("manual_dir",), "omniglot")
        characters = (
            {"characters": settings.classes} if settings.classes else {}
        )
        return omniglot.load_split(values.data_dir, **characters)
    core.refuse_ignored(values, ("classes",), values.dataset)
    return tfds_images.load(
        values.dataset,
        size=_SIZE,
        data_dir=values.data_dir,
        manual_dir=values.manual_dir,
    )


def _check(settings, data):
    """Raises where settings and data do not fit each other."""
    largest = 2 * settings.size  # of the experiments' sets
    if largest >= data.classes:
        raise ValueError(
            "--size must be less than half the number of classes, "
            f"{data.classes}: sets of twice that size are tried, too. "
            f"Received: --size={settings.size}"
        )
    if 2 * settings.specialists > data.classes:
        raise ValueError(
            "--specialists must be at most half the number of classes, "
            f"{data.classes}. Received: --specialists={settings.specialists}"
        )
    if settings.batch_size > len(data.train_labels) * settings.few:
        raise ValueError(
            "--batch_size must be at most the number of cases that --few "
            f"leaves, {settings.few * len(data.train_labels):.0f}. "
            f"Received: --batch_size={settings.batch_size}"
        )


def _provenance(figures):
    said = (
        f"{figures['test_cases']:,} test cases of {figures['classes']:,} "
        f"classes of {figures['dataset']}, {figures['seeds']} seeds. "
    )
    return said + sections.said_of_software(figures)


def main(argv):
    """Runs the experiments that the flags describe."""
    core.run(argv, _open_run, EXPERIMENTS, _provenance)


if __name__ == "__main__":
    _define_flags()
    app.run(main)

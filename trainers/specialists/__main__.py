r"""The paper's experiments with specialists (sections 5, 6.1 and 8).

A generalist learns many classes; its own predictions tell which classes it
confuses; a specialist for each set of these starts from the generalist's
weights; and for each case the generalist calls the specialists of its choice,
which are combined with it:

    python -m trainers.specialists --run_dir=runs/glyphs --processes=2
        About 1,400 letters and numbers, drawn from matplotlib's fonts: no
        network, no files. Three seeds.

    python -m trainers.specialists --run_dir=runs/glyphs --experiment=overlap
        Another experiment of the same run: nets that are there are not trained
        again, and the report gets another section. --experiment=all runs every
        one of them.

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
from trainers.core import run_directory, sections, workers
from trainers.core import settings as core_settings
from trainers.specialists import datasets
from trainers.specialists.experiments import EXPERIMENTS
from trainers.specialists.run import Run
from trainers.specialists.settings import DEFAULTS, Settings


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
    workers.define_flag()


def _open_run(values):
    """The `Run` that absl's flag values describe."""
    defaults = DEFAULTS.get(values.dataset) or dataclasses.replace(
        DEFAULTS["omniglot"], dataset=values.dataset
    )
    settings = core_settings.from_flags(values, defaults)
    data = datasets.load(values, settings)
    few = not {"soft_targets", "all"}.isdisjoint(values.experiment)
    datasets.check(settings, data, few=few)
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


def _provenance(figures):
    said = (
        f"{figures['test_cases']:,} {figures['evaluated_on']} cases of "
        f"{figures['classes']:,} classes of {figures['dataset']}, "
        f"{figures['seeds']} seeds. "
    )
    return said + sections.said_of_software(figures)


def main(argv):
    """Runs the experiments that the flags describe."""
    core.run(argv, _open_run, EXPERIMENTS, _provenance)


if __name__ == "__main__":
    _define_flags()
    app.run(main)

"""Teacher and student see the same jittered images, for long.

Consistent teaching (Beyer et al. 2022, arXiv 2106.05237). It breaks the paper's
"no translations in the transfer set" and is therefore an experiment of its own:
how good can the small net get? Beside it, the same net on labels with the same
jitter, in as many updates, and a student that the teachers of several seeds
teach together, by the mean of their logits.
"""

import dataclasses

from trainers.core import pages, plots
from trainers.mnist import columns, evaluation, figures, nets, recipes

TITLE = "Consistent teaching"


def arms_of(settings):
    """Dict from what a reader calls an arm to the arm."""
    one = recipes.jittered(recipes.distilled(settings), settings)
    return {
        "labels, jittered": recipes.jittered(
            recipes.student(settings), settings
        ),
        "one teacher": one,
        "several teachers": dataclasses.replace(
            one,
            ensemble=nets.Ensemble(
                settings.consistent_members,
                settings.teacher_epochs,
                "geometric",
            ),
        ),
    }


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    return {
        **evaluation.about(run),
        **evaluation.summarise_taught(
            run, arms_of(run.settings), against="labels, jittered"
        ),
    }


def table(metrics):
    """The arms as a `pages.Table`."""
    head = ["learned from", "teacher's errors", *columns.HEAD]
    rows = []
    for name, arm in metrics["arms"].items():
        teacher = metrics["teachers"].get(name)
        errors = f"{teacher['mean']:.1f}" if teacher else ""
        rows.append([name, errors, *columns.of(arm)])
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    return [
        f"Taught by {name} against labels with the same jitter: "
        f"{evaluation.say_difference(tests['all'])}."
        for name, tests in metrics["against"].items()
    ]


def introduction(metrics):
    """What is shown, a string."""
    settings = metrics["settings"]
    return (
        f"2 x {settings['student_units']} units, "
        f"{settings['consistent_epochs']} epochs, images moved by up to "
        f"{settings['jitter']} pixels; the soft targets are those of the "
        "image as it was moved."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "consistent", _plot(metrics), "Errors against the epoch, jittered"
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    colours = ("student", "distilled", "other")
    for colour, (name, arm) in zip(
        colours, metrics["arms"].items(), strict=True
    ):
        figures.curves(
            axes, arm, plots.COLOURS[colour], f"learned from: {name}"
        )
    if figures.is_the_papers(metrics):
        plots.level(
            axes,
            figures.PAPER_ERRORS["distilled"],
            "black",
            "the paper's distilled net, without jitter",
        )
    figures.finish_curves(axes, metrics)
    return figure

"""Teacher and student see the same moved images, for long.

Consistent teaching (Beyer et al. 2022, arXiv 2106.05237). It breaks the paper's
"no translations in the transfer set" and is therefore an experiment of its own:
how good can the small net get? Beside it, the same net on labels with the same
moves, in as many updates, and students that the teachers of several seeds teach
together, by the mean of their logits.
"""

import dataclasses

from trainers.core import pages, plots
from trainers.mnist import columns, evaluation, figures, nets, recipes

TITLE = "Consistent teaching"


def arms_of(settings):
    """Dict from what a reader calls an arm to the arm."""
    labels, taught = (
        recipes.moved(arm, settings, epochs=settings.consistent_epochs)
        for arm in (recipes.student(settings), recipes.distilled(settings))
    )
    teachers = nets.Ensemble(
        settings.consistent_members, settings.teacher_epochs, "geometric"
    )
    return {
        "labels, jittered": labels,
        "one teacher, jittered": taught,
        "several teachers, jittered": dataclasses.replace(
            taught, ensemble=teachers
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
    (others,) = metrics["arms"].keys() - metrics["against"].keys()
    return [
        f"{name.capitalize()}, against {others}: "
        f"{evaluation.say_difference(tests['all'])}."
        for name, tests in metrics["against"].items()
    ]


def introduction(metrics):
    """What is shown, a string."""
    settings = metrics["settings"]
    return (
        f"2 x {settings['student_units']} units, "
        f"{settings['consistent_epochs']} epochs. Jittered images are moved by "
        f"up to {settings['jitter']:g} pixels. The soft targets are those of "
        "the image as it was moved."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "consistent",
            plot(metrics),
            "Errors against the epoch, moved images",
        ),
    )


def plot(metrics):
    """Errors of the arms against the epoch, a figure."""
    figure, axes = plots.new()
    arms = metrics["arms"]
    colours = ("student", "distilled", "other")[: len(arms)]
    for colour, (name, arm) in zip(colours, arms.items(), strict=True):
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

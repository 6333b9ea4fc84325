"""Teacher and student see the same moved images, for long.

Consistent teaching (Beyer et al. 2022, arXiv 2106.05237). It breaks the paper's
"no translations in the transfer set" and is therefore an experiment of its own:
how good can the small net get? Beside it, the same net on labels with the same
moves, in as many updates, and students that the teachers of several seeds teach
together, by the mean of their logits: of jittered images, and of images that
are warped, too, by teachers that learned from such.
"""

import dataclasses

from trainers.core import pages, plots
from trainers.mnist import columns, evaluation, figures, nets, recipes

TITLE = "Consistent teaching"


def arms_of(settings):
    """Dict from what a reader calls an arm to the arm."""
    labels, taught = recipes.student(settings), recipes.distilled(settings)

    def by_several(warp):
        return dataclasses.replace(
            recipes.moved(taught, settings, warp),
            ensemble=nets.Ensemble(
                settings.consistent_members,
                settings.teacher_epochs,
                "geometric",
                warp,
            ),
        )

    return {
        "labels, jittered": recipes.moved(labels, settings),
        "one teacher, jittered": recipes.moved(taught, settings),
        "several teachers, jittered": by_several(0.0),
        "labels, warped": recipes.moved(labels, settings, settings.warp),
        "several teachers, warped": by_several(settings.warp),
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
        f"{name.capitalize()}, against labels, jittered: "
        f"{evaluation.say_difference(tests['all'])}."
        for name, tests in metrics["against"].items()
    ]


def introduction(metrics):
    """What is shown, a string."""
    settings = metrics["settings"]
    return (
        f"2 x {settings['student_units']} units, "
        f"{settings['consistent_epochs']} epochs. Jittered images are moved by "
        f"up to {settings['jitter']:g} pixels; warped ones are moved smoothly "
        f"elsewhere, too, with a deviation of {settings['warp']:g} pixels. The "
        "soft targets are those of the image as it was moved."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "consistent",
            _plot(metrics),
            "Errors against the epoch, moved images",
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    colours = [plots.COLOURS[c] for c in ("student", "distilled", "other")]
    colours += ["#e6ab02", "#1f78b4"]
    for colour, (name, arm) in zip(
        colours, metrics["arms"].items(), strict=True
    ):
        figures.curves(axes, arm, colour, f"learned from: {name}")
    if figures.is_the_papers(metrics):
        plots.level(
            axes,
            figures.PAPER_ERRORS["distilled"],
            "black",
            "the paper's distilled net, without jitter",
        )
    figures.finish_curves(axes, metrics)
    return figure

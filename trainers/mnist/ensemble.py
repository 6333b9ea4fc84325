"""An ensemble's soft targets beside those of one teacher (paper, section 2).

The members' distributions are combined by their arithmetic mean at T, or by
their geometric mean, which is the mean of the logits.
"""

import dataclasses

import numpy as np

from trainers.core import pages, plots
from trainers.mnist import columns, evaluation, figures, recipes

TITLE = "An ensemble of teachers"
COMBINATIONS = ("arithmetic", "geometric")


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    ensembles = {
        f"{combine} mean": recipes.ensemble(run.settings, combine)
        for combine in COMBINATIONS
    }
    one = recipes.distilled(run.settings)
    arms = {"one teacher": one}
    for name, ensemble in ensembles.items():
        arms[name] = dataclasses.replace(one, ensemble=ensemble)
    members = run.members(ensembles["geometric mean"])
    return {
        **evaluation.about(run),
        "members": evaluation.summarise_errors(
            evaluation.wrong(members, run.data).sum(1)
        ),
        **evaluation.summarise_taught(run, arms, against="one teacher"),
    }


def table(metrics):
    """Teachers and their students as a `pages.Table`."""
    head = ["taught by", "teacher's errors", *columns.HEAD]
    rows = [
        [name, f"{metrics['teachers'][name]['mean']:.1f}", *columns.of(arm)]
        for name, arm in metrics["arms"].items()
    ]
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    members = metrics["members"]
    said = [
        f"The {len(members['test_errors'])} members make "
        f"{members['mean']:.1f} errors on average, "
        f"{min(members['test_errors'])} to {max(members['test_errors'])}."
    ]
    for name, tests in metrics["against"].items():
        said.append(
            f"Taught by the {name} against one teacher: "
            f"{evaluation.say_difference(tests['all'])}."
        )
    return said


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "ensemble",
            _plot(metrics),
            "Errors of one teacher, of the ensembles, and of their students",
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    names = ["members", *metrics["arms"]]
    teachers = [metrics["members"], *metrics["teachers"].values()]
    places = np.arange(len(names))
    for x, name, teacher in zip(places, names, teachers, strict=True):
        colour = plots.COLOURS["teacher"]
        axes.bar(x - 0.2, teacher["mean"], 0.36, color=colour, alpha=0.3)
        figures.with_interval(axes, x - 0.2, teacher, colour)
        if name in metrics["arms"]:
            arm = metrics["arms"][name]
            colour = plots.COLOURS["distilled"]
            axes.bar(x + 0.2, arm["mean"], 0.36, color=colour, alpha=0.3)
            figures.with_interval(axes, x + 0.2, arm, colour)
    axes.bar(0, 0, color=plots.COLOURS["teacher"], alpha=0.3, label="teacher")
    axes.bar(
        0,
        0,
        color=plots.COLOURS["distilled"],
        alpha=0.3,
        label="its student (bar: mean; dots: seeds; line: 95 % interval)",
    )
    if figures.is_the_papers(metrics):
        for name in ("teacher", "distilled"):
            plots.level(
                axes,
                figures.PAPER_ERRORS[name],
                plots.COLOURS[name],
                f"the paper's {name} net",
            )
    axes.set_xticks(places, names)
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])  # room for the legend
    axes.set_ylabel(figures.errors_label(metrics))
    axes.set_title(f"{metrics['dataset']}: one teacher and an ensemble")
    axes.legend(fontsize=8)
    return figure

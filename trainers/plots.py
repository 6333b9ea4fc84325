"""What the plots of all experiments share."""

from matplotlib import figure as figures

COLOURS = {
    "teacher": "#4c4c4c",
    "student": "#d95f02",
    "distilled": "#1b7837",
    "other": "#7570b3",
}
PAPER_ERRORS = {"teacher": 67, "student": 146, "distilled": 74}


def is_the_papers(metrics):
    """Whether the figures are of the paper's test set."""
    return metrics["dataset"] == "mnist" and metrics["evaluated_on"] == "test"


def new(columns=1):
    """A figure, and its axes or, of several columns, their array."""
    # Not through pyplot, which would look for a screen.
    figure = figures.Figure(
        figsize=(max(7, 4.2 * columns), 4.5), layout="constrained"
    )
    return figure, figure.subplots(1, columns)


def errors_label(metrics):
    """What an axis of errors says."""
    return f"errors on {metrics['cases']:,} {metrics['evaluated_on']} cases"


def with_interval(axes, x, arm, colour, label=None):
    """Draws an arm's mean, its interval and its seeds at a place of an axis."""
    axes.plot(
        [x] * len(arm["test_errors"]),
        arm["test_errors"],
        "o",
        color=colour,
        ms=3,
        alpha=0.5,
    )
    if None not in arm["ci95"]:
        axes.vlines(x, *arm["ci95"], color=colour, lw=2, alpha=0.6)
    axes.plot([x], [arm["mean"]], "_", color=colour, ms=12, mew=2, label=label)


def sweep(axes, xs, arms, colour, label):
    """Draws arms along an axis: a line through the means, with all else."""
    axes.plot(xs, [a["mean"] for a in arms], color=colour, lw=1, label=label)
    for x, arm in zip(xs, arms, strict=True):
        with_interval(axes, x, arm, colour)


def level(axes, value, colour, label, style="--"):
    """Draws a level to compare with."""
    axes.axhline(value, color=colour, ls=style, lw=1.2, label=label)


def interval(bounds, spec):
    """`[low, high]` as text; a dash where a single seed gives none."""
    if None in bounds:
        return "-"
    return f"{bounds[0]:{spec}} to {bounds[1]:{spec}}"

"""What the plots of all experiments share."""

from matplotlib import figure as figures
from matplotlib import ticker

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


def with_interval(axes, x, arm, colour):
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
    axes.plot([x], [arm["mean"]], "_", color=colour, ms=12, mew=2)


def sweep(axes, xs, arms, colour, label):
    """Draws arms along an axis: a line through the means, with all else."""
    axes.plot(xs, [a["mean"] for a in arms], color=colour, lw=1, label=label)
    for x, arm in zip(xs, arms, strict=True):
        with_interval(axes, x, arm, colour)


def legend_below(figure):
    """One legend for all panels of a figure, where it hides nothing."""
    entries = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=3,
        fontsize=8,
    )


def level(axes, value, colour, label):
    """Draws a level to compare with."""
    axes.axhline(value, color=colour, ls="--", lw=1.2, label=label)


def curves(axes, arm, colour, label):
    """Draws an arm's errors against the epoch, a line a seed."""
    for i, curve in enumerate(arm["curves"]):
        axes.plot(
            [point["epoch"] for point in curve],
            [point["errors"] for point in curve],
            color=colour,
            lw=1.2,
            alpha=0.8,
            label=label if i == 0 else None,
        )


def finish_curves(axes, metrics):
    """Gives a plot of `curves` its axes and legend."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("epoch")
    axes.set_ylabel(errors_label(metrics) + " (log scale)")
    axes.set_title(f"{metrics['dataset']}: learning curves, one line a seed")
    axes.legend(fontsize=8)

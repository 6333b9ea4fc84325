"""What the plots of all MNIST experiments share: errors, and the paper's."""

from matplotlib import ticker

from trainers.core import plots

PAPER_ERRORS = {"teacher": 67, "student": 146, "distilled": 74}


def is_the_papers(metrics):
    """Whether the figures are of the paper's test set."""
    return metrics["dataset"] == "mnist" and metrics["evaluated_on"] == "test"


def errors_label(metrics):
    """What an axis of errors says."""
    return f"errors on {metrics['cases']:,} {metrics['evaluated_on']} cases"


def point(arm):
    """An arm's errors as a `plots.Point`."""
    return plots.Point(arm["test_errors"], arm["mean"], arm["ci95"])


def with_interval(axes, x, arm, colour):
    """Draws an arm's errors at a place of an axis."""
    plots.with_interval(axes, x, point(arm), colour)


def sweep(axes, xs, arms, colour, label):
    """Draws arms along an axis."""
    plots.sweep(axes, xs, [point(arm) for arm in arms], colour, label)


def curves(axes, arm, colour, label):
    """Draws an arm's errors against the epoch, a line a seed."""
    plots.curves(
        axes, arm["curves"], lambda point: point["errors"], colour, label
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

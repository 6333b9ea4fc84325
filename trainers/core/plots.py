"""What the plots of all experiments share."""

from typing import NamedTuple

from matplotlib import figure as figures

COLOURS = {
    "teacher": "#4c4c4c",
    "student": "#d95f02",
    "distilled": "#1b7837",
    "other": "#7570b3",
}


def new(columns=1):
    """A figure, and its axes or, of several columns, their array."""
    # Not through pyplot, which would look for a screen.
    figure = figures.Figure(
        figsize=(max(7, 4.2 * columns), 4.5), layout="constrained"
    )
    return figure, figure.subplots(1, columns)


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


class Point(NamedTuple):
    """A mean of several nets.

    Attributes:
      values: sequence of floats, one per net.
      mean: float.
      interval: `[low, high]`, or `[None, None]` for none.
    """

    values: list
    mean: float
    interval: list


def percent(shares, base=0.0):
    """A `Point` in percent, as gains over `base`.

    Args:
      shares: dict of "each", "mean" and "ci95", shares of 1.
      base: float, a share.
    """
    return Point(
        [100 * (each - base) for each in shares["each"]],
        100 * (shares["mean"] - base),
        [None if b is None else 100 * (b - base) for b in shares["ci95"]],
    )


def with_interval(axes, x, point, colour):
    """Draws a `Point` at a place of an axis: values, mean and interval."""
    values = point.values
    axes.plot([x] * len(values), values, "o", color=colour, ms=3, alpha=0.5)
    if None not in point.interval:
        axes.vlines(x, *point.interval, color=colour, lw=2, alpha=0.6)
    axes.plot([x], [point.mean], "_", color=colour, ms=12, mew=2)


def sweep(axes, xs, points, colour, label):
    """Draws `Point`s along an axis, and a line through their means."""
    axes.plot(xs, [p.mean for p in points], color=colour, lw=1, label=label)
    for x, point in zip(xs, points, strict=True):
        with_interval(axes, x, point, colour)


def shares(axes, shares, what):
    """Makes an axis one of shares, on a log scale, of `100 * share`.

    Args:
      axes: `matplotlib.axes.Axes`.
      shares: sequence of floats, each of which is named.
      what: str, of what they are shares.
    """
    axes.set_xscale("log")
    axes.set_xticks([100 * s for s in shares], [f"{s:.0%}" for s in shares])
    axes.minorticks_off()
    axes.set_xlabel(f"share of {what} (log scale)")


def curves(axes, points, of, colour, label):
    """Draws learning curves, a line a seed, named once.

    Args:
      axes: `matplotlib.axes.Axes`.
      points: sequence of curves, each a list of dicts with an "epoch".
      of: function from such a dict to the value that is drawn.
      colour: str.
      label: str, or None.
    """
    for i, curve in enumerate(points):
        axes.plot(
            [point["epoch"] for point in curve],
            [of(point) for point in curve],
            color=colour,
            lw=1.2,
            alpha=0.8,
            label=label if i == 0 else None,
        )

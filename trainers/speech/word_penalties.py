"""The word penalties of systems, and what they give on held-out strings."""

import numpy as np
from matplotlib import ticker

from trainers.core import pages, plots


def blocks(folds, colours):
    """Blocks with table and plot of the penalties; none where there are none.

    Args:
      folds: dict from name to a fold's figures; "chosen" of them is a dict from
        system to what `scores.with_words` tells of its choice.
      colours: dict from system to its colour.
    """
    chosen = {name: _chosen(fold) for name, fold in folds.items()}
    first = next(iter(colours))
    conditions = list(
        dict.fromkeys(c for fold in chosen.values() for c in fold[first])
    )
    if not conditions:
        return ()
    rows = [
        [name, system, *(_say(of.get(c)) for c in conditions)]
        for name, fold in chosen.items()
        for system, of in fold.items()
    ]
    return (
        pages.Text(
            "Word penalties in nats, chosen on held-out strings, and the word "
            "error rate there:"
        ),
        pages.Table(["fold", "system", *conditions], rows),
        *_plots(chosen, conditions, colours),
    )


def _chosen(fold):
    """How a fold's penalties were chosen; older figures tell them alone."""
    if "chosen" in fold:
        return fold["chosen"]
    return {
        system: {c: {"penalty": p} for c, p in penalties.items()}
        for system, penalties in fold["penalties"].items()
    }


def _say(chosen):
    if chosen is None:
        return "-"
    said = f"{chosen['penalty']:g}"
    if "held_out_rate" in chosen:
        said += f" ({chosen['held_out_rate']:.1%})"
    return said


def _plots(chosen, conditions, colours):
    rates = {
        (system, condition): [
            fold[system][condition]["rates"]
            for fold in chosen.values()
            if "rates" in fold[system].get(condition, ())
        ]
        for system in colours
        for condition in conditions
    }
    if not all(rates.values()):
        return ()
    figure, panels = plots.new(columns=len(conditions))
    for axes, condition in zip(np.ravel(panels), conditions, strict=True):
        for system, colour in colours.items():
            # The mean over folds, all of which have the same penalties.
            penalties, mean = np.mean(rates[system, condition], axis=0).T
            axes.plot(penalties, 100 * mean, color=colour, label=system)
            fewest = np.flatnonzero(mean == mean.min())
            best = fewest[len(fewest) // 2]  # as `scores.choose_penalty`
            axes.plot(penalties[best], 100 * mean[best], "o", color=colour)
        axes.set_title(condition)
        axes.set_xlabel("word penalty, nats")
        axes.set_yscale("symlog", linthresh=1.0)  # a rate may be 0
        axes.yaxis.set_major_locator(
            ticker.SymmetricalLogLocator(
                base=10, linthresh=1.0, subs=(1, 2, 3, 5)
            )
        )
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    np.ravel(panels)[0].set_ylabel("word error rate on held-out strings, %")
    plots.legend_below(figure)
    return (
        pages.Plot(
            "speech_penalties",
            figure,
            "Word error rates against the word penalty (dot: the fewest)",
        ),
    )

"""How temperature and soft weight were chosen: on held-out cases."""

from trainers.core import pages, plots, statistics

TITLE = "Temperature and weights"


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    found = []
    for temperature, weight in run.candidates:
        held_out = None
        if run.compared_by:
            each = run.held_out((temperature, weight))
            held_out = statistics.over_seeds(each)
        found.append(
            {
                "temperature": temperature,
                "soft_weight": weight,
                "held_out": held_out,
            }
        )
    return {
        **run.about(),
        "compared_by": run.compared_by and run.compared_by.name,
        "hard_weight": run.settings.hard_weight if run.labelled else 0.0,
        "candidates": found,
        "chosen": run.candidates.index(run.chosen),
    }


def table(metrics):
    """The candidates as a `pages.Table`."""
    compared_by = metrics["compared_by"] or "held_out_accuracy"
    what = compared_by.replace("held_out", "held-out").replace("_", " ")
    head = ("temperature", "soft weight", what, "95 % interval")
    rows = [
        (
            f"{each['temperature']:g}"
            + (" (chosen)" if i == metrics["chosen"] else ""),
            f"{each['soft_weight']:g}",
            *_cells(each["held_out"]),
        )
        for i, each in enumerate(metrics["candidates"])
    ]
    return pages.Table(head, rows)


def _cells(held_out):
    if held_out is None:
        return "-", "-"
    interval = pages.interval(held_out["ci95"], ".1%")
    return f"{held_out['mean']:.1%}", interval


def findings(metrics):
    """What the figures say, as a list of sentences."""
    tried = metrics["candidates"]
    chosen = tried[metrics["chosen"]]
    if len(tried) == 1:
        return [
            f"T = {chosen['temperature']:g} and a soft weight of "
            f"{chosen['soft_weight']:g} were given, and nothing else was "
            "tried: --temperatures=1,2,4,8 compares several."
        ]
    worst = min(each["held_out"]["mean"] for each in tried)
    return [
        f"Of {len(tried)} candidates T = {chosen['temperature']:g} with a soft "
        f"weight of {chosen['soft_weight']:g} is best on the "
        f"{metrics['data']['held_out_cases']:,} held-out cases "
        f"({chosen['held_out']['mean']:.1%}; the worst {worst:.1%}), and was "
        "taken. No test case had a part in it."
    ]


def details(metrics, data):
    """A plot, of several temperatures."""
    del data
    if len({each["temperature"] for each in metrics["candidates"]}) < 2:
        return ()
    return (
        pages.Plot(
            "temperatures",
            _plot(metrics),
            "Held-out accuracy of the distilled student against the "
            "temperature, a line a soft weight",
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    weights = sorted({each["soft_weight"] for each in metrics["candidates"]})
    colours = (plots.COLOURS["distilled"], plots.COLOURS["other"])
    for i, weight in enumerate(weights):
        found = sorted(
            (each["temperature"], each["held_out"])
            for each in metrics["candidates"]
            if each["soft_weight"] == weight
        )
        plots.sweep(
            axes,
            [temperature for temperature, _ in found],
            [plots.percent(held_out) for _, held_out in found],
            colours[i % len(colours)],
            f"soft weight {weight:g}",
        )
    axes.set_xscale("log", base=2)
    axes.set_xlabel("temperature")
    what = metrics["compared_by"].rpartition("_")[2]
    axes.set_ylabel(f"{what} on held-out cases, %")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return figure

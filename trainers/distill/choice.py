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
        "compared_cases": run.compared_by
        and int((run.compared_by.classes >= 0).sum()),
        "has_plain": run.labelled,
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
    means = [each["held_out"]["mean"] for each in tried]
    best = means.count(max(means))
    said = [
        f"Of {len(tried)} candidates T = {chosen['temperature']:g} with a soft "
        f"weight of {chosen['soft_weight']:g} is "
        f"{'best' if best == 1 else 'as good as any other'} on the "
        f"{_cases(metrics)} ({max(means):.1%}; the worst {min(means):.1%}), "
        f"and was taken{'' if best == 1 else f', the first of {best} such'}. "
        "No test case had a part in it."
    ]
    if metrics.get("has_plain"):
        said.append(
            "The plain student has nothing of this to choose: one try of it is "
            f"compared with the best of {len(tried)}."
        )
    return said


def _cases(metrics):
    cases = metrics["data"]["held_out_cases"]
    known = metrics.get("compared_cases", cases)  # older figures lack it
    if known < cases:
        return f"{known:,} of {cases:,} held-out cases that have a label"
    return f"{cases:,} held-out cases"


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

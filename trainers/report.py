"""report.md and its plots, from `metrics.json`."""

import io

from matplotlib import figure as figures
from matplotlib import ticker

from kdtf import files

PAPER_ERRORS = {"teacher": 67, "student": 146, "distilled": 74}
_COLOURS = {"teacher": "#4c4c4c", "student": "#d95f02", "distilled": "#1b7837"}
_MEANING = {
    "teacher": "big net, regularised",
    "student": "small net, labels only",
    "distilled": "small net, soft targets",
}


def write(run_dir, metrics):
    """Writes report.md and the plots into the run directory.

    Args:
      run_dir: `pathlib.Path`.
      metrics: dict, as `metrics.json` holds it.

    Returns:
      List of the written paths.
    """
    plots = {
        "errors.png": _plot_errors(metrics),
        "learning_curves.png": _plot_curves(metrics),
    }
    for name, figure in plots.items():
        save(figure, run_dir / name)
    files.write_whole(run_dir / "report.md", _markdown(metrics))
    return [run_dir / name for name in ("report.md", *plots)]


def table(metrics):
    """The arms' table as lines of Markdown."""
    with_paper = is_the_papers(metrics)
    head = ["net", "hidden units", "errors, mean", "95 % interval", "a seed"]
    head += ["agreement", "NLL", "ECE", "s an epoch"]
    head += ["paper"] if with_paper else []
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name, arm in metrics["arms"].items():
        cells = [
            f"{name} ({_MEANING[name]})",
            f"2 x {arm['units']}",
            f"{arm['mean']:.1f}",
            interval(arm["ci95"], ".1f"),
            ", ".join(str(e) for e in arm["test_errors"]),
            f"{arm['agreement']:.2%}",
            f"{arm['nll']:.4f}",
            f"{arm['ece']:.2%}",
            f"{arm['seconds_per_epoch']:.2f}",
        ]
        cells += [str(PAPER_ERRORS[name])] if with_paper else []
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def interval(bounds, spec):
    """`[low, high]` as text; a dash where a single seed gives none."""
    if None in bounds:
        return "-"
    return f"{bounds[0]:{spec}} to {bounds[1]:{spec}}"


def is_the_papers(metrics):
    """Whether the figures are of the paper's test set."""
    return metrics["dataset"] == "mnist" and metrics["evaluated_on"] == "test"


def _markdown(metrics):
    cases, kind = metrics["cases"], metrics["evaluated_on"]
    seeds = len(metrics["arms"]["teacher"]["test_errors"])
    lines = [
        f"# Distillation on {metrics['dataset']}",
        "",
        f"Errors on {cases:,} {kind} cases, {seeds} seed(s).",
    ]
    if kind != "test":
        lines.append(
            "These are training cases that were held out to choose settings; "
            "the test set was not looked at."
        )
    if seeds == 1:
        lines.append("One seed says nothing about the spread over seeds.")
    lines += ["", *table(metrics), "", *_comparisons(metrics), ""]
    lines += [
        "![Errors of the three nets](errors.png)",
        "",
        "![Errors against the epoch](learning_curves.png)",
        "",
        provenance(metrics),
    ]
    return "\n".join(lines) + "\n"


def provenance(metrics):
    """What the figures were made with, as a sentence."""
    versions = ", ".join(f"{n} {v}" for n, v in metrics["versions"].items())
    return f"Commit {metrics['commit']}; {versions}."


def _comparisons(metrics):
    gain = metrics["gain_transferred"]
    lines = []
    if gain["mean"] is not None:
        lines.append(
            f"- The distilled student keeps {gain['mean']:.0%} of the "
            "teacher's advantage (95 % interval "
            f"{interval(gain['ci95'], '.0%')}, bootstrap over seeds and cases)."
        )
    for pair, tests in metrics["mcnemar"].items():
        first, second = pair.split("_and_")
        text = "; ".join(
            f"{t['only_first_wrong']} against {t['only_second_wrong']}, "
            f"p = {t['p_value']:.2g}"
            for t in tests
        )
        lines.append(
            f"- Cases that only the {first} or only the {second} net gets "
            f"wrong, each seed, with McNemar's exact test: {text}."
        )
    return lines


def _plot_errors(metrics):
    figure, axes = _figure()
    for x, (name, arm) in enumerate(metrics["arms"].items()):
        colour = _COLOURS[name]
        axes.bar(x, arm["mean"], 0.6, color=colour, alpha=0.35)
        if None not in arm["ci95"]:
            low, high = arm["ci95"]
            axes.vlines(x, low, high, color=colour, lw=2)
        seeds = len(arm["test_errors"])
        offsets = [(i - (seeds - 1) / 2) * 0.08 for i in range(seeds)]
        axes.scatter([x + o for o in offsets], arm["test_errors"], color=colour)
        axes.annotate(
            f"{arm['mean']:.1f}", (x + 0.31, arm["mean"]), va="center"
        )
        if is_the_papers(metrics):
            paper = PAPER_ERRORS[name]
            axes.hlines(paper, x - 0.3, x + 0.3, color="black", ls="--")
    axes.plot([], [], "o", color="grey", label="one seed")
    axes.plot([], [], color="grey", lw=2, label="95 % interval of the mean")
    if is_the_papers(metrics):
        axes.plot([], [], "k--", label="the paper's figure")
    axes.set_xticks(
        range(len(metrics["arms"])),
        [
            f"{name}\n2 x {arm['units']} units\n{_MEANING[name]}"
            for name, arm in metrics["arms"].items()
        ],
    )
    axes.set_xlim(-0.6, len(metrics["arms"]) - 0.2)
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.set_ylabel(_errors_label(metrics))
    axes.set_title(
        f"{metrics['dataset']}: errors of the three nets (bar: mean)"
    )
    axes.legend()
    return figure


def _plot_curves(metrics):
    figure, axes = _figure()
    for name, arm in metrics["arms"].items():
        for i, curve in enumerate(arm["curves"]):
            axes.plot(
                [point["epoch"] for point in curve],
                [point["errors"] for point in curve],
                color=_COLOURS[name],
                lw=1.2,
                alpha=0.8,
                label=f"{name}: {_MEANING[name]}" if i == 0 else None,
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("epoch")
    axes.set_ylabel(_errors_label(metrics) + " (log scale)")
    axes.set_title(f"{metrics['dataset']}: learning curves, one line a seed")
    axes.legend()
    return figure


def _errors_label(metrics):
    return f"errors on {metrics['cases']:,} {metrics['evaluated_on']} cases"


def _figure():
    # Not through pyplot, which would look for a screen.
    figure = figures.Figure(figsize=(7, 4.5), layout="constrained")
    return figure, figure.subplots()


def save(figure, path):
    """Writes a PNG whole."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    files.write_whole(path, buffer.getvalue())

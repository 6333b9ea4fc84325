"""The section of the experiment `trainers.mnist.few_labels`."""

import numpy as np
from matplotlib import ticker

from trainers.core import pages, plots
from trainers.mnist import columns, few_labels, figures

TITLE = "Few labels"
_MEANING = {
    "labels": "labels alone",
    "same": "soft targets of the same cases",
    "all": "soft targets of all cases, no label",
}
_COLOURS = {
    "labels": plots.COLOURS["student"],
    "same": plots.COLOURS["distilled"],
    "all": plots.COLOURS["other"],
}


def table(metrics):
    """The students as a `pages.Table`."""
    head = [
        "with labels",
        "learned from",
        *columns.HEAD[:3],
        "stopped at, of its updates",
        "recovered of what is lost",
        "NLL",
    ]
    recovered = _recovered(metrics)
    rows = [
        [
            _cases(arm),
            _MEANING[arm["kind"]],
            *columns.of_errors(arm),
            _stopped(arm),
            pages.share(recovered.get((arm["kind"], arm["share"]))),
            f"{arm['nll']:.3f}",
        ]
        for arm in metrics["arms"]
    ]
    return pages.Table(head, rows)


def _recovered(metrics):
    """Dict from kind and share to what soft targets of few cases recover."""
    return {
        ("same", found["share"]): found["same"]["recovered"]
        for found in metrics["against_labels"]
    }


def _cases(arm):
    if not arm["labelled"]:
        return "none"
    return f"{arm['labelled']:,} ({arm['share']:.0%})"


def _stopped(arm):
    if None in arm["stopped_at"]:
        return f"the end, {arm['updates']:,}"
    return ", ".join(f"{updates:,}" for updates in arm["stopped_at"])


def findings(metrics):
    """What the figures say, as a list of sentences."""
    arms = {(arm["kind"], arm["share"]): arm for arm in metrics["arms"]}
    cases = metrics["training_cases"]
    every = arms["labels", few_labels.ALL_LABELS]
    said = [
        _headline(metrics, arms),
        f"With the labels of all {cases:,} it makes {_errors(every)}; the "
        f"teacher makes {_errors(metrics['teacher'])}.",
    ]
    for found in metrics["against_labels"]:
        labels, same = (arms[k, found["share"]] for k in ("labels", "same"))
        said.append(
            f"What {labels['labelled']:,} labels in place of {cases:,} cost: "
            f"{labels['mean'] - every['mean']:.1f} errors. Soft targets of the "
            f"same {labels['labelled']:,} cases ({same['mean']:.1f} errors, "
            f"{pages.p_value(found['same'])}) recover "
            f"{pages.share(found['same']['recovered'])} of it, those of all "
            f"cases ({pages.p_value(found['all'])}) "
            f"{pages.share(found['all']['recovered'])}."
        )
    return said


def _headline(metrics, arms):
    """The widest gap: the fewest labels, and none."""
    share = min(share for kind, share in arms if kind == "labels")
    few, none = arms["labels", share], arms["all", few_labels.NO_LABELS]
    return (
        f"With the labels of {few['labelled']:,} training cases the small net "
        f"makes {_errors(few)} on {metrics['cases']:,} "
        f"{metrics['evaluated_on']} cases; without a label of its own, on the "
        f"teacher's soft targets of {metrics['training_cases']:,}, "
        f"{_errors(none)}."
    )


def _errors(summary):
    interval = ""
    if None not in summary["ci95"]:
        bounds = pages.interval(summary["ci95"], ".1f")
        interval = f" (95 % interval {bounds})"
    return f"{summary['mean']:.1f} errors{interval}"


def introduction(metrics):
    """What is shown, a string."""
    return (
        "A teacher that has learned from all labels tells a small net what it "
        "sees in the images; without it, the same small net has the labels of "
        f"few of {metrics['training_cases']:,} training cases. Which few they "
        "are differs between seeds. Students on labels are taken at their best "
        f"of {_points(metrics)} moments (early stopping) on "
        f"{metrics['set_aside']:,} labelled training cases more, which no "
        "student learns from."
    )


def _points(metrics):
    return len(metrics["arms"][0]["curves"][0])


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            "few_labels",
            _plot_errors(metrics),
            "Errors against the share of the cases that have labels, on labels "
            "alone, on soft targets of the same cases, and of all cases",
        ),
        pages.Plot(
            "few_labels_curves",
            _plot_curves(metrics),
            "Errors against the updates, for each share",
        ),
    )


def _plot_errors(metrics):
    figure, axes = plots.new()
    for kind in ("labels", "same"):
        arms = [arm for arm in metrics["arms"] if arm["kind"] == kind]
        figures.sweep(
            axes,
            [100 * arm["share"] for arm in arms],
            arms,
            _COLOURS[kind],
            _MEANING[kind],
        )
    [unlabelled] = [arm for arm in metrics["arms"] if arm["kind"] == "all"]
    levels = (
        (unlabelled, _COLOURS["all"], _MEANING["all"]),
        (metrics["teacher"], plots.COLOURS["teacher"], "the teacher"),
    )
    for summary, colour, label in levels:
        plots.level(axes, summary["mean"], colour, label)
        if None not in summary["ci95"]:
            axes.axhspan(*summary["ci95"], color=colour, alpha=0.15, lw=0)
    shares = sorted({a["share"] for a in metrics["arms"] if a["share"]})
    plots.shares(axes, shares, "the training cases that have labels")
    _log_errors(axes)
    axes.set_ylabel(figures.errors_label(metrics) + " (log scale)")
    axes.set_title(
        f"{metrics['dataset']}: few labels (dots: seeds; line, band: 95 % "
        "interval of the mean)",
        fontsize=10,
    )
    axes.legend(fontsize=8)
    return figure


def _log_errors(axes):
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(alpha=0.3)


def _plot_curves(metrics):
    shares = sorted({a["share"] for a in metrics["arms"] if a["share"]})
    figure, panels = plots.new(len(shares))
    panels = np.ravel(panels)  # of one share there is one
    for axes, share in zip(panels, shares, strict=True):
        for arm in metrics["arms"]:
            if arm["share"] in (share, few_labels.NO_LABELS):
                _draw_curves(axes, arm)
        _log_errors(axes)
        axes.set_title(f"{share:.0%} of the labels", fontsize=9)
        axes.set_xlabel("updates")
    panels[0].set_ylabel(figures.errors_label(metrics) + " (log scale)")
    plots.legend_below(figure)
    return figure


def _draw_curves(axes, arm):
    per_epoch = arm["updates"] // arm["epochs"]
    for i, curve in enumerate(arm["curves"]):
        axes.plot(
            [per_epoch * point["epoch"] for point in curve],
            [point["errors"] for point in curve],
            color=_COLOURS[arm["kind"]],
            lw=1,
            label=_MEANING[arm["kind"]] if i == 0 else None,
        )

"""The section of an experiment of `trainers.mnist.omitted`."""

from trainers.core import pages, plots
from trainers.mnist import columns, figures

_WAYS = {
    "none": "as trained",
    "prior": "shares known, no labels",
    "prior_of_all": "the same of all digits",
    "labels": "held-out labels",
    "oracle": "evaluation cases (oracle)",
}
TITLES = {
    "omit_3": "No 3 in the transfer set",
    "only_7_8": "Only 7 and 8 in the transfer set",
}
# The paper's, on MNIST's test set: errors, errors on 3s, before and after a
# bias of so much.
_PAPER_BIAS = {"omit_3": 3.5, "only_7_8": -7.6}
PAPER = {
    "omit_3": {"none": (206, 133), "oracle": (109, 14)},
    "only_7_8": {"none": (4730, None), "oracle": (1320, None)},
}


def table(metrics):
    """Errors by way of choosing the bias as a `pages.Table`."""
    digits = " and ".join(str(digit) for digit in metrics["shifted"])
    head = ["bias chosen on", f"bias of {digits}", *columns.HEAD[:3]]
    head += ["omitted digits right"]
    paper = (
        PAPER[metrics["experiment"]] if figures.is_the_papers(metrics) else {}
    )
    head += ["paper: errors", "omitted right"] if paper else []
    rows = []
    for way, found in metrics["ways"].items():
        cells = [
            _WAYS[way],
            ", ".join(f"{shift:+.1f}" for shift in found["shift"]),
            *columns.of_errors(found["errors"]),
            _right(found["omitted_errors"]["mean"], metrics),
        ]
        if paper:
            total, omitted = paper.get(way, (None, None))
            cells += [
                "" if total is None else f"{total:,}",
                "" if omitted is None else _right(omitted, metrics),
            ]
        rows.append(cells)
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    before, after = metrics["ways"]["none"], metrics["ways"]["prior"]
    cases = metrics["cases"]
    said = [
        "A bias chosen without any label takes the errors from "
        f"{before['errors']['mean'] / cases:.2%} to "
        f"{after['errors']['mean'] / cases:.2%}, and the omitted digits that "
        f"are right from {_right(before['omitted_errors']['mean'], metrics)} "
        f"to {_right(after['omitted_errors']['mean'], metrics)}."
    ]
    of_all = metrics["ways"].get("prior_of_all")  # older figures lack it
    if of_all:
        said.append(
            "With a bias for each of the digits, of known shares too, they are "
            f"{of_all['errors']['mean'] / cases:.2%}."
        )
    return said


def introduction(metrics):
    """What is shown, a string."""
    return (
        f"Errors on {metrics['cases']:,} {metrics['evaluated_on']} cases, "
        f"{metrics['omitted_cases']:,} of them of digits that the student "
        "never saw, before and after a bias."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    return (
        pages.Plot(
            metrics["experiment"], _plot(metrics), "Errors against the bias"
        ),
    )


def _right(errors, metrics):
    return f"{1 - errors / metrics['omitted_cases']:.1%}"


def _plot(metrics):
    """Share of errors against a bias that all shifted digits get."""
    figure, axes = plots.new()
    sweep = metrics["sweep"]
    biases = [point["shift"][0] for point in sweep]
    lines = {
        "all digits": ("errors", metrics["cases"], plots.COLOURS["distilled"]),
        "omitted digits": (
            "omitted_errors",
            metrics["omitted_cases"],
            plots.COLOURS["student"],
        ),
    }
    for label, (name, cases, colour) in lines.items():
        axes.plot(
            biases,
            [100 * point[name]["mean"] / cases for point in sweep],
            color=colour,
            label=f"errors on {label}",
        )
    styles = {"none": "-", "prior": "--", "labels": "-.", "oracle": ":"}
    for way, style in styles.items():
        shift = metrics["ways"][way]["shift"]
        axes.axvline(
            sum(shift) / len(shift),
            color=plots.COLOURS["teacher"],
            linestyle=style,
            linewidth=1,
            label=_WAYS[way],
        )
    if figures.is_the_papers(metrics):
        paper = PAPER[metrics["experiment"]]
        axes.plot(
            [0.0, _PAPER_BIAS[metrics["experiment"]]],
            [100 * paper[way][0] / metrics["cases"] for way in paper],
            "kx",
            label="the paper's errors on all digits",
        )
    digits = " and ".join(str(digit) for digit in metrics["shifted"])
    axes.set_xlabel(f"added to the logit of {digits}")
    axes.set_ylabel(f"errors on {metrics['evaluated_on']} cases, %")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title(f"{metrics['dataset']}: {TITLES[metrics['experiment']]}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure

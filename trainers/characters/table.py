"""The wide net, and the narrow one on labels and with its soft targets."""

import kdtf
from trainers.characters import figures
from trainers.characters import run as runs
from trainers.core import pages, plots, run_directory, statistics, strategies

TITLE = "A convolutional student"
_KINDS = {
    "teacher": (runs.teacher, "teacher", "wide net on labels"),
    "labels": (runs.labels, "student", "narrow net on labels"),
    "distilled": (
        runs.distilled,
        "distilled",
        "narrow net, labels and soft targets",
    ),
}


def measure(run):
    """Trains what is missing, and exports a distilled student.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    arms = {name: of(run.settings) for name, (of, _, _) in _KINDS.items()}
    results = {name: run.train(arm) for name, arm in arms.items()}
    net = results["distilled"][0].net
    strategies.on_chief(lambda: _export(run, net))
    wrong = {name: run.wrong(found) for name, found in results.items()}
    share, interval = statistics.gain_transferred(
        *(wrong[name] for name in _KINDS)
    )
    return {
        **run.about("test"),
        "arms": {
            name: figures.of_arm(
                arms[name], results[name], results["teacher"], run
            )
            for name in _KINDS
        },
        "gain": figures.over_seeds(
            wrong["labels"].mean(1) - wrong["distilled"].mean(1)
        ),
        "paired": statistics.paired_errors(
            [wrong["distilled"]], [wrong["labels"]]
        ),
        "gain_transferred": {"mean": share, "ci95": interval},
    }


def _export(run, net):
    kdtf.export_student(
        net,
        run.directory / run_directory.EXPORT,
        class_names=run.data.class_names,
        overwrite=True,
    )


def table(metrics):
    """The arms as a `pages.Table`."""
    head = (
        "net",
        "multiply-adds",
        "weights",
        "test accuracy",
        "95 % interval",
        "a seed",
        "NLL",
        "ECE",
        "agrees with the teacher",
    )
    rows = []
    for name, arm in metrics["arms"].items():
        accuracy = arm["accuracy"]
        rows.append(
            (
                f"{name} ({_KINDS[name][2]})",
                f"{arm['multiply_adds'] / 1000:,.0f} k",
                f"{arm['parameters'] / 1000:,.0f} k",
                f"{accuracy['mean']:.1%}",
                pages.interval(accuracy["ci95"], ".1%"),
                ", ".join(f"{each:.1%}" for each in accuracy["each"]),
                f"{arm['nll']:.3f}",
                f"{arm['ece']:.1%}",
                f"{arm['agreement']:.1%}",
            )
        )
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    gain, share = metrics["gain"], metrics["gain_transferred"]
    points = [b and 100 * b for b in gain["ci95"]]
    said = [
        f"Soft targets add {100 * gain['mean']:+.1f} points of accuracy to the "
        f"same net, on the same data for as many epochs (95 % interval over "
        f"{metrics['seeds']} seeds, paired: {pages.interval(points, '+.1f')}; "
        f"p = {metrics['paired']['p_value']:.1g} in a paired test over "
        f"{metrics['cases']:,} test cases)."
    ]
    if share["mean"] is not None:
        said.append(
            f"That is {share['mean']:.0%} of the teacher's advantage over the "
            f"student on labels ({pages.interval(share['ci95'], '.0%')}, "
            "bootstrap over seeds and cases), in a net of "
            f"{_ratio(metrics, 'multiply_adds'):.1%} of the teacher's "
            f"multiply-adds and {_ratio(metrics, 'parameters'):.0%} of its "
            "weights."
        )
    return said


def _ratio(metrics, figure):
    arms = metrics["arms"]
    return arms["distilled"][figure] / arms["teacher"][figure]


def details(metrics, data):
    """The section's plot."""
    del data
    return (
        pages.Plot(
            "characters",
            _plot(metrics),
            "Test accuracy of the three nets, each seed, and held-out accuracy "
            "against the epoch",
        ),
    )


def _plot(metrics):
    figure, (left, right) = plots.new(columns=2)
    for x, (name, arm) in enumerate(metrics["arms"].items()):
        colour = plots.COLOURS[_KINDS[name][1]]
        plots.with_interval(left, x, plots.percent(arm["accuracy"]), colour)
        for i, curve in enumerate(arm["curves"]):
            right.plot(
                [point["epoch"] for point in curve],
                [100 * point["held_out_accuracy"] for point in curve],
                color=colour,
                lw=1,
                label=None if i else f"{name}: {_KINDS[name][2]}",
            )
    left.set_xticks(range(len(_KINDS)), list(_KINDS))
    left.set_xlim(-0.5, len(_KINDS) - 0.5)
    left.set_ylabel(f"accuracy on {metrics['cases']:,} test cases, %")
    left.set_title("a point a seed; mean, and its 95 % interval", fontsize=9)
    right.set_xlabel("epoch")
    right.set_ylabel("accuracy on held-out cases, %")
    right.set_title("a line a seed", fontsize=9)
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
    plots.legend_below(figure)
    return figure

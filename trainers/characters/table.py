"""The wide net, and the narrow one on labels and with its soft targets.

Both students are trained for a short and for a long time.
"""

import kdtf
from trainers.characters import figures
from trainers.characters import run as runs
from trainers.core import pages, plots, run_directory, statistics, strategies

TITLE = "A convolutional student"
_MEANING = {
    "teacher": "wide net on labels",
    "labels": "narrow net on labels",
    "distilled": "narrow net, labels and soft targets",
}
_COLOURS = {
    "teacher": "teacher",
    "labels": "student",
    "distilled": "distilled",
}
_TIMES = ("short", "long")


def arms_of(settings):
    """Dict from (what it learns from, "short" or "long") to the `nets.Arm`."""
    students = {"labels": runs.labels, "distilled": runs.distilled}
    long = {(n, "long"): of(settings) for n, of in students.items()}
    short = {
        (n, "short"): runs.short(a, settings) for (n, _), a in long.items()
    }
    return {("teacher", "long"): runs.teacher(settings), **short, **long}


def measure(run):
    """Trains what is missing, and exports a distilled student.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    arms = arms_of(run.settings)
    results = {key: run.train(arm) for key, arm in arms.items()}
    net = results["distilled", "long"][0].net
    strategies.on_chief(lambda: _export(run, net))
    teachers = results["teacher", "long"]
    return {
        **run.about("test"),
        "arms": [
            {
                "name": name,
                "time": time,
                **figures.of_arm(arm, results[name, time], teachers, run),
            }
            for (name, time), arm in arms.items()
        ],
        "gains": {time: _gain(run, results, time) for time in _TIMES},
    }


def _gain(run, results, time):
    """What soft targets gain over labels, of nets trained for as long."""
    teacher, labels, distilled = (
        run.wrong(results[key])
        for key in (("teacher", "long"), ("labels", time), ("distilled", time))
    )
    share, interval = statistics.gain_transferred(teacher, labels, distilled)
    return {
        **statistics.over_seeds(labels.mean(1) - distilled.mean(1)),
        "p_value": statistics.paired_errors([distilled], [labels])["p_value"],
        "transferred": {"mean": share, "ci95": interval},
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
        "epochs",
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
    for arm in metrics["arms"]:
        accuracy = arm["accuracy"]
        rows.append(
            (
                f"{arm['name']} ({_MEANING[arm['name']]})",
                str(arm["epochs"]),
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
    arms = {(arm["name"], arm["time"]): arm for arm in metrics["arms"]}
    said = [
        _of_gain(metrics, arms["distilled", time], metrics["gains"][time])
        for time in _TIMES
    ]
    of = {
        figure: arms["distilled", "long"][figure]
        / arms["teacher", "long"][figure]
        for figure in ("multiply_adds", "parameters")
    }
    return [
        *said,
        f"A student has {of['multiply_adds']:.1%} of the teacher's "
        f"multiply-adds and {of['parameters']:.0%} of its weights.",
    ]


def _of_gain(metrics, student, gain):
    points = [b and 100 * b for b in gain["ci95"]]
    share = gain["transferred"]
    said = (
        f"In {student['epochs']} epochs soft targets add "
        f"{100 * gain['mean']:+.1f} points of accuracy (95 % interval over "
        f"{metrics['seeds']} seeds, paired: {pages.interval(points, '+.1f')}; "
        f"{pages.p_value(gain)} in a paired test over "
        f"{metrics['cases']:,} test cases)"
    )
    if share["mean"] is None:
        return f"{said}."
    return (
        f"{said}: {share['mean']:.0%} of the teacher's advantage over the "
        f"student on labels ({pages.interval(share['ci95'], '.0%')}, bootstrap "
        "over seeds and cases)."
    )


def details(metrics, data):
    """The section's plot."""
    del data
    return (
        pages.Plot(
            "characters",
            _plot(metrics),
            "Test accuracy of the nets, each seed, and held-out accuracy "
            "against the epoch",
        ),
    )


def _plot(metrics):
    figure, (left, right) = plots.new(columns=2)
    for x, arm in enumerate(metrics["arms"]):
        colour = plots.COLOURS[_COLOURS[arm["name"]]]
        plots.with_interval(left, x, plots.percent(arm["accuracy"]), colour)
        plots.curves(
            right,
            arm["curves"],
            lambda point: 100 * point["held_out_accuracy"],
            colour,
            _MEANING[arm["name"]] if arm["time"] == "long" else None,
        )
    names = [f"{a['name']}\n{a['epochs']} epochs" for a in metrics["arms"]]
    left.set_xticks(range(len(names)), names, fontsize=8)
    left.set_xlim(-0.5, len(names) - 0.5)
    left.set_ylabel(f"accuracy on {metrics['cases']:,} test cases, %")
    left.set_title("a point a seed; mean, and its 95 % interval", fontsize=9)
    right.set_xlabel("epoch")
    right.set_ylabel("accuracy on held-out cases, %")
    right.set_title("a line a seed", fontsize=9)
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.3)
    plots.legend_below(figure)
    return figure

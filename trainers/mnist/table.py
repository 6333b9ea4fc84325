"""The paper's table: a teacher, a student on labels, a distilled student."""

import kdtf
from trainers.core import (
    pages,
    plots,
    run_directory,
    statistics,
    strategies,
)
from trainers.core.errors import FlagsError
from trainers.mnist import columns, evaluation, figures, gallery, recipes

TITLE = "The paper's table"
ARMS = ("teacher", "student", "distilled")
MEANING = {
    "teacher": "big net, regularised",
    "student": "small net, labels only",
    "distilled": "small net, soft targets",
}


def measure(run):
    """Trains what is missing, and exports the distilled student.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    arms = {name: getattr(recipes, name)(run.settings) for name in ARMS}
    results = {"teacher": run.teachers()}
    students = [arms["student"], arms["distilled"]]
    results["student"], results["distilled"] = run.students(students)
    distilled = results["distilled"][0].net
    strategies.on_chief(lambda: _export(distilled, run))
    return {**evaluation.about(run), **summarise(results, arms, run.data)}


def _export(net, run):
    """Writes a student as a SavedModel, in place of an older one."""
    try:
        kdtf.export_student(
            net,
            run.directory / run_directory.EXPORT,
            class_names=[str(digit) for digit in range(run.data.classes)],
            overwrite=True,
        )
    except ValueError as error:
        raise FlagsError(
            f"The student could not be exported: {error}"
        ) from error


def summarise(results, arms, data):
    """The figures of the three arms.

    Args:
      results: dict from arm name to a list of `results.Result`, one a seed.
      arms: dict from arm name to `nets.Arm`.
      data: the `trainers.data.ImageData` that was evaluated on.

    Returns:
      Dict.
    """
    teachers = [result.eval_logits for result in results["teacher"]]
    share, interval = statistics.gain_transferred(
        *(evaluation.wrong(results[name], data) for name in ARMS)
    )
    return {
        "arms": {
            name: {
                **evaluation.summarise_arm(
                    arms[name], results[name], teachers, data
                ),
                "curves": [result.curve for result in results[name]],
            }
            for name in ARMS
        },
        "mcnemar": {
            f"{first}_and_{second}": evaluation.compare(
                results[first], results[second], data
            )
            for first, second in (
                ("student", "distilled"),
                ("teacher", "distilled"),
            )
        },
        "gain_transferred": {"mean": share, "ci95": interval},
        "gallery": gallery.pick(
            {name: results[name][0].eval_logits for name in ARMS}, data
        ),
    }


def table(metrics):
    """The arms as a `pages.Table`."""
    with_paper = figures.is_the_papers(metrics)
    head = ["net", "hidden units", *columns.HEAD]
    head += ["paper"] if with_paper else []
    rows = []
    for name, arm in metrics["arms"].items():
        cells = [f"{name} ({MEANING[name]})", f"2 x {arm['units']}"]
        cells += columns.of(arm)
        cells += [str(figures.PAPER_ERRORS[name])] if with_paper else []
        rows.append(cells)
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    gain = metrics["gain_transferred"]
    said = []
    if gain["mean"] is not None:
        said.append(
            f"The distilled student keeps {gain['mean']:.0%} of the teacher's "
            "advantage over the plain student (95 % interval "
            f"{pages.interval(gain['ci95'], '.0%')}, bootstrap over seeds "
            "and cases)."
        )
    for pair, tests in metrics["mcnemar"].items():
        first, second = pair.split("_and_")
        text = "; ".join(
            f"{t['only_first_wrong']} against {t['only_second_wrong']}, "
            f"{pages.p_value(t)}"
            for t in tests["seeds"]
        )
        said.append(
            f"Cases that only the {first} or only the {second} net gets "
            f"wrong, each seed, with McNemar's exact test: {text}."
        )
    return said


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    return (
        pages.Plot("errors", _plot_errors(metrics), "Errors of the three nets"),
        pages.Plot(
            "learning_curves", _plot_curves(metrics), "Errors against the epoch"
        ),
        gallery.block(metrics["gallery"], data),
    )


def _plot_errors(metrics):
    figure, axes = plots.new()
    for x, (name, arm) in enumerate(metrics["arms"].items()):
        colour = plots.COLOURS[name]
        axes.bar(x, arm["mean"], 0.6, color=colour, alpha=0.35)
        figures.with_interval(axes, x, arm, colour)
        axes.annotate(
            f"{arm['mean']:.1f}", (x + 0.31, arm["mean"]), va="center"
        )
        if figures.is_the_papers(metrics):
            paper = figures.PAPER_ERRORS[name]
            axes.hlines(paper, x - 0.3, x + 0.3, color="black", ls="--")
    axes.plot([], [], "o", color="grey", ms=3, label="one seed")
    axes.plot([], [], color="grey", lw=2, label="95 % interval of the mean")
    if figures.is_the_papers(metrics):
        axes.plot([], [], "k--", label="the paper's figure")
    axes.set_xticks(
        range(len(metrics["arms"])),
        [
            f"{name}\n2 x {arm['units']} units\n{MEANING[name]}"
            for name, arm in metrics["arms"].items()
        ],
    )
    axes.set_xlim(-0.6, len(metrics["arms"]) - 0.2)
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.set_ylabel(figures.errors_label(metrics))
    axes.set_title(
        f"{metrics['dataset']}: errors of the three nets (bar: mean)"
    )
    axes.legend()
    return figure


def _plot_curves(metrics):
    figure, axes = plots.new()
    for name, arm in metrics["arms"].items():
        figures.curves(
            axes, arm, plots.COLOURS[name], f"{name}: {MEANING[name]}"
        )
    figures.finish_curves(axes, metrics)
    return figure

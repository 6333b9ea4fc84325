"""An ensemble's soft targets beside those of one teacher (paper, section 2).

The members' distributions are combined by their arithmetic mean at T, or by
their geometric mean, which is the mean of the logits.
"""

import dataclasses

import numpy as np
import tensorflow as tf

import kdtf
from trainers import columns, evaluation, pages, plots, recipes

TITLE = "An ensemble of teachers"
COMBINATIONS = ("arithmetic", "geometric")


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    shared = {
        combine: recipes.ensemble(run.settings, combine)
        for combine in COMBINATIONS
    }
    members = run.members(shared["geometric"])
    one = recipes.distilled(run.settings)
    arms = {
        "one teacher": one,
        **{
            f"{combine} mean": dataclasses.replace(one, ensemble=ensemble)
            for combine, ensemble in shared.items()
        },
    }
    results = {name: run.students(arm) for name, arm in arms.items()}
    ensembles = {
        f"{combine} mean": combined_logits(members, combine)
        for combine in COMBINATIONS
    }
    ensembles["one teacher"] = run.teacher(0).eval_logits
    teachers = {
        name: [run.teacher(seed).eval_logits for seed in range(run.seeds)]
        if name == "one teacher"
        else [ensembles[name]] * run.seeds
        for name in arms
    }
    labels = run.data.eval_labels
    return {
        **evaluation.about(run),
        "members": evaluation.summarise_errors(
            evaluation.wrong(members, run.data).sum(1)
        ),
        "teachers": {
            name: evaluation.summarise_errors(
                [(z.argmax(-1) != labels).sum() for z in _unique(logits)]
            )
            for name, logits in teachers.items()
        },
        "arms": {
            name: evaluation.summarise_arm(
                arm, results[name], teachers[name], run.data
            )
            for name, arm in arms.items()
        },
        "against_one": {
            name: evaluation.compare(
                results[name], results["one teacher"], run.data
            )
            for name in arms
            if name != "one teacher"
        },
    }


def combined_logits(members, combine):
    """`[cases, classes]` logits of the members' mean at T = 1."""
    logits = [result.eval_logits for result in members]
    ensemble = kdtf.Ensemble([m.net for m in members], combine=combine)
    return ensemble.combine_logits(
        [tf.constant(z) for z in logits], 1.0
    ).numpy()


def _unique(arrays):
    """The arrays without those that are the very same object again."""
    return list({id(array): array for array in arrays}.values())


def table(metrics):
    """Teachers and their students as a `pages.Table`."""
    head = ["taught by", "teacher's errors", *columns.HEAD]
    rows = [
        [name, f"{metrics['teachers'][name]['mean']:.1f}", *columns.of(arm)]
        for name, arm in metrics["arms"].items()
    ]
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    members = metrics["members"]
    said = [
        f"The {len(members['test_errors'])} members make "
        f"{members['mean']:.1f} errors on average, "
        f"{min(members['test_errors'])} to {max(members['test_errors'])}."
    ]
    for name, tests in metrics["against_one"].items():
        said.append(
            f"Taught by the {name} against one teacher: "
            f"{evaluation.say_difference(tests['all'])}."
        )
    return said


def blocks(metrics, data):
    """The section's blocks."""
    del data
    return (
        table(metrics),
        pages.Bullets(findings(metrics)),
        pages.Plot(
            "ensemble",
            _plot(metrics),
            "Errors of one teacher, of the ensembles, and of their students",
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    names = ["members", *metrics["arms"]]
    teachers = [metrics["members"], *metrics["teachers"].values()]
    places = np.arange(len(names))
    for x, name, teacher in zip(places, names, teachers, strict=True):
        colour = plots.COLOURS["teacher"]
        axes.bar(x - 0.2, teacher["mean"], 0.36, color=colour, alpha=0.3)
        plots.with_interval(axes, x - 0.2, teacher, colour)
        if name in metrics["arms"]:
            arm = metrics["arms"][name]
            colour = plots.COLOURS["distilled"]
            axes.bar(x + 0.2, arm["mean"], 0.36, color=colour, alpha=0.3)
            plots.with_interval(axes, x + 0.2, arm, colour)
    axes.bar(0, 0, color=plots.COLOURS["teacher"], alpha=0.3, label="teacher")
    axes.bar(
        0,
        0,
        color=plots.COLOURS["distilled"],
        alpha=0.3,
        label="its student (bar: mean; dots: seeds; line: 95 % interval)",
    )
    if plots.is_the_papers(metrics):
        for name in ("teacher", "distilled"):
            plots.level(
                axes,
                plots.PAPER_ERRORS[name],
                plots.COLOURS[name],
                f"the paper's {name} net",
            )
    axes.set_xticks(places, names)
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])  # room for the legend
    axes.set_ylabel(plots.errors_label(metrics))
    axes.set_title(f"{metrics['dataset']}: one teacher and an ensemble")
    axes.legend(fontsize=8)
    return figure

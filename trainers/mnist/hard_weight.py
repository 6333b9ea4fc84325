"""Students from soft targets alone to labels alone.

The paper (section 2): the best results were generally obtained with a
considerably lower weight on the hard term.
"""

import dataclasses

from trainers.core import pages, plots, statistics
from trainers.mnist import columns, evaluation, figures, recipes

TITLE = "Weight of the hard term"
HARD_WEIGHTS = (0.0, 0.1, 0.3, 0.6, 1.0)


def arm(settings, hard_weight):
    """The arm of a weight of the hard term; that of the soft one is the rest.

    Labels alone are the plain student, with the rate that was chosen for it.
    """
    if hard_weight == 1.0:
        return recipes.for_sweep(recipes.student(settings), settings)
    distilled = recipes.for_sweep(recipes.distilled(settings), settings)
    return weighted(distilled, hard_weight)


def weighted(arm, hard_weight):
    """An arm with soft targets, with that weight of the hard term."""
    return dataclasses.replace(
        arm,
        soft_weight=round(1.0 - hard_weight, 6),
        hard_weight=hard_weight,
    )


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    arms = [arm(run.settings, weight) for weight in HARD_WEIGHTS]
    return summarise(run, arms, run.students(arms))


def summarise(run, arms, results):
    """The figures of students that differ in the weight of the hard term.

    Args:
      run: `trainers.mnist.runs.Run`.
      arms: list of `nets.Arm`, one for each of `HARD_WEIGHTS`.
      results: list of lists of `results.Result`, one an arm and a seed.

    Returns:
      Dict.
    """
    teachers = [teacher.eval_logits for teacher in run.teachers()]

    def wrong(belongs):
        return [
            evaluation.wrong(r, run.data)
            for r, weight in zip(results, HARD_WEIGHTS, strict=True)
            if belongs(weight)
        ]

    low = wrong(lambda weight: 0 < weight < 0.5)
    return {
        **evaluation.about(run),
        "hard_weights": list(HARD_WEIGHTS),
        "arms": [
            evaluation.summarise_arm(a, r, teachers, run.data)
            for a, r in zip(arms, results, strict=True)
        ],
        "low_against_none": statistics.paired_errors(
            low, wrong(lambda weight: weight == 0)
        ),
        "low_against_half_and_more": statistics.paired_errors(
            low, wrong(lambda weight: 0.5 <= weight < 1)
        ),
    }


def table(metrics):
    """Errors by weight as a `pages.Table`."""
    head = ["weight of the hard term", *columns.HEAD]
    rows = [
        [_name(weight), *columns.of(arm)]
        for weight, arm in zip(
            metrics["hard_weights"], metrics["arms"], strict=True
        )
    ]
    return pages.Table(head, rows)


def _name(weight):
    names = {0.0: "0 (soft targets alone)", 1.0: "1 (labels alone)"}
    return names.get(weight, f"{weight:g}")


def findings(metrics):
    """The paper's claim, answered, as a list of sentences."""
    more = metrics["low_against_half_and_more"]
    none = metrics["low_against_none"]
    better = more["difference"] < 0 and more["p_value"] < 0.05
    return [
        "Is a hard weight below a half better than one of a half and more? "
        f"{'yes' if better else 'no'}: {evaluation.say_difference(more)}.",
        "A hard weight below a half against none at all: "
        f"{evaluation.say_difference(none)}.",
    ]


def introduction(metrics):
    """What is shown, a string."""
    settings = metrics["settings"]
    return (
        f"Students of {settings['sweep_epochs']} epochs at T = "
        f"{settings['temperature']:g}; the weight of the soft term is what "
        "that of the hard one leaves."
    )


def details(metrics, data):
    """The section's plots, and what belongs to them."""
    del data
    figure = plot(metrics)
    if figures.is_the_papers(metrics):
        [axes] = figure.axes
        for weight, name in ((0, "distilled"), (1, "student")):
            errors = figures.PAPER_ERRORS[name]
            axes.plot([weight], [errors], "kx")
        axes.plot([], [], "kx", label="the paper's distilled and plain net")
        axes.legend(loc="upper left")
    return (
        pages.Plot(
            "hard_weight",
            figure,
            "Errors against the weight of the hard term",
        ),
    )


def plot(metrics):
    """Errors against the weight, a `matplotlib.figure.Figure`."""
    figure, axes = plots.new()
    figures.sweep(
        axes,
        metrics["hard_weights"],
        metrics["arms"],
        plots.COLOURS["distilled"],
        "mean, 95 % interval, seeds",
    )
    axes.set_xlabel("weight of the hard term (the soft term has the rest)")
    axes.set_ylabel(figures.errors_label(metrics))
    axes.set_title(f"{metrics['dataset']}: from soft targets to labels alone")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return figure

"""The narrow net on few labelled drawings: labels, or soft targets.

The paper's section 6 with a convolutional student: soft targets, of the wide
net that has seen all drawings, as regularisers. Two students see the same few
drawings; a third sees all, of which the same few have labels. All are trained
for as many steps.
"""

import dataclasses

import numpy as np

from trainers.characters import figures
from trainers.characters import run as runs
from trainers.core import pages, plots, statistics

TITLE = "Few drawings of a character"
DRAWINGS = 3  # of each character, by the first drawers
_MEANING = {
    "labels": "labels",
    "distilled": "labels and soft targets",
    "unlabelled": "labels of few, soft targets of all",
}
_COLOURS = {
    "labels": "student",
    "distilled": "distilled",
    "unlabelled": "teacher",
}


def few_of(data, drawings):
    """The data with the first drawings of each character alone to train on.

    Args:
      data: a `trainers.data.images.SplitImages`.
      drawings: int, of each character.

    Returns:
      `trainers.data.images.SplitImages`.
    """
    rows = _first(data, drawings)
    return dataclasses.replace(
        data,
        train_images=data.train_images[rows],
        train_labels=data.train_labels[rows],
    )


def few_labels_of(data, drawings):
    """The data with labels of the first drawings alone; -1 for all others.

    Args:
      data: a `trainers.data.images.SplitImages`.
      drawings: int, of each character.

    Returns:
      `trainers.data.images.SplitImages`.
    """
    labels = np.full_like(data.train_labels, -1)
    rows = _first(data, drawings)
    labels[rows] = data.train_labels[rows]
    return dataclasses.replace(data, train_labels=labels)


def _first(data, drawings):
    return np.concatenate(
        [
            np.flatnonzero(data.train_labels == character)[:drawings]
            for character in range(data.classes)
        ]
    )


def arms_of(settings, share):
    """Dict from name to `nets.Arm`, of as many steps as a short training.

    Args:
      settings: `settings.Settings`.
      share: float, of the training cases that are labelled.
    """
    epochs = max(1, round(settings.short_epochs / share))
    arms = {"labels": runs.labels, "distilled": runs.distilled}
    return {
        **{
            name: dataclasses.replace(of(settings), epochs=epochs)
            for name, of in arms.items()
        },
        "unlabelled": runs.short(runs.distilled(settings), settings),
    }


def runs_of(run):
    """Dict from an arm's name to the `run.Run` that trains it."""
    few, all_drawings = (
        dataclasses.replace(
            run,
            data=data_of(run.data, DRAWINGS),
            directory=run.directory / f"{name}{DRAWINGS}",
            teachers=run,
        )
        for name, data_of in (("drawings", few_of), ("labels", few_labels_of))
    )
    return {"labels": few, "distilled": few, "unlabelled": all_drawings}


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    trained_by = runs_of(run)
    few = trained_by["labels"]
    share = len(few.data.train_labels) / len(run.data.train_labels)
    arms = arms_of(run.settings, share)
    results = {name: trained_by[name].train(arm) for name, arm in arms.items()}
    teachers = run.train(runs.teacher(run.settings))
    return {
        **run.about("test"),
        "drawings": DRAWINGS,
        "arms": [
            {
                "name": name,
                "train_cases": len(trained_by[name].data.train_labels),
                **figures.of_arm(arm, results[name], teachers, run),
            }
            for name, arm in arms.items()
        ],
        "gains": {
            name: _gain(run.wrong(results["labels"]), run.wrong(found))
            for name, found in results.items()
            if name != "labels"
        },
    }


def _gain(labels, distilled):
    """What soft targets gain over labels, of `[seeds, cases]` errors."""
    return {
        **statistics.over_seeds(labels.mean(1) - distilled.mean(1)),
        "p_value": statistics.paired_errors([distilled], [labels])["p_value"],
    }


def table(metrics):
    """The arms as a `pages.Table`."""
    head = (
        "narrow net on",
        "drawings",
        "with a label",
        "epochs",
        "test accuracy",
        "95 % interval",
        "a seed",
        "NLL",
        "ECE",
        "agrees with the teacher",
    )
    rows = [
        (
            _MEANING[arm["name"]],
            f"{arm['train_cases']:,}",
            f"{metrics['drawings'] * metrics['classes']:,}",
            str(arm["epochs"]),
            f"{arm['accuracy']['mean']:.1%}",
            pages.interval(arm["accuracy"]["ci95"], ".1%"),
            ", ".join(f"{each:.1%}" for each in arm["accuracy"]["each"]),
            f"{arm['nll']:.3f}",
            f"{arm['ece']:.1%}",
            f"{arm['agreement']:.1%}",
        )
        for arm in metrics["arms"]
    ]
    return pages.Table(head, rows)


def findings(metrics):
    """What the figures say, as a list of sentences."""
    accuracy = {a["name"]: a["accuracy"]["mean"] for a in metrics["arms"]}
    beginning = {
        "distilled": "Soft targets on the same drawings",
        "unlabelled": "Soft targets on all drawings, labels on those",
    }
    return [
        f"With {metrics['drawings']} labelled drawings of each character the "
        f"small net gets {accuracy['labels']:.1%} right.",
        *(
            f"{beginning[name]}: {accuracy[name]:.1%}, "
            f"{_said_of(gain, metrics)}."
            for name, gain in metrics["gains"].items()
        ),
    ]


def _said_of(gain, metrics):
    points = [b and 100 * b for b in gain["ci95"]]
    return (
        f"{100 * gain['mean']:+.1f} points (95 % interval over "
        f"{metrics['seeds']} seeds, paired: {pages.interval(points, '+.1f')}; "
        f"{pages.p_value(gain)} in a paired test over "
        f"{metrics['cases']:,} test cases)"
    )


def details(metrics, data):
    """The section's plot."""
    del data
    return (
        pages.Plot(
            "few",
            _plot(metrics),
            "Held-out accuracy against the epoch, on few drawings",
        ),
    )


def _plot(metrics):
    figure, axes = plots.new()
    for arm in metrics["arms"]:
        for i, curve in enumerate(arm["curves"]):
            axes.plot(
                [point["epoch"] for point in curve],
                [100 * point["held_out_accuracy"] for point in curve],
                color=plots.COLOURS[_COLOURS[arm["name"]]],
                lw=1,
                label=_MEANING[arm["name"]] if i == 0 else None,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy on held-out cases, %")
    axes.set_title("a line a seed", fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    plots.legend_below(figure)
    return figure

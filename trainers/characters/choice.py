"""How the settings of the students were chosen: on held-out drawings.

By short trainings. What is not varied is as the flags say.
Test drawings are not looked at.
"""

import dataclasses

from trainers.characters import run as runs
from trainers.core import pages, statistics

TITLE = "The choice of settings"
_LABELS = (  # augmentation and L2
    (0.5, 0.0),
    (0.5, 1e-5),
    (0.7, 1e-5),
    (1.0, 1e-5),
    (0.7, 1e-4),
    (0.7, 5e-4),
)
_DISTILLED = (  # T and soft weight
    (1.0, 0.9),
    (2.0, 0.9),
    (4.0, 0.9),
    (8.0, 0.9),
    (4.0, 0.5),
)


def arms_of(settings):
    """Dict from kind to the list of `nets.Arm`s that were compared."""
    labels, distilled = (
        runs.short(of(settings), settings)
        for of in (runs.labels, runs.distilled)
    )
    return {
        "labels": [
            dataclasses.replace(labels, augmentation=augmentation, l2=l2)
            for augmentation, l2 in _LABELS
        ],
        "distilled": [
            dataclasses.replace(
                distilled,
                temperature=temperature,
                soft_weight=weight,
                hard_weight=1.0 - weight,
            )
            for temperature, weight in _DISTILLED
        ],
    }


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    return {
        **run.about("held-out"),
        "arms": [
            {"kind": kind, **_said_of(arm), "accuracy": _held_out(run, arm)}
            for kind, arms in arms_of(run.settings).items()
            for arm in arms
        ],
    }


def _said_of(arm):
    names = (
        "augmentation",
        "l2",
        "temperature",
        "soft_weight",
    )
    return {name: getattr(arm, name) for name in names}


def _held_out(run, arm):
    return statistics.over_seeds(
        [r.curve[-1]["held_out_accuracy"] for r in run.train(arm)]
    )


def table(metrics):
    """The settings that were compared, those of each kind together."""
    head = (
        "learns from",
        "augmentation",
        "L2",
        "T",
        "soft weight",
        "held-out accuracy",
    )
    rows = []
    for arm in metrics["arms"]:
        is_best = arm is best(metrics, arm["kind"])
        accuracy = f"{arm['accuracy']['mean']:.1%}"
        soft = arm["kind"] == "distilled"
        rows.append(
            (
                "labels and soft targets" if soft else "labels",
                f"{arm['augmentation']:g}",
                f"{arm['l2']:g}",
                f"{arm['temperature']:g}" if soft else "",
                f"{arm['soft_weight']:g}" if soft else "",
                f"**{accuracy}**" if is_best else accuracy,
            )
        )
    return pages.Table(head, rows)


def best(metrics, kind):
    """The figures of the first of the best arms of a kind."""
    arms = [arm for arm in metrics["arms"] if arm["kind"] == kind]
    return max(arms, key=lambda arm: arm["accuracy"]["mean"])


def findings(metrics):
    """What the figures say, as a list of sentences."""
    labels, distilled = (best(metrics, k) for k in ("labels", "distilled"))
    plural = "s" if metrics["seeds"] > 1 else ""
    return [
        f"Best on labels: augmentation {labels['augmentation']:g}, L2 "
        f"{labels['l2']:g}; distilled: T = "
        f"{distilled['temperature']:g}, soft weight "
        f"{distilled['soft_weight']:g}; by the accuracy on "
        f"{metrics['cases']:,} held-out drawings, {metrics['seeds']} "
        f"seed{plural}."
    ]


def details(metrics, data):
    """Nothing but the table."""
    del metrics, data
    return ()

"""How the settings of nets that see few clips were chosen: on held-out clips.

Each net differs from the recipe's in what its row says, and in nothing else.
Test clips are not looked at.
"""

import dataclasses

from trainers.core import pages, statistics
from trainers.speech import recipes
from trainers.speech.about import about, say_data

TITLE = "The choice of settings for few clips"
IN_ALL = False  # of held-out clips alone
SHARE = recipes.SHARES[0]
_EVEN = dataclasses.replace(recipes.WIDE, tempo=1.0, colour=0.0)
# What a row says, and the fields of `nets.Arm` that differ.
_VARIED = {
    "hard": {
        "the recipe": {},
        "wide hearings": {"hears": recipes.WIDE},
        "half the rate": {"learning_rate": 0.001},
    },
    "soft": {
        "the recipe": {},
        "no windows mixed": {"mixed": 0.0},
        "all windows mixed": {"mixed": 1.0},
        "hearings of the clip's tempo and colour": {"hears": _EVEN},
        "taught by the ensemble": {"taught_by": "ensemble"},
        "T = 2": {"temperature": 2.0},
        "T = 8": {"temperature": 8.0},
        "512 units": {"units": 512},
        "twice the batch": {"batch_size": 512},
    },
}


def measure(run):
    """Trains what is missing.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    return {
        **about(run),
        "evaluated_on": "held-out",
        "arms": [
            {
                "kind": kind,
                "varied": varied,
                "accuracy": _held_out(run, kind, fields),
            }
            for kind, every in _VARIED.items()
            for varied, fields in every.items()
        ],
    }


def _held_out(run, kind, fields):
    """Mean and interval over folds and seeds, of what an arm ends with."""
    arm = recipes.few_clips(run.settings, SHARE, soft=kind == "soft")
    arm = dataclasses.replace(arm, **fields)
    found = [
        fold.train(arm, seed) for fold in run.folds for seed in range(run.seeds)
    ]
    points = [result.best or result.curve[-1] for result in found]
    each = [point["held_out_accuracy"] for point in points]
    mean, interval = statistics.mean_and_interval(each)
    return {"each": each, "mean": mean, "ci95": interval}


def table(metrics):
    """The nets that were compared, those of each kind together."""
    head = [
        "learns from",
        "what is varied",
        "held-out frame accuracy",
        "95 % interval",
    ]
    rows = []
    for arm in metrics["arms"]:
        accuracy = f"{arm['accuracy']['mean']:.2%}"
        rows.append(
            [
                {"hard": "labels", "soft": "soft targets"}[arm["kind"]],
                arm["varied"],
                f"**{accuracy}**" if arm is _best(metrics, arm) else accuracy,
                pages.interval(arm["accuracy"]["ci95"], ".2%"),
            ]
        )
    return pages.Table(head, rows)


def _best(metrics, like):
    """The figures of the first of the best arms of the kind of another."""
    arms = [arm for arm in metrics["arms"] if arm["kind"] == like["kind"]]
    return max(arms, key=lambda arm: arm["accuracy"]["mean"])


def findings(metrics):
    """What the figures say, as a list of sentences."""
    settings = metrics["settings"]
    return [
        *say_data(metrics),
        f"{SHARE:.0%} of the training clips, {settings['updates']:,} updates, "
        f"{metrics['seeds']} seed{'s' if metrics['seeds'] > 1 else ''}.",
    ]


def details(metrics, data):
    """Nothing beside the table."""
    del metrics, data
    return ()

"""The weight of the hard term where labels, and soft targets, are of few cases.

The paper's claim (section 2) as `trainers.mnist.hard_weight` asks for it, for
the students of `trainers.mnist.few_labels`.
"""

from trainers.core import pages
from trainers.mnist import few_labels, hard_weight

TITLE = "Weight of the hard term with few labels"
SHARE = 0.03  # of the labels, as in the paper's section 6


def measure(run):
    """Trains what is missing.

    Args:
      run: `trainers.mnist.runs.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    _, cases = few_labels.split(run.data.train_labels)
    named, arms = [], []
    for weight in hard_weight.HARD_WEIGHTS:
        named.append(("labels" if weight == 1.0 else "same", SHARE))
        arm = few_labels.arm_of(run.settings, *named[-1], len(cases))
        if weight < 1.0:
            arm = hard_weight.weighted(arm, weight)
        arms.append(arm)
    results = few_labels.train(run, arms, named)
    return {
        "share": SHARE,
        "updates": arms[0].epochs * arms[0].steps,
        **hard_weight.summarise(run, arms, results),
    }


table = hard_weight.table
findings = hard_weight.findings


def introduction(metrics):
    """What is shown, a string."""
    settings = metrics["settings"]
    return (
        f"Students of {metrics['share']:.0%} of the cases in "
        f"{metrics['updates']:,} updates, at T = {settings['temperature']:g}; "
        "the weight of the soft term is what that of the hard one leaves. The "
        "student on labels alone stops early, see the section on few labels."
    )


def details(metrics, data):
    """The section's plot."""
    del data
    return (
        pages.Plot(
            "few_labels_weight",
            hard_weight.plot(metrics),
            "Errors against the weight of the hard term, with few labels",
        ),
    )

"""How the settings were chosen: on training cases held out.

Each net differs from the flags' in what its row says, and in nothing else.
"""

import dataclasses

from trainers.core import pages
from trainers.core.errors import FlagsError
from trainers.mnist import columns, evaluation, recipes

# Why a run of test cases is refused.
TEST_CASES = (
    "Settings must be chosen on held-out training cases, since nothing is "
    "chosen by test figures: add --held_out=10000, or --held_out=300 for "
    "digits. Received: --held_out=0"
)
OF_TABLE = {
    "teacher": (
        {},
        {"hidden_dropout": 0.3},
        {"hidden_dropout": 0.4},
        {"learning_rate": 0.0005},
        {"learning_rate": 0.002},
        {"max_norm": 3.0},
    ),
    "student": (
        {},
        {"learning_rate": 0.0005},
        {"learning_rate": 0.002},
    ),
    "distilled": (
        {},
        {"learning_rate": 0.0005},
        {"learning_rate": 0.002},
        {"temperature": 4.0},
        {"temperature": 8.0},
        {"temperature": 40.0},
    ),
}
OF_CONVOLUTIONAL = {
    "convolutional_teacher": ({},),
    "warped_student": ({}, {"learning_rate": 0.003}),
    "warped_distilled": (
        {},
        {"learning_rate": 0.001},
        {"temperature": 1.0},
        {"temperature": 20.0},
        {"hard_weight": 0.5},
    ),
}


def measure(every, run):
    """Trains what is missing.

    Args:
      every: dict from the name of a function of `recipes` to what is varied of
        its arm, a tuple of dicts.
      run: `trainers.mnist.runs.Run`, of held-out cases.

    Returns:
      Dict, as `metrics.json` holds it.

    Raises:
      FlagsError: if the run is evaluated on the test set.
    """
    if run.data.eval_name == "test":
        raise FlagsError(TEST_CASES)
    named = [(kind, each) for kind, varied in every.items() for each in varied]
    arms = [
        dataclasses.replace(getattr(recipes, kind)(run.settings), **varied)
        for kind, varied in named
    ]
    found = [
        evaluation.summarise_errors(evaluation.wrong(r, run.data).sum(1))
        for r in run.students(arms)
    ]
    return {
        **evaluation.about(run),
        "arms": [
            {"kind": kind, "varied": varied, **errors}
            for (kind, varied), errors in zip(named, found, strict=True)
        ],
    }


def table(metrics):
    """The nets that were compared, those of each kind together."""
    rows = [
        [_name(arm["kind"]), _say(arm["varied"]), *columns.of_errors(arm)]
        for arm in metrics["arms"]
    ]
    return pages.Table(["net", "what is varied", *columns.HEAD[:3]], rows)


def _say(varied):
    named = [f"{n.replace('_', ' ')} {v:g}" for n, v in varied.items()]
    return ", ".join(named) or "the settings of the flags"


def _name(kind):
    return kind.replace("_", " ")


def findings(metrics):
    """What the figures say, as a list of sentences."""
    said = []
    for kind in dict.fromkeys(arm["kind"] for arm in metrics["arms"]):
        arms = [arm for arm in metrics["arms"] if arm["kind"] == kind]
        best = min(arms, key=lambda arm: arm["mean"])
        said.append(
            f"The {_name(kind)} net makes the fewest errors, "
            f"{best['mean']:.1f}, with {_say(best['varied'])}; with the "
            f"settings of the flags {arms[0]['mean']:.1f}."
        )
    return said


def details(metrics, data):
    """Nothing beside the table."""
    del metrics, data
    return ()

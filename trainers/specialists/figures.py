"""Figures of measured systems: what metrics.json holds."""

import numpy as np
from scipy import special

from trainers.core import run_directory, statistics
from trainers.specialists import groups

_SCALARS = ("accuracy", "conditional", "nll", "calibration_error")


def about(run, evaluated_on="test"):
    """What every experiment records of its run.

    Args:
      run: `run.Run`.
      evaluated_on: str, "test" or "held-out".
    """
    _, labels = run.test if evaluated_on == "test" else run.held_out
    return {
        **run_directory.about(run, evaluated_on),
        "classes": run.classes,
        "test_cases": len(labels),
        "seeds": run.seeds,
    }


def arrays_of(name, found, covered=None):
    """The arrays that a seed's file keeps of a system.

    Args:
      name: str, of the system.
      found: `scores.Scores`.
      covered: `[classes]` bool array, or None for no conditional accuracy.
    """
    conditional = np.nan if covered is None else found.conditional(covered)
    values = (
        found.accuracy,
        conditional,
        found.nll,
        found.calibration_error,
    )
    return {
        f"{name}/choices": found.choices.astype(np.int32),
        f"{name}/right": found.right,
        f"{name}/scalars": np.array(values),
    }


def systems(seeds):
    """Dict from system to its figures over the seeds.

    Args:
      seeds: list of dicts of arrays, one a seed.
    """
    return {name: system(seeds, name) for name in names(seeds)}


def names(seeds):
    """The systems that were measured on test cases, in their order."""
    return [
        key.removesuffix("/right")
        for key in seeds[0]
        if key.endswith("/right") and not key.startswith("correction")
    ]


def system(seeds, name):
    """Dict from figure to "each", "mean" and "ci95"."""
    values = np.stack([seed[f"{name}/scalars"] for seed in seeds])
    return {
        figure: statistics.over_seeds(values[:, i])
        for i, figure in enumerate(_SCALARS)
        if np.isfinite(values[:, i]).all()
    }


def relative_gain(seeds, name, base="generalist", figure="accuracy"):
    """`statistics.over_seeds` of a system's figure over another's, less 1."""
    column = _SCALARS.index(figure)
    return statistics.over_seeds(
        [
            s[f"{name}/scalars"][column] / s[f"{base}/scalars"][column] - 1
            for s in seeds
        ]
    )


def paired(seeds, first, second):
    """How many cases more the second gets right, and tests of that.

    Returns:
      Dict: "points", `statistics.over_seeds` of the gain in accuracy; "p_value"
      of `statistics.paired_errors`; "mcnemar", of each seed.
    """
    wrong = [
        [~seed[f"{name}/right"] for seed in seeds] for name in (first, second)
    ]
    gains = [a.mean() - b.mean() for a, b in zip(*wrong, strict=True)]
    return {
        "points": statistics.over_seeds(gains),
        "p_value": statistics.paired_errors(
            *([np.stack(of_seeds)] for of_seeds in wrong)
        )["p_value"],
        "mcnemar": [
            statistics.mcnemar(a, b)["p_value"]
            for a, b in zip(*wrong, strict=True)
        ],
    }


def own_masses(run, group):
    """How well the specialists' own mass is calibrated, on test cases.

    The mass that a specialist gives to its own classes, and the share of cases
    that are of them: over all cases, and over those that call it.

    Args:
      run: `run.Run`.
      group: `groups.Group`.

    Returns:
      Dict of an array for each correction: `[4]`, mass and share of all, and of
      calling cases.
    """
    images, labels = run.test
    called = groups.called_classes(run, group.generalist, images)
    sums = {correction: np.zeros((2, 3)) for correction in groups.CORRECTIONS}
    group.correct("none")
    for i, member in enumerate(group.members):
        logits = groups.logits(run, member, images).astype(np.float64)
        log_odds = special.logsumexp(logits[:, :-1], axis=-1) - logits[:, -1]
        is_own = np.isin(labels, member.classes)
        rows = np.isin(called, member.classes)
        for correction, of in sums.items():
            mass = special.expit(log_odds - group.shifts[correction][i])
            of[0] += mass.sum(), is_own.sum(), len(labels)
            of[1] += mass[rows].sum(), is_own[rows].sum(), rows.sum()
    return {
        f"correction {correction}/own mass": (of[:, :2] / of[:, 2:]).reshape(-1)
        for correction, of in sums.items()
    }


def corrections(seeds):
    """Dict from correction to its figures over the seeds."""
    found = {}
    for correction in groups.CORRECTIONS:
        name = f"correction {correction}"
        masses = np.stack([seed[f"{name}/own mass"] for seed in seeds])
        found[correction] = {
            **system(seeds, name),
            "held_out_accuracy": system(seeds, f"{name}, held out")["accuracy"],
            "own_mass": masses.mean(0).tolist(),
        }
    return found


def covering(seeds):
    """The paper's table 4: the gain by the number of covering specialists.

    Returns:
      List of dicts, one for each number of specialists that cover the correct
      class: "specialists", "cases", "change" in cases right, summed over the
      seeds, and "relative", over those that the generalist has right.
    """
    rows = {}
    for seed in seeds:
        before = seed["generalist/right"]
        after = seed["specialists, top 1/right"]
        numbers = seed["covering of cases"]
        for number in np.unique(numbers):
            cases = numbers == number
            row = rows.setdefault(int(number), np.zeros(3, int))
            row += [cases.sum(), before[cases].sum(), after[cases].sum()]
    return [
        {
            "specialists": number,
            "cases": int(cases),
            "change": int(after - before),
            "relative": float(after / before - 1) if before else None,
        }
        for number, (cases, before, after) in sorted(rows.items())
    ]


def sets(seeds):
    """How many classes the sets cover, and how good they are."""
    return {
        "covered_confusion": statistics.over_seeds(
            [s["covered confusion"] for s in seeds]
        ),
        "covered_classes": [int((s["covering"] > 0).sum()) for s in seeds],
        "active": np.mean([s["active"] for s in seeds], axis=0).tolist(),
    }

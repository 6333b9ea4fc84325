"""A generalist with specialists, and the same cost spent otherwise (section 5).

The paper's tables 3 and 4, and what a reader asks for beside them: a longer
training, ensembles, a wide net, and specialists of random classes.
"""

import numpy as np

from kdtf import Ensemble
from trainers.specialists import (
    figures,
    gallery,
    groups,
    recipes,
    scores,
    serving,
    table_report,
)

TITLE = "Specialists, and the same cost spent otherwise"
TOPS = (1, 2, 3)
MOST_MEMBERS = 4  # generalists of an ensemble

table = table_report.table
findings = table_report.findings
details = table_report.details


def measure(run):
    """Trains what is missing, and exports generalist and specialists.

    Args:
      run: `run.Run`.

    Returns:
      Dict, as `metrics.json` holds it.
    """
    run.at_once(
        _train_one, [("generalist", s) for s in range(_generalists(run))]
    )
    run.at_once(
        _train_one,
        [
            (name, seed)
            for name in ("longer", "wide", "specialists", "random")
            for seed in range(run.seeds)
        ],
    )
    seeds = run.measured("table", measure_seed)
    group = specialists(run, 0)
    serving.export(run, group.ensemble())
    return {
        **figures.about(run),
        "systems": figures.systems(seeds),
        "tests": table_report.tests(seeds),
        "costs": _costs(run, seeds),
        "corrections": figures.corrections(seeds),
        "covering": figures.covering(seeds),
        "sets": figures.sets(seeds),
        "gallery": gallery.pick(run, group, seeds[0]),
    }


def specialists(run, seed):
    """The `groups.Group` of a seed's generalist."""
    settings = run.settings
    generalist = run.generalist(seed)
    sets, _ = groups.confusable_sets(
        run, seed, generalist, count=settings.specialists, size=settings.size
    )
    return groups.train(
        run,
        seed,
        generalist,
        sets,
        f"specialists-{settings.specialists}x{settings.size}",
        cost=settings.specialist_cost,
    )


def measure_seed(run, seed):
    """All that is measured of a seed, on test cases.

    Returns:
      Dict from name to array.
    """
    group = specialists(run, seed)
    found = {}

    def add(name, model, cases=run.test):
        of = scores.of(model, *cases, run.data.white, group.covered)
        found.update(figures.arrays_of(name, of, group.covered))

    members = [
        run.generalist((seed + i) % _generalists(run))
        for i in range(MOST_MEMBERS)
    ]
    add("generalist", members[0])
    for top in TOPS:
        add(f"specialists, top {top}", group.ensemble(top))
    for name in ("longer", "wide"):
        add(name, run.train(getattr(recipes, name)(run), seed).net)
    for count in range(2, MOST_MEMBERS + 1):
        for way in ("arithmetic", "geometric"):
            ensemble = Ensemble(members[:count], combine=way)
            add(f"ensemble of {count}, {way}", ensemble)
    add("random sets", _random(run, seed).ensemble())
    for correction in groups.CORRECTIONS:
        ensemble = group.ensemble(correction=correction)
        add(f"correction {correction}", ensemble)
        add(f"correction {correction}, held out", ensemble, run.held_out)
        found.update(figures.own_mass(run, group, correction))
    found["covering"] = group.covering
    found["covering of cases"] = group.covering[run.test[1]]
    found["sets"] = np.stack([m.classes for m in group.members])
    found["active"] = _active(run, group)
    found["seconds"] = _seconds(run, seed, group)
    found["covered confusion"] = groups.confusable_sets(
        run,
        seed,
        members[0],
        count=run.settings.specialists,
        size=run.settings.size,
    )[1]
    return found


def _random(run, seed):
    """The `groups.Group` of random sets."""
    count, size = run.settings.specialists, run.settings.size
    return groups.train(
        run,
        seed,
        run.generalist(seed),
        groups.random_sets(run, seed, count=count, size=size),
        f"random-{count}x{size}",
        cost=run.settings.specialist_cost,
    )


def _train_one(run, name, seed):
    """What a worker does before anything is measured."""
    if name == "specialists":
        specialists(run, seed)
    elif name == "random":
        _random(run, seed)
    else:
        run.train(getattr(recipes, name)(run), seed)
    return f"{name} {seed}"


def _generalists(run):
    return max(run.seeds, MOST_MEMBERS)


def _active(run, group):
    """The mean number of specialists that a test case calls, for each top."""
    inputs = list(scores.inputs(run.test[0], run.data.white))
    return np.array(
        [
            np.mean(
                np.concatenate(
                    [
                        (ensemble.active_specialists(x).numpy() >= 0).sum(1)
                        for x in inputs
                    ]
                )
            )
            for ensemble in map(group.ensemble, TOPS)
        ]
    )


def _seconds(run, seed, group):
    """Of training: generalist, specialists together, longer, wide."""
    arms = [
        getattr(recipes, name)(run) for name in ("generalist", "longer", "wide")
    ]
    generalist, *others = (
        run.train(arm, seed).seconds_per_epoch * arm.epochs for arm in arms
    )
    return np.array([generalist, group.seconds, *others])


def _costs(run, seeds):
    """Dict from system to what it costs, each cost in units that it names."""
    settings = run.settings
    one = run.multiply_adds(run.classes)
    wide = run.multiply_adds(run.classes, settings.wide_units)
    each = run.multiply_adds(settings.size + 1)
    arms = {
        n: getattr(recipes, n)(run) for n in ("generalist", "longer", "wide")
    }
    steps = {name: arm.epochs * arm.steps for name, arm in arms.items()}
    arm = recipes.specialist(
        run,
        range(settings.size),
        settings.specialist_cost / settings.specialists,
    )
    of_specialists = settings.specialists * arm.epochs * arm.steps
    active = np.mean([s["active"] for s in seeds], axis=0)
    base = steps["generalist"]
    with_specialists = 1 + of_specialists * each / (base * one)
    costs = {
        "generalist": (1.0, 1.0, one, one),
        "longer": (steps["longer"] / base,) * 2 + (one, one),
        "wide": (steps["wide"] * wide / (base * one), 1.0, wide, wide),
        "random sets": (
            with_specialists,
            1 + of_specialists / base,
            one + settings.specialists * each,
            None,
        ),
    }
    for top, calls in zip(TOPS, active, strict=True):
        costs[f"specialists, top {top}"] = (
            with_specialists,
            1 + of_specialists / base,
            one + settings.specialists * each,
            one + calls * each,
        )
    for count in range(2, MOST_MEMBERS + 1):
        for way in ("arithmetic", "geometric"):
            costs[f"ensemble of {count}, {way}"] = (
                float(count),
                float(count),
                count * one,
                count * one,
            )
    names = ("training_flops", "examples", "weights", "multiply_adds")
    return {
        system: dict(zip(names, values, strict=True))
        for system, values in costs.items()
    }

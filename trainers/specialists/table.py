"""A generalist with specialists, and the same cost spent otherwise (section 5).

The paper's tables 3 and 4, and what a reader asks for beside them: a longer
training, ensembles, a wide net, and specialists of random classes.
"""

import numpy as np

from kdtf import Ensemble
from trainers.core import strategies
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
_OF_THE_PAPER = 0.5  # the share of own classes in the training sets
MOST_MEMBERS = 4  # generalists of an ensemble
ENSEMBLES = tuple(
    (count, way)
    for count in range(2, MOST_MEMBERS + 1)
    for way in ("arithmetic", "geometric")
)

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
    seeds = run.measured("table", measure_seed, train)
    group, _ = groups.of_confused(run, 0)
    strategies.on_chief(lambda: serving.export(run, group.ensemble()))
    return {
        **figures.about(run),
        "systems": figures.systems(seeds),
        "tests": table_report.tests(seeds),
        "costs": costs(run, figures.sets(seeds)["active"]),
        "corrections": figures.corrections(seeds),
        "covering": figures.covering(seeds),
        "sets": figures.sets(seeds),
        "gallery": gallery.pick(run, group, seeds[0]),
    }


def train(run):
    """Trains all that is measured: generalists first, the rest needs them."""
    run.do(_train_one, [("generalist", s) for s in range(_generalists(run))])
    others = ("longer", "wide", "specialists", "half own", "random")
    run.do(_train_one, [(n, s) for n in others for s in range(run.seeds)])


def _train_one(run, name, seed):
    if name == "specialists":
        groups.of_confused(run, seed)
    elif name == "half own":
        groups.of_confused(run, seed, own_share=_OF_THE_PAPER)
    elif name == "random":
        groups.of_random(run, seed)
    else:
        run.train(getattr(recipes, name)(run), seed)
    return f"{name} {seed}"


def _generalists(run):
    return max(run.seeds, MOST_MEMBERS)


def measure_seed(run, seed):
    """All that is measured of a seed, on test cases.

    Returns:
      Dict from name to array.
    """
    group, covered = groups.of_confused(run, seed)
    covering = group.covering
    found = {
        "covering": covering,
        "covering of cases": covering[run.test[1]],
        "active": _calls(run, group),
        "covered confusion": covered,
        **figures.own_masses(run, group),
    }

    def add(name, model, cases=run.test):
        of = scores.of(model, *cases, run.data.white, covering > 0)
        found.update(figures.arrays_of(name, of, covering > 0))

    for name, model in _systems(run, seed, group):
        add(name, model)
    for correction in groups.CORRECTIONS:
        ensemble = group.ensemble(correction=correction)
        add(f"correction {correction}", ensemble)
        add(f"correction {correction}, held out", ensemble, run.held_out)
    return found


def _systems(run, seed, group):
    """Yields names and models, each to be used before the next one."""
    generalists = [
        run.generalist((seed + i) % _generalists(run))
        for i in range(MOST_MEMBERS)
    ]
    yield "generalist", generalists[0]
    for top in TOPS:
        yield f"specialists, top {top}", group.ensemble(top)
    half, _ = groups.of_confused(run, seed, own_share=_OF_THE_PAPER)
    yield "specialists, half own", half.ensemble()
    for name in ("longer", "wide"):
        yield name, run.train(getattr(recipes, name)(run), seed).net
    for count, way in ENSEMBLES:
        ensemble = Ensemble(generalists[:count], combine=way)
        yield f"ensemble of {count}, {way}", ensemble
    yield "random sets", groups.of_random(run, seed).ensemble()


def _calls(run, group):
    """`[tops]`, the mean number of specialists that a test case calls."""
    inputs = list(scores.inputs(run.test[0], run.data.white))
    calls = []
    for top in TOPS:
        find = group.ensemble(top).active_specialists
        calls.append(np.concatenate([find(x) for x in inputs]))
    return np.array([(found >= 0).sum(1).mean() for found in calls])


def costs(run, calls):
    """What each system costs.

    Args:
      run: `run.Run`.
      calls: `[tops]` floats, how many specialists a test case calls.

    Returns:
      Dict from system to a dict: "training_flops" and "examples", of all its
      nets over the generalist's; "weights", without biases; "multiply_adds" of
      a prediction, None where it is not known.
    """
    settings, classes = run.settings, run.classes
    size, count = settings.size, settings.specialists
    share = settings.specialist_cost / count
    one = (1, recipes.generalist(run), classes)
    each = (count, recipes.specialist(run, range(size), share), size + 1)
    a_call = run.multiply_adds(size + 1)

    def cost(*nets):
        return _cost(run, nets, one)

    found = {
        "generalist": cost(one),
        "longer": cost((1, recipes.longer(run), classes)),
        "wide": cost((1, recipes.wide(run), classes)),
        "random sets": {**cost(one, each), "multiply_adds": None},
    }
    names = [f"specialists, top {top}" for top in TOPS]
    # With half of the cases their own, the sets are the same.
    names, calls = [*names, "specialists, half own"], [*calls, calls[0]]
    for name, called in zip(names, calls, strict=True):
        multiply_adds = run.multiply_adds(classes) + called * a_call
        found[name] = {**cost(one, each), "multiply_adds": multiply_adds}
    for number, way in ENSEMBLES:
        found[f"ensemble of {number}, {way}"] = cost(*[one] * number)
    return found


def _cost(run, nets, base):
    """Costs where every net predicts every case.

    Args:
      run: `run.Run`.
      nets: sequence of `(count, arm, outputs)`.
      base: the same of the generalist.
    """

    def steps(count, arm, outputs):
        return count * arm.epochs * arm.steps

    def weights(count, arm, outputs):
        return count * run.multiply_adds(outputs, arm.units)

    def flops(count, arm, outputs):
        return steps(1, arm, outputs) * weights(count, arm, outputs)

    return {
        "training_flops": sum(flops(*n) for n in nets) / flops(*base),
        "examples": sum(steps(*n) for n in nets) / steps(*base),
        "weights": sum(weights(*n) for n in nets),
        "multiply_adds": sum(weights(*n) for n in nets),
    }

"""trainers.specialists.recipes: what arms cost."""

import pytest

from tests import specialist_runs as runs
from trainers.specialists import nets, recipes

PIXELS = runs.SIDE**2


@pytest.fixture
def run(tmp_path):
    return runs.make_run(tmp_path, steps=3000, units=6, specialist_cost=0.5)


def steps(arm):
    return arm.epochs * arm.steps


def flops(arm, outputs):
    weights = PIXELS * arm.units + arm.units**2 + arm.units * outputs
    return steps(arm) * weights


def test_the_longer_training_costs_what_specialists_do(run):
    """But for what is rounded: parts are of 20 steps."""
    base = recipes.generalist(run)
    assert steps(base) == 3000
    assert steps(recipes.longer(run)) == pytest.approx(4500, abs=30 * 20)
    each = recipes.specialist(run, [1, 4, 7], 0.5 / 3)
    assert 3 * flops(each, 4) == pytest.approx(
        0.5 * flops(base, runs.CLASSES), rel=0.05
    )
    assert each.classes == (1, 4, 7) and each.learning_rate == 0.01


def test_students(run):
    alone, taught = recipes.student(run, 9, 0.0), recipes.student(run, 9, 0.75)
    assert alone.hard_weight == 1 and alone.soft_weight == 0
    assert (taught.soft_weight, taught.hard_weight) == (0.75, 0.25)
    assert steps(alone) == steps(taught) == 6000
    assert alone.units == taught.units == 9


def test_every_arm_has_a_name_of_its_own(run):
    arms = [
        recipes.generalist(run),
        recipes.generalist(run, "many"),
        recipes.longer(run),
        recipes.wide(run),
        *(recipes.student(run, 6, weight) for weight in (0, 0.5, 1)),
        *(recipes.specialist(run, own, 0.1) for own in ([0, 1], [0, 2])),
        *(
            recipes.few_specialist(run, [0, 1], full_softmax=full, by=by)
            for full, by in (
                (False, "labels"),
                (True, "labels"),
                (True, "soft targets"),
            )
        ),
    ]
    assert len({arm.directory_name() for arm in arms}) == len(arms)
    assert len({nets.Arm.directory_name(arm) for arm in arms}) == len(arms)

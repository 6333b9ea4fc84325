"""trainers.mnist.experiments on tiny nets: what is trained and reported."""

import dataclasses
import json

import numpy as np
import pytest

from tests import reference
from tests.trainers.mnist.test_nets import data
from trainers.core import pages, results
from trainers.mnist import (
    consistent,
    convolutional,
    hard_weight,
    logit_matching,
    nets,
    recipes,
    runs,
    temperatures,
)
from trainers.mnist.experiments import EXPERIMENTS
from trainers.mnist.settings import DEFAULTS, TINY

pytestmark = pytest.mark.usefixtures("trains_eagerly")
SETTINGS = dataclasses.replace(
    DEFAULTS["digits"], **TINY, teacher_batch_size=20, batch_size=20
)
# Those that do not name digits, on the tests' three classes and test cases.
NAMES = [
    name
    for name, experiment in EXPERIMENTS.items()
    if experiment.in_all and name not in ("omit_3", "only_7_8")
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.Run(
        SETTINGS,
        data(),
        tmp_path_factory.mktemp("run"),
        seeds=1,
        label_shares=(0.3,),
    )


@pytest.fixture
def few_arms(monkeypatch):
    monkeypatch.setattr(temperatures, "WIDTHS", {"digits": (8, 4)})
    monkeypatch.setattr(temperatures, "TEMPERATURES", (1.0, 3.0, 10.0, 40.0))
    monkeypatch.setattr(hard_weight, "HARD_WEIGHTS", (0.0, 0.2, 0.5, 1.0))
    monkeypatch.setattr(logit_matching, "TEMPERATURES", (1.0, 1000.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_experiment(name, run, few_arms, monkeypatch, tmp_path):
    """Measured, reported, and measured again without any training."""
    experiment = EXPERIMENTS[name]
    figures = experiment.measure(run)
    assert json.loads(json.dumps(figures)) == figures
    section = pages.Section(
        experiment.title, experiment.blocks(figures, run.data)
    )
    pages.write(tmp_path, "Title", [section])
    text = (tmp_path / "report.md").read_text()
    for line in experiment.table(figures).markdown():
        assert line in text
    assert list(tmp_path.glob("*.png"))

    monkeypatch.setattr(nets, "_train", None)
    again = experiment.measure(run)
    assert again == figures


def test_every_arm_has_a_directory_of_its_own():
    settings = DEFAULTS["mnist"]
    different = {
        recipes.teacher(settings),
        recipes.student(settings),
        recipes.convolutional_teacher(settings),
        *consistent.arms_of(settings).values(),
        *convolutional.arms_of(settings).values(),
        *logit_matching.arms_of(settings),
        *(hard_weight.arm(settings, w) for w in hard_weight.HARD_WEIGHTS),
        *(
            temperatures.arm(settings, units, t)
            for units in temperatures.WIDTHS["mnist"]
            for t in temperatures.TEMPERATURES
        ),
    }
    names = {arm.directory_name() for arm in different}
    assert len(names) == len(different)


def test_labels_and_teachers_of_warped_images_differ_in_nothing_else():
    settings = DEFAULTS["mnist"]
    labels, taught = convolutional.arms_of(settings).values()
    for name in ("units", "moves", "epochs", "batch_size", "input_dropout"):
        assert getattr(labels, name) == getattr(taught, name)
    assert labels.moves.warp == settings.warp > 0
    member = recipes.member(taught.ensemble, settings)
    assert member == recipes.convolutional_teacher(settings)
    assert member.moves == taught.moves


def test_what_experiments_share():
    """The same net of several experiments is trained once."""
    settings = DEFAULTS["mnist"]
    sweep = temperatures.arm(settings, 800, settings.temperature)
    assert sweep == hard_weight.arm(settings, 0.0)
    assert sweep in logit_matching.arms_of(settings)


def test_the_gradient_approaches_logit_matching():
    rng = np.random.default_rng(0)
    z, v = rng.normal(0, 5, (2, 40, 10)).astype(np.float32)
    result = results.Result(None, True, [], 0.0, eval_logits=z)
    gaps = {
        t: logit_matching.gradient_gap(result, v, t)
        for t in (1.0, 100.0, 1000.0)
    }
    for temperature in (1.0, 100.0):
        gradient = reference.soft_gradient(z, v, temperature)
        limit = (z - v).astype(np.float64)
        limit -= limit.mean(-1, keepdims=True)
        limit /= 10 * temperature**2
        gap = np.linalg.norm(gradient - limit) / np.linalg.norm(limit)
        assert gaps[temperature] == pytest.approx(gap, rel=1e-3)
    # The next term of the expansion is smaller by 1 / T.
    assert gaps[1000.0] == pytest.approx(gaps[100.0] / 10, rel=0.1)

"""trainers.mnist.choice: settings varied one at a time, on held-out cases."""

import dataclasses
import types

import numpy as np
import pytest

from tests.trainers.mnist.test_nets import data
from trainers.core.errors import FlagsError
from trainers.mnist import choice, recipes
from trainers.mnist.experiments import EXPERIMENTS
from trainers.mnist.settings import DEFAULTS

SETTINGS = DEFAULTS["mnist"]
TEACHER = recipes.teacher(SETTINGS)
DISTILLED = recipes.distilled(SETTINGS)


@dataclasses.dataclass
class Run:
    """Two seeds; a higher rate, and soft targets, make for fewer errors."""

    data: object
    settings: object = SETTINGS
    seeds: int = 2

    def __post_init__(self):
        self.trained = []

    def students(self, arms):
        self.trained += arms
        return [[self._student(arm)] * self.seeds for arm in arms]

    def _student(self, arm):
        wrong = 6 if arm.learning_rate > 0.0015 else 8
        if arm.soft_weight:
            wrong = 4
        labels = self.data.eval_labels
        answers = np.where(np.arange(len(labels)) < wrong, labels + 1, labels)
        logits = np.eye(4)[answers]
        return types.SimpleNamespace(eval_logits=logits)


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(choice.evaluation, "about", lambda run: {})
    every = {
        "teacher": ({}, {"learning_rate": 0.002, "max_norm": 3.0}),
        "distilled": ({}, {"temperature": 4.0}),
    }
    run = Run(data().hold_out(10))
    return run, choice.measure(every, run)


def test_a_net_differs_in_what_is_varied_alone(measured):
    run, metrics = measured
    assert run.trained == [
        TEACHER,
        dataclasses.replace(TEACHER, learning_rate=0.002, max_norm=3.0),
        DISTILLED,
        dataclasses.replace(DISTILLED, temperature=4.0),
    ]
    assert [arm["test_errors"] for arm in metrics["arms"]] == [
        [errors] * 2 for errors in (8, 6, 4, 4)
    ]


def test_what_is_said(measured):
    _, metrics = measured
    head, *rows = [choice.table(metrics).head, *choice.table(metrics).rows]
    assert head[:3] == ["net", "what is varied", "errors, mean"]
    assert [row[:3] for row in rows[:2]] == [
        ["teacher", "the settings of the flags", "8.0"],
        ["teacher", "learning rate 0.002, max norm 3", "6.0"],
    ]
    assert choice.findings(metrics) == [
        "The teacher net makes the fewest errors, 6.0, with learning rate "
        "0.002, max norm 3; with the settings of the flags 8.0.",
        "The distilled net makes the fewest errors, 4.0, with the settings of "
        "the flags; with the settings of the flags 4.0.",
    ]


def test_nothing_is_chosen_by_test_figures():
    with pytest.raises(FlagsError, match="add --held_out=10000"):
        choice.measure(choice.OF_TABLE, Run(data()))


@pytest.mark.parametrize("every", (choice.OF_TABLE, choice.OF_CONVOLUTIONAL))
def test_what_is_varied_is_an_arms(every):
    for kind, varieties in every.items():
        arm = getattr(recipes, kind)(SETTINGS)
        assert varieties[0] == {}
        arms = {dataclasses.replace(arm, **varied) for varied in varieties}
        assert len(arms) == len(varieties)  # none is the settings of the flags


def test_all_experiments_are_those_of_the_test_set():
    names = [n for n, e in EXPERIMENTS.items() if not e.in_all]
    assert names == ["choice", "convolutional_choice"]

"""trainers.speech.choice: settings varied one at a time, on held-out clips."""

import dataclasses

import pytest

from tests import speech_corpora
from trainers.core import results
from trainers.speech import choice, nets, recipes


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """The arms that were trained, and the figures."""
    trained = []

    def train(arm, corpus, seed, directory, **options):
        trained.append(arm)
        point = {"held_out_accuracy": 0.5 + seed / 4, "test_accuracy": 1.0}
        best = {"held_out_accuracy": 0.75} if arm.keep_best else None
        # A net is better on soft targets, and if windows are mixed.
        point["held_out_accuracy"] += arm.mixed / 4
        return results.Result(None, True, [point], 1.0, best)

    monkeypatch.setattr(nets, "train", train)
    varied = {
        "hard": {"the recipe": {}},
        "soft": {"the recipe": {}, "mixed": {"mixed": 0.75, "units": 3}},
    }
    monkeypatch.setattr(choice, "_VARIED", varied)
    run = speech_corpora.make_run(tmp_path, seeds=2)
    return trained, choice.measure(run)


def test_a_net_differs_in_what_is_varied_alone(measured):
    trained, figures = measured
    hard, soft = (
        recipes.few_clips(
            speech_corpora.settings(split="recordings"), 0.03, soft=soft
        )
        for soft in (False, True)
    )
    varied = dataclasses.replace(soft, mixed=0.75, units=3)
    assert trained == [hard, hard, soft, soft, varied, varied]
    # Of labels the best epoch, of soft targets the last.
    means = [arm["accuracy"]["mean"] for arm in figures["arms"]]
    assert means == pytest.approx([0.75, 0.75, 0.8125])
    assert figures["evaluated_on"] == "held-out"


def test_what_is_said(measured):
    _, figures = measured
    rows = choice.table(figures).rows
    assert [row[:3] for row in rows] == [
        ["labels", "the recipe", "**75.00%**"],
        ["soft targets", "the recipe", "75.00%"],
        ["soft targets", "mixed", "**81.25%**"],
    ]
    assert "3% of the training clips, 80 updates, 2 seeds." in choice.findings(
        figures
    )


def test_each_fields_are_those_of_an_arm():
    names = {field.name for field in dataclasses.fields(nets.Arm)}
    for every in choice._VARIED.values():
        assert not next(iter(every.values()))  # the recipe comes first
        assert all(fields.keys() <= names for fields in every.values())


def test_all_experiments_are_those_of_the_test_clips():
    assert not choice.IN_ALL

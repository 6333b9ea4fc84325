"""The characters trainer's experiments, on made-up results of nets."""

import json

import numpy as np
import pytest

from tests.character_runs import CLASSES, DATA, make_run
from trainers.characters import choice, nets, table
from trainers.characters import run as runs
from trainers.characters.experiments import EXPERIMENTS
from trainers.core import pages, results

# Of the nine test cases, how many each seed's net gets wrong.
WRONG = {
    ("teacher", "long"): (1, 2),
    ("labels", "short"): (5, 6),
    ("distilled", "short"): (3, 3),
    ("labels", "long"): (2, 3),
    ("distilled", "long"): (2, 2),
}


def result(net, wrong, held_out):
    """A net that is sure, and wrong on the first test cases."""
    choices = DATA.test_labels.copy()
    choices[:wrong] = (choices[:wrong] + 1) % CLASSES
    return results.Result(
        model=net,
        has_weights=True,
        curve=[{"epoch": 1, "loss": 2.0, "held_out_accuracy": held_out}],
        seconds_per_epoch=2.0,
        eval_logits=5.0 * np.eye(CLASSES, dtype=np.float32)[choices],
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Its nets are not trained; those at T = 2 do best on held-out cases."""

    def train(self, arm):
        net = nets.build_net(arm, 8, CLASSES, seed=0)
        is_short = arm.epochs == self.settings.short_epochs
        time = "short" if is_short and arm.name != "teacher" else "long"
        held_out = (arm.temperature == 2) / 2 + arm.soft_weight / 9
        return [
            result(net, wrong, held_out + seed / 100)
            for seed, wrong in enumerate(WRONG[arm.name, time])
        ]

    monkeypatch.setattr(runs.Run, "train", train)
    return make_run(tmp_path, seeds=2)


def test_the_table_is_of_what_the_nets_get_wrong(run):
    found = table.measure(run)
    json.dumps(found)
    arms = {(arm["name"], arm["time"]): arm for arm in found["arms"]}
    assert arms.keys() == WRONG.keys()
    for key, wrong in WRONG.items():
        right = [1 - w / 9 for w in wrong]
        assert arms[key]["accuracy"]["each"] == pytest.approx(right)
        # The probability of a choice is e^5 / (e^5 + 2).
        sure = np.exp(5) / (np.exp(5) + CLASSES - 1)
        nll = [
            -(w * np.log((1 - sure) / 2) + (9 - w) * np.log(sure)) / 9
            for w in wrong
        ]
        assert arms[key]["nll"] == pytest.approx(np.mean(nll), rel=1e-5)
    # A student chooses as its teacher does where both are wrong or right.
    assert arms["labels", "short"]["agreement"] == pytest.approx(5 / 9)
    gain = found["gains"]["short"]
    assert gain["each"] == pytest.approx([2 / 9, 3 / 9])
    assert gain["transferred"]["mean"] == pytest.approx(5 / 8)
    assert found["gains"]["long"]["each"] == pytest.approx([0, 1 / 9])
    assert (run.directory / "export" / "saved_model.pb").exists()


def test_the_report_says_what_the_figures_say(run):
    found = table.measure(run)
    lines = EXPERIMENTS["table"].lines(found)
    for line, (key, wrong) in zip(lines[2:], WRONG.items(), strict=False):
        assert line.startswith(f"| {key[0]} (")
        assert f"| {1 - sum(wrong) / 18:.1%} |" in line
        assert ", ".join(f"{1 - w / 9:.1%}" for w in wrong) in line
    said = "\n".join(lines)
    assert "+27.8 points" in said and "62% of the teacher's" in said
    assert "+5.6 points" in said and "50% of the teacher's" in said
    [plot] = table.details(found, DATA)
    assert plot.png.startswith(b"\x89PNG")


def test_a_teacher_without_advantage_has_none_to_keep(run, monkeypatch):
    monkeypatch.setitem(WRONG, ("teacher", "long"), (9, 9))
    said = table.findings(table.measure(run))
    assert not any("advantage" in sentence for sentence in said)


def test_the_choice_is_made_on_held_out_cases(run):
    found = choice.measure(run)
    json.dumps(found)
    assert found["evaluated_on"] == "held-out" and found["cases"] == 6
    kinds = [arm["kind"] for arm in found["arms"]]
    assert (kinds.count("labels"), kinds.count("distilled")) == (6, 5)
    best = choice.best(found, "distilled")
    assert (best["temperature"], best["soft_weight"]) == (2.0, 0.9)
    assert best["accuracy"]["each"] == pytest.approx([0.6, 0.61])
    # Equal ones: the first.
    assert choice.best(found, "labels") is found["arms"][0]
    rows = choice.table(found).rows
    assert [row[-1] for row in rows].count("**60.5%**") == 1
    assert "T = 2, soft weight 0.9" in choice.findings(found)[0]
    assert isinstance(choice.table(found), pages.Table)


def test_arms_are_as_the_settings_say(run):
    settings = run.settings
    teacher, labels, distilled = (
        of(settings) for of in (runs.teacher, runs.labels, runs.distilled)
    )
    assert teacher.width > labels.width == distilled.width
    assert (labels.soft_weight, labels.hard_weight) == (0, 1)
    assert distilled.soft_weight + distilled.hard_weight == 1
    # Students learn as long, and begin alike.
    assert distilled.epochs == labels.epochs
    short = runs.short(distilled, settings)
    assert short.epochs == settings.short_epochs < distilled.epochs
    assert distilled.teacher == teacher and labels.teacher is None

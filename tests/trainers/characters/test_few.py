"""The characters trainer's few drawings, on made-up results of nets."""

import json

import numpy as np
import pytest

from tests.character_runs import CLASSES, DATA, make_run
from tests.trainers.characters.test_experiments import result
from trainers.characters import few, nets
from trainers.characters import run as runs
from trainers.characters.experiments import EXPERIMENTS

# Of the nine test cases, how many each seed's net gets wrong.
WRONG = {"teacher": (1, 2), "labels": (6, 5), "distilled": (3, 4)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    def train(self, arm):
        net = nets.build_net(arm, 8, CLASSES, seed=0)
        wrong = WRONG[arm.name]
        if (self.data.train_labels < 0).any():
            wrong = (1, 1)
        return [result(net, each, 0.5) for each in wrong]

    monkeypatch.setattr(runs.Run, "train", train)
    return make_run(tmp_path, seeds=2)


def test_the_first_drawings_of_each_character_have_labels():
    one = few.few_of(DATA, 1)
    assert one.train_labels.tolist() == list(range(CLASSES))
    partly = few.few_labels_of(DATA, 1)
    assert len(partly.train_labels) == len(DATA.train_labels)
    rows = np.flatnonzero(partly.train_labels >= 0)
    np.testing.assert_array_equal(one.train_images, DATA.train_images[rows])
    # Each is the first of its character.
    for row in rows:
        label = DATA.train_labels[row]
        assert not (DATA.train_labels[:row] == label).any()
    assert (DATA.train_labels >= 0).all()  # the data stay as they were


def test_students_of_few_drawings_take_as_many_steps(run):
    arms = few.arms_of(run.settings, share=0.25)
    epochs = {name: arm.epochs for name, arm in arms.items()}
    short = run.settings.short_epochs
    expected = {"labels": 4 * short, "distilled": 4 * short}
    assert epochs == {**expected, "unlabelled": short}
    assert arms["labels"].teacher is None
    teacher = runs.teacher(run.settings)
    assert arms["distilled"].teacher == arms["unlabelled"].teacher == teacher
    for name, trained_by in few.runs_of(run).items():
        assert trained_by.teachers is run, name


def test_the_figures_are_of_what_the_nets_get_wrong(run):
    found = few.measure(run)
    json.dumps(found)
    accuracy = [arm["accuracy"]["each"] for arm in found["arms"]]
    wrong = (WRONG["labels"], WRONG["distilled"], (1, 1))
    for each, counts in zip(accuracy, wrong, strict=True):
        assert each == pytest.approx([1 - count / 9 for count in counts])
    gains = found["gains"]
    assert gains["distilled"]["each"] == pytest.approx([3 / 9, 1 / 9])
    assert gains["unlabelled"]["each"] == pytest.approx([5 / 9, 4 / 9])
    said = "\n".join(EXPERIMENTS["few"].lines(found))
    assert "+22.2 points" in said and "+50.0 points" in said
    assert "gets 38.9% right" in said
    [plot] = few.details(found, DATA)
    assert plot.png.startswith(b"\x89PNG")

"""trainers.mnist.few_labels: who sees which cases, and what it comes to."""

import dataclasses
import itertools
import json
import types

import numpy as np
import pytest

from trainers.core import pages, results
from trainers.data import ImageData
from trainers.mnist import batches, few_labels, few_labels_report
from trainers.mnist.experiments import EXPERIMENTS
from trainers.mnist.settings import DEFAULTS

SETTINGS = DEFAULTS["digits"]
CLASSES, TRAIN, EVAL, SEEDS = 10, 600, 400, 3
SHARES = (0.03, 0.1)
# Errors of each student: its first evaluation cases, the same for all seeds.
WRONG = {
    ("labels", 0.03): 100,
    ("labels", 0.1): 60,
    ("labels", 1.0): 20,
    ("same", 0.03): 40,
    ("same", 0.1): 40,
    ("all", 0.0): 30,
}
TEACHER_WRONG = 10


def logits_with(wrong):
    """`[EVAL, CLASSES]` that get so many cases wrong, the first ones."""
    labels = np.arange(EVAL) % CLASSES
    choices = np.where(np.arange(EVAL) < wrong, (labels + 1) % CLASSES, labels)
    return 3 * np.eye(CLASSES, dtype=np.float32)[choices]


def result(wrong, best=None):
    points = ({"epoch": e, "loss": 1.0, "errors": wrong} for e in (20, 40))
    return results.Result(
        types.SimpleNamespace(count_params=lambda: 7),
        True,
        list(points),
        0.1,
        best=best,
        eval_logits=logits_with(wrong),
    )


class Run:
    """A `runs.Run` that trains nothing, and notes what it is asked for."""

    settings = SETTINGS
    seeds = SEEDS
    label_shares = SHARES

    def __init__(self, directory):
        self.directory, self.asked = directory, []
        self.data = ImageData(
            train_images=np.zeros((TRAIN, 2, 2), np.uint8),
            train_labels=np.random.default_rng(0).integers(0, CLASSES, TRAIN),
            eval_images=np.zeros((EVAL, 2, 2), np.uint8),
            eval_labels=np.arange(EVAL) % CLASSES,
            classes=CLASSES,
            white=255,
        )

    def teachers(self):
        return [result(TEACHER_WRONG)] * SEEDS

    def students(self, arms, cases, stop_by):
        for arm, of_arm in zip(arms, cases, strict=True):
            assert len(of_arm) == self.seeds
            for seed, seen in enumerate(of_arm):
                self.asked.append((arm, seed, seen, stop_by))
        return [[self.result_of(arm)] * self.seeds for arm in arms]

    def result_of(self, arm):
        share = float(arm.transfer.split()[1])
        best = {"epoch": 20} if arm.keep_best else None
        return result(WRONG[arm.name, share], best)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_cases_are_set_aside_and_no_student_sees_them(run):
    aside, cases = few_labels.split(run.data.train_labels)
    assert len(aside) == TRAIN / 6
    everything = np.sort(np.concatenate([aside, cases]))
    np.testing.assert_array_equal(everything, np.arange(TRAIN))
    few_labels.measure(run)
    for _, _, seen, stop_by in run.asked:
        assert not set(seen) & set(aside)
        np.testing.assert_array_equal(stop_by, aside)


def test_a_draw_has_the_share_of_each_class():
    labels = np.repeat([0, 1, 2], [200, 100, 4])
    for share, counts in ((0.1, [20, 10, 1]), (1.0, [200, 100, 4])):
        drawn = few_labels.draw(labels, share, 0)
        assert len(set(drawn)) == len(drawn)
        np.testing.assert_array_equal(np.bincount(labels[drawn]), counts)
    # One of each class at least.
    assert labels[few_labels.draw(labels, 1e-6, 0)].tolist() == [0, 1, 2]
    assert not len(few_labels.draw(labels, few_labels.NO_LABELS, 0))


def test_draws_are_nested_and_differ_between_seeds():
    labels = np.arange(500) % CLASSES
    draws = [few_labels.draw(labels, share, 0) for share in (0.05, 0.2, 0.7)]
    for fewer, more in itertools.pairwise(draws):
        assert set(fewer) < set(more)
    again, other = (few_labels.draw(labels, 0.05, seed) for seed in (0, 1))
    np.testing.assert_array_equal(draws[0], again)
    assert set(other) != set(again)


def test_who_sees_what(run):
    few_labels.measure(run)
    _, cases = few_labels.split(run.data.train_labels)
    labels = run.data.train_labels[cases]
    for arm, seed, seen, _ in run.asked:
        share = float(arm.transfer.split()[1])
        expected = cases
        if arm.name != "all":
            expected = cases[few_labels.draw(labels, share, seed)]
        np.testing.assert_array_equal(seen, expected)
        assert arm.keep_best == (arm.name == "labels")
        assert bool(arm.soft_weight) == (arm.name != "labels")
        if arm.name == "all":
            assert arm.hard_weight == 0.0
        # All in as many updates, those of sweep_epochs but for a rest.
        whole = SETTINGS.sweep_epochs * batches.steps_per_epoch(
            len(cases), arm.batch_size
        )
        assert whole - 40 < arm.epochs * arm.steps <= whole
    pairs = [
        (arm.name, float(arm.transfer.split()[1])) for arm, *_ in run.asked
    ]
    assert sorted(pairs) == sorted(list(WRONG) * SEEDS)
    arms = {arm for arm, *_ in run.asked}
    assert len({arm.directory_name() for arm in arms}) == len(WRONG)


def test_what_is_recovered(run):
    figures = few_labels.measure(run)
    assert json.loads(json.dumps(figures)) == figures
    few, more = figures["against_labels"]
    assert (few["share"], more["share"]) == SHARES
    # (100 - 40) / (100 - 20), (100 - 30) / (100 - 20), (60 - 40) / (60 - 20).
    assert few["same"]["recovered"]["mean"] == pytest.approx(0.75)
    assert few["all"]["recovered"]["mean"] == pytest.approx(0.875)
    assert more["same"]["recovered"]["mean"] == pytest.approx(0.5)
    low, high = few["same"]["recovered"]["ci95"]
    assert low < 0.75 < high
    assert few["same"]["difference"] == -60 and more["all"]["difference"] == -30
    stopped = {
        (arm["kind"], arm["share"]): arm["stopped_at"]
        for arm in figures["arms"]
    }
    steps = few_labels.arm_of(SETTINGS, "labels", 0.1, TRAIN * 5 // 6).steps
    assert stopped["labels", 0.1] == [20 * steps] * SEEDS
    assert stopped["same", 0.1] == [None] * SEEDS


@pytest.mark.slow
def test_all_labels_are_not_compared_with_themselves(run):
    run.label_shares = (0.03, 1.0)
    with_all = {**WRONG, ("same", 1.0): 25}
    run.result_of = lambda arm: result(
        with_all[arm.name, float(arm.transfer.split()[1])]
    )
    figures = few_labels.measure(run)
    assert [found["share"] for found in figures["against_labels"]] == [0.03]
    kinds = [(arm["kind"], arm["share"]) for arm in figures["arms"]]
    assert kinds.count(("labels", 1.0)) == 1 and ("same", 1.0) in kinds


def test_all_labels_alone_make_a_report(run):
    """Of one share there is one panel of curves."""
    run.label_shares = (1.0,)
    run.result_of = lambda arm: result(25)
    figures = few_labels.measure(run)
    assert figures["against_labels"] == []
    for plot in few_labels_report.details(figures, run.data):
        assert plot.png.startswith(b"\x89PNG")


def test_the_report_begins_with_what_was_found(run, tmp_path):
    figures = few_labels.measure(run)
    _, cases = few_labels.split(run.data.train_labels)
    count = len(few_labels.draw(run.data.train_labels[cases], 0.03, 0))
    headline, levels, few, _ = few_labels_report.findings(figures)
    assert f"labels of {count} training cases" in headline
    assert "makes 100.0 errors (95 % interval 100.0 to 100.0)" in headline
    assert headline.endswith(
        "of 500, 30.0 errors (95 % interval 30.0 to 30.0)."
    )
    assert "20.0 errors" in levels and "10.0 errors" in levels
    share = pages.share(figures["against_labels"][0]["same"]["recovered"])
    assert share.startswith("75% (") and f"recover {share} of it" in few
    assert f"What {count} labels in place of 500 cost: 80.0 errors" in few
    assert "88% (" in few
    section = pages.Section(
        "Few labels", EXPERIMENTS["few_labels"].blocks(figures, run.data)
    )
    pages.write(tmp_path, "Title", [section])
    text = (tmp_path / "report.md").read_text()
    [row] = [li for li in text.splitlines() if li.startswith("| none |")]
    assert "| 30.0 |" in row and "the end" in row
    for name in ("few_labels", "few_labels_curves"):
        png = (tmp_path / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and f"{name}.png" in text


def test_a_single_seed_has_no_interval(run, tmp_path):
    run.seeds = 1
    run.teachers = lambda: [result(TEACHER_WRONG)]
    figures = few_labels.measure(run)
    headline = few_labels_report.findings(figures)[0]
    assert "makes 100.0 errors on 400 test cases" in headline
    assert few_labels_report.details(figures, run.data)


def test_arms_depend_on_their_settings():
    """Else another run's nets would be taken for those of this one."""
    settings = dataclasses.replace(SETTINGS, sweep_epochs=100)
    for kind in few_labels.KINDS:
        long, short = (
            few_labels.arm_of(s, kind, 0.1, 512) for s in (SETTINGS, settings)
        )
        assert long.steps == 2 * short.steps
        assert long.directory_name() != short.directory_name()

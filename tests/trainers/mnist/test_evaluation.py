"""trainers.mnist.evaluation and the paper's table, on results made up here."""

import json
import types

import numpy as np
import pytest

from tests import reference
from trainers.core import pages
from trainers.core import results as core_results
from trainers.data import ImageData
from trainers.mnist import architectures, evaluation, figures, nets, table
from trainers.mnist.experiments import EXPERIMENTS

CASES, CLASSES = 30, 3
LABELS = (np.arange(CASES) % CLASSES).astype(np.int32)
ARMS = {
    name: nets.Arm(name, units, 0.01, 2, 8)
    for name, units in (("teacher", 6), ("student", 4), ("distilled", 4))
}
# Errors of each arm, one a seed.
ERRORS = {"teacher": (2, 4), "student": (10, 12), "distilled": (4, 5)}


def logits_with(errors, seed):
    """`[CASES, CLASSES]` whose choice is wrong on the first `errors` cases."""
    logits = np.random.default_rng(seed).uniform(0, 1, (CASES, CLASSES))
    wrong = np.arange(CASES) < errors
    logits[np.arange(CASES), (LABELS + wrong) % CLASSES] = 3.0
    return logits.astype(np.float32)


@pytest.fixture(scope="module")
def logits():
    return {
        name: [logits_with(e, 10 * i + e) for i, e in enumerate(errors)]
        for name, errors in ERRORS.items()
    }


DATA = ImageData(
    np.zeros((4, 2, 2), np.uint8),
    np.zeros(4, np.int32),
    np.zeros((CASES, 2, 2), np.uint8),
    LABELS,
    CLASSES,
    255,
)


@pytest.fixture(scope="module")
def results(logits):
    curve = [{"epoch": e, "loss": 1 / e, "errors": 20 // e} for e in (1, 2)]
    return {
        name: [
            core_results.Result(
                architectures.build_net(ARMS[name], 4, CLASSES, 0),
                True,
                curve,
                0.5,
                eval_logits=v,
            )
            for v in logits[name]
        ]
        for name in ARMS
    }


@pytest.fixture(scope="module")
def metrics(results):
    return {
        "dataset": "digits",
        "evaluated_on": "test",
        "cases": CASES,
        **table.summarise(results, ARMS, DATA),
    }


def test_figures_of_the_arms(metrics, logits):
    for name, arm in metrics["arms"].items():
        assert arm["test_errors"] == list(ERRORS[name])
        assert arm["mean"] == np.mean(ERRORS[name])
        assert arm["ci95"][0] < arm["mean"] < arm["ci95"][1]
        assert arm["units"] == ARMS[name].units
        assert arm["seconds_per_epoch"] == 0.5
        teachers = logits["teacher"]
        kl = [
            reference.soft_loss(z, v, 1.0).mean()
            for z, v in zip(logits[name], teachers, strict=True)
        ]
        assert arm["fidelity_kl"] == pytest.approx(np.mean(kl), abs=1e-6)
        same = [
            (z.argmax(-1) == v.argmax(-1)).mean()
            for z, v in zip(logits[name], teachers, strict=True)
        ]
        assert arm["agreement"] == pytest.approx(np.mean(same))
        nll = [reference.hard_loss(z, LABELS).mean() for z in logits[name]]
        assert arm["nll"] == pytest.approx(np.mean(nll), rel=1e-5)
    # 4 x 6 + 6 + 6 x 6 + 6 + 6 x 3 + 3.
    assert metrics["arms"]["teacher"]["parameters"] == 93


def test_comparisons(metrics):
    pairs = metrics["mcnemar"]
    assert set(pairs) == {"student_and_distilled", "teacher_and_distilled"}
    first = pairs["student_and_distilled"]["seeds"][0]
    assert (first["only_first_wrong"], first["only_second_wrong"]) == (6, 0)
    # (10 + 12) / 2 less (4 + 5) / 2.
    difference = pairs["student_and_distilled"]["all"]["difference"]
    assert difference == pytest.approx(6.5)
    # Of 22 - 6 errors 22 - 9 are gone.
    assert metrics["gain_transferred"]["mean"] == pytest.approx(13 / 16)


def test_which_cases_are_wrong(results):
    wrong = evaluation.wrong(results["teacher"], DATA)
    expected = [np.arange(CASES) < e for e in ERRORS["teacher"]]
    np.testing.assert_array_equal(wrong, expected)


def test_nets_on_labels_are_compared_with_the_teachers_that_are_named(logits):
    taught = nets.Arm("distilled", 4, 0.01, 2, 8, soft_weight=1.0)
    arms = {"labels": ARMS["student"], "taught": taught}
    teachers = {ARMS["student"]: logits["student"], taught: logits["teacher"]}
    net = architectures.build_net(ARMS["student"], 4, CLASSES, 0)
    said = {ARMS["student"]: logits["student"], taught: logits["distilled"]}
    run = types.SimpleNamespace(
        data=DATA,
        teacher_logits=teachers.__getitem__,
        students=lambda arms: [
            [
                core_results.Result(net, True, [], 0.5, eval_logits=v)
                for v in said[arm]
            ]
            for arm in arms
        ],
    )
    own, named = (
        evaluation.summarise_taught(run, arms, against="labels", **options)
        for options in ({}, {"teachers_of": "taught"})
    )
    # As the student on labels is its own teacher here.
    assert own["arms"]["labels"]["agreement"] == 1.0
    expected = np.mean(
        [
            (z.argmax(-1) == v.argmax(-1)).mean()
            for z, v in zip(logits["student"], logits["teacher"], strict=True)
        ]
    )
    agreement = named["arms"]["labels"]["agreement"]
    assert agreement == pytest.approx(expected) and agreement < 1.0
    assert named["arms"]["taught"] == own["arms"]["taught"]
    assert named["teachers"].keys() == {"taught"}


def test_metrics_are_json(metrics):
    assert json.loads(json.dumps(metrics)) == metrics


def test_the_section(metrics, tmp_path):
    blocks = EXPERIMENTS["table"].blocks(metrics, DATA)
    pages.write(tmp_path, "Title", [pages.Section("Table", blocks)])
    text = (tmp_path / "report.md").read_text()
    for line in table.table(metrics).markdown():
        assert line in text
    assert "2, 4" in text and "keeps 81%" in text
    assert "10 digits that a net gets wrong" in text  # seed 0, cases 0 to 9
    names = {p.name for p in tmp_path.glob("*.png")}
    assert names == {"errors.png", "learning_curves.png"}


def test_a_single_seed_has_no_interval(metrics):
    single = json.loads(json.dumps(metrics))
    for arm in single["arms"].values():
        arm["ci95"] = [None, None]
        arm["test_errors"] = arm["test_errors"][:1]
        arm["curves"] = arm["curves"][:1]
    single["gain_transferred"] = {"mean": None, "ci95": [None, None]}
    section = pages.Section("Table", EXPERIMENTS["table"].blocks(single, DATA))
    text = pages.to_markdown("Title", [section])
    assert "None" not in text and "| - |" in text


def test_the_papers_figures_stand_beside_mnist_only(metrics):
    assert not figures.is_the_papers(metrics)
    assert "paper" not in table.table(metrics).head
    mnist = {**metrics, "dataset": "mnist"}
    assert table.table(mnist).head[-1] == "paper"
    assert [row[-1] for row in table.table(mnist).rows] == ["67", "146", "74"]
    held_out = {**mnist, "evaluated_on": "held-out"}
    assert "paper" not in table.table(held_out).head

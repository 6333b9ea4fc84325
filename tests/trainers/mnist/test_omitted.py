"""trainers.omitted: what is left out, and what a shift brings back."""

import dataclasses
import json
import types

import numpy as np
import pytest

from tests import reference
from trainers.core import pages
from trainers.core.errors import FlagsError
from trainers.data import ImageData
from trainers.mnist import batches, omitted
from trainers.mnist.experiments import EXPERIMENTS
from trainers.mnist.settings import DEFAULTS

CLASSES = 10


def data_of(train_labels, eval_labels):
    def images(labels):
        return np.zeros((len(labels), 2, 2), np.uint8)

    return ImageData(
        train_images=images(train_labels),
        train_labels=np.asarray(train_labels),
        eval_images=images(eval_labels),
        eval_labels=np.asarray(eval_labels),
        classes=CLASSES,
        white=255,
    )


def logits_of(labels, seed, handicap):
    """Logits that are right, but for a class that is always too low."""
    noise = np.random.default_rng(seed).normal(size=(len(labels), CLASSES))
    z = 4 * np.eye(CLASSES)[labels] + noise
    z[:, 3] -= handicap
    return z


@pytest.fixture
def evaluated():
    train, test = np.arange(3000) % CLASSES, np.arange(500) % CLASSES
    data = data_of(train, test)
    train_logits = logits_of(train, 0, handicap=6.0)
    eval_logits = logits_of(test, 1, handicap=6.0)
    results = omitted.evaluate(
        omitted.OMIT_3,
        data,
        train_logits,
        np.arange(250),
        eval_logits,
    )
    return data, train_logits, eval_logits, results


def test_every_way_brings_most_of_the_omitted_digit_back(evaluated):
    data, train_logits, eval_logits, results = evaluated
    is_three = data.eval_labels == 3
    assert results["none"]["omitted_errors"] == is_three.sum()
    for way in ("prior", "prior_of_all", "labels", "oracle"):
        assert results[way]["shift"][0] == pytest.approx(6.0, abs=1.5)
        assert results[way]["omitted_errors"] < 0.2 * is_three.sum()
    # Without labels: the share of the threes among the training cases.
    shift = np.zeros(CLASSES)
    shift[3] = results["prior"]["shift"][0]
    share = reference.softmax(train_logits + shift)[:, 3].mean()
    assert share == pytest.approx(0.1, rel=1e-5)
    wrong = (eval_logits + shift).argmax(-1) != data.eval_labels
    assert results["prior"]["errors"] == wrong.sum()
    assert results["prior"]["omitted_errors"] == wrong[is_three].sum()
    # Nothing beats the oracle.
    tried = [point["errors"] for point in results["sweep"]]
    assert results["oracle"]["errors"] <= min(tried)


def test_a_bias_for_each_digit_brings_all_of_them_to_their_shares():
    """Also where digits that nobody named are too low, or too high."""
    train, test = np.arange(3000) % CLASSES, np.arange(500) % CLASSES
    logits = [logits_of(labels, 2, handicap=6.0) for labels in (train, test)]
    for z in logits:
        z[:, 5] += 30.0
    results = omitted.evaluate(
        omitted.OMIT_3,
        data_of(train, test),
        logits[0],
        np.arange(250),
        logits[1],
    )
    errors = {way: results[way]["errors"] for way in ("prior", "prior_of_all")}
    assert errors["prior_of_all"] < 0.5 * errors["prior"]
    # 3 needs 6 more than the others, whose mean 5 lowers by 30 / 9.
    [shift] = results["prior_of_all"]["shift"]
    assert shift == pytest.approx(6.0 + 30.0 / 9, abs=1.5)


def test_means_over_seeds(evaluated):
    *_, results = evaluated
    worse = {**results, "none": {**results["none"], "errors": 100}}
    better = {**results, "none": {**results["none"], "errors": 50}}
    summary = omitted.summarise([worse, better])
    assert summary["ways"]["none"]["errors"]["mean"] == 75
    assert summary["ways"]["none"]["errors"]["test_errors"] == [100, 50]
    assert len(summary["sweep"]) == len(omitted.SWEEP)


@pytest.mark.parametrize(
    "omission", (omitted.OMIT_3, omitted.ONLY_7_8), ids=lambda o: o.name
)
def test_the_transfer_set_of_an_experiment(omission):
    """Only its digits, none of the labelled cases, and as many updates."""
    labels = np.arange(1200) % CLASSES
    labelled, kept = omitted.split(omission, labels)
    assert set(labels[kept]) == set(omission.transferred)
    assert len(labelled) == 100 and not set(labelled) & set(kept)
    others = np.setdiff1d(np.arange(1200), labelled)
    of_a_digit = np.isin(labels[others], omission.transferred)
    np.testing.assert_array_equal(kept, others[of_a_digit])

    settings = dataclasses.replace(
        DEFAULTS["digits"], batch_size=10, omitted_learning_rate=0.007
    )
    arm = omitted.arm_of(omission, settings, 1200, len(kept))
    assert arm.transfer == omission.name
    assert arm.learning_rate == 0.007
    updates = arm.epochs * batches.steps_per_epoch(len(kept), 10)
    whole = settings.student_epochs * (1200 // 10)
    assert updates == pytest.approx(whole, rel=0.01)


def test_the_report_says_what_was_found(evaluated, tmp_path):
    *_, results = evaluated
    metrics = {
        "experiment": "omit_3",
        "dataset": "mnist",
        "evaluated_on": "test",
        "cases": 500,
        "omitted_cases": 50,
        "shifted": (3,),
        **omitted.summarise([results, results]),
    }
    figures = json.loads(json.dumps(metrics))
    section = pages.Section(
        "Omitted", EXPERIMENTS["omit_3"].blocks(figures, None)
    )
    pages.write(tmp_path, "Title", [section])
    text = (tmp_path / "report.md").read_text()
    oracle = next(li for li in text.splitlines() if "oracle" in li)
    right = 1 - results["oracle"]["omitted_errors"] / 50
    assert f"| {right:.1%} |" in oracle and "| 109 |" in oracle
    assert (tmp_path / "omit_3.png").read_bytes().startswith(b"\x89PNG")


ALL = np.arange(120) % CLASSES


@pytest.mark.parametrize(
    "omission, train, held_out",
    (
        (omitted.OMIT_3, ALL, [1, 2, 4]),  # no 3 to count errors on
        (omitted.OMIT_3, ALL[ALL != 5], ALL),  # a digit without a share
        (omitted.OMIT_3, ALL[:5], ALL),  # none of which the labels are used
        (omitted.ONLY_7_8, ALL[(ALL < 7) | (ALL > 8)], ALL),
    ),
)
def test_too_few_cases_are_refused(omission, train, held_out):
    run = types.SimpleNamespace(data=data_of(train, np.array(held_out)))
    received = f"{len(held_out)} of {len(train) + len(held_out)} cases"
    with pytest.raises(FlagsError, match=f"--held_out must .*{received}"):
        omitted.measure(omission, run)

"""trainers.distill.calibration against derivations by hand."""

import json

import numpy as np
import pytest

import kdtf
from tests import distill_runs
from trainers.core import sections
from trainers.distill import calibration

EXPERIMENT = sections.of_module(calibration)


def with_confidence(*confidences):
    """Logits of two classes, of which the first has these probabilities."""
    p = np.array(confidences)
    return np.log(np.stack([p, 1 - p], -1))


def test_scores_of_four_cases():
    # 0.95 and 0.97 are in the last of 15 bins, 0.75 (11.25) in the one before
    # the last but two, 0.6 at the start of the tenth.
    logits = with_confidence(0.95, 0.97, 0.75, 0.61)
    labels = np.array([0, 1, 0, 1])
    found = calibration.of_logits(logits, labels)
    bins = found["bins"]
    assert bins["cases"] == [0] * 9 + [1, 0, 1, 0, 0, 2]
    assert bins["right"] == [0] * 9 + [0, 0, 1, 0, 0, 1]
    assert bins["confidence"][14] == pytest.approx(0.95 + 0.97)
    # |1.92 - 1| + |0.75 - 1| + |0.61 - 0|, over four cases.
    assert found["ece"] == pytest.approx((0.92 + 0.25 + 0.61) / 4)
    assert found["nll"] == pytest.approx(
        -np.log([0.95, 0.03, 0.75, 0.39]).mean()
    )
    assert found["brier"] == pytest.approx(
        2 * (0.05**2 + 0.97**2 + 0.25**2 + 0.61**2) / 4
    )


def test_the_error_is_that_of_the_metric():
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(200, 4)).astype(np.float32)
    labels = rng.integers(4, size=200)
    metric = kdtf.metrics.ExpectedCalibrationError()
    metric.update_state(labels, logits)
    found = calibration.of_logits(logits, labels)
    assert found["ece"] == pytest.approx(float(metric.result()), rel=1e-5)


def test_a_net_that_is_certain():
    found = calibration.of_logits(np.array([[0.0, 900.0]]), np.array([1]))
    assert found["bins"]["cases"][14] == 1
    assert found["ece"] == 0.0


def test_best_temperature():
    # Right in 3 of 4 cases: the best probability is 0.75, a logit of log 3.
    logits = np.tile([6.0, 0.0], (4, 1))
    labels = np.array([0, 0, 0, 1])
    found = calibration.best_temperature(logits, labels)
    assert found == pytest.approx(6.0 / np.log(3.0), rel=1e-3)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_bound_is_no_temperature(labels, scale):
    """The likelihood of labels that are all right, or wrong, has no maximum."""
    logits = scale * np.array([[6.0, 0.0], [3.0, 0.0]])
    assert calibration.best_temperature(logits, np.array(labels)) is None


def test_few_cases_that_tell_no_temperature(tmp_path):
    run = distill_runs.make_run(tmp_path, "table")
    split = run.data.held_out
    x = np.stack([x for x, _ in split.dataset.as_numpy_iterator()])
    own = run.nets["distilled"][0](x).numpy().argmax(-1) == split.labels
    split.labels[np.flatnonzero(~own)] = -1  # those that are right are left
    figures = EXPERIMENT.measure(run)
    assert figures["held_out"] == {"cases": own.sum(), "temperature": None}
    assert len(EXPERIMENT.table(figures).rows) == 3
    said = EXPERIMENT.findings(figures)[-1]
    assert f"The {own.sum()} labelled held-out cases tell no temp" in said


def measured(tmp_path, **options):
    """Figures that went through JSON, and the run."""
    run = distill_runs.make_run(tmp_path, "table", **options)
    return json.loads(json.dumps(EXPERIMENT.measure(run), allow_nan=False)), run


def test_page(tmp_path):
    figures, run = measured(tmp_path, labels="some")
    assert list(figures["nets"]) == ["teacher", "plain", "distilled"]
    labelled = run.labels >= 0
    each = [
        calibration.of_logits(z[labelled], run.labels[labelled])
        for z in run.logits["distilled"]
    ]
    net = figures["nets"]["distilled"]
    assert net["ece"] == pytest.approx((each[0]["ece"] + each[1]["ece"]) / 2)
    assert sum(net["bins"]["cases"]) == 2 * labelled.sum()
    rows = EXPERIMENT.table(figures).rows
    assert rows[2][:2] == ("distilled student", f"{net['nll']:.3f}")
    held_out = figures["held_out"]
    assert rows[3][0] == f"seed 0, divided by {held_out['temperature']:.2f}"
    assert held_out["before"]["nll"] == pytest.approx(each[0]["nll"])
    said = EXPERIMENT.findings(figures)[-1]
    assert f"the {run.data.held_out.cases} labelled held-out cases best" in said
    [plot] = EXPERIMENT.details(figures, run.data)
    left, right = plot.figure.axes
    assert len(left.lines) == 1 + 3
    assert len(right.patches) == 3


def test_the_temperature_is_of_held_out_cases(tmp_path):
    figures, run = measured(tmp_path)
    split = run.data.held_out
    x = np.stack([x for x, _ in split.dataset.as_numpy_iterator()])
    logits = run.nets["distilled"][0](x).numpy()
    assert figures["held_out"]["temperature"] == pytest.approx(
        calibration.best_temperature(logits, split.labels), rel=1e-4
    )


def test_bias_in_words():
    sure, unsure = (
        {"bins": {"cases": [4], "confidence": [c], "right": [2]}}
        for c in (3.0, 1.5)
    )
    assert calibration._of_bias("plain", sure) == (
        "The plain student is 75.0% sure on average and right on 50.0%: too "
        "sure by 25.0 points."
    )
    assert calibration._of_bias("teacher", unsure).endswith(
        "not sure enough by 12.5 points."
    )


@pytest.mark.parametrize("teacher", ["net", "stored"])
def test_without_labels(tmp_path, teacher):
    figures, run = measured(tmp_path, labels="none", teacher=teacher)
    assert figures["nets"] == {}
    assert "labelled test cases only" in EXPERIMENT.findings(figures)[0]
    assert EXPERIMENT.blocks(figures, run.data)

"""trainers.distill.scores against kdtf's metrics and derivations by hand."""

import numpy as np
import pytest

import kdtf
from trainers.distill import scores


def mean_of(metric, target, logits):
    """What a metric of kdtf says."""
    metric.update_state(target, logits)
    return pytest.approx(float(metric.result()), rel=1e-5)


def test_scores_are_those_of_the_metrics(monkeypatch):
    monkeypatch.setattr(scores, "_ROWS", 7)  # the last block is shorter
    rng = np.random.default_rng(0)
    logits, teacher = 3 * rng.normal(size=(2, 40, 5)).astype(np.float32)
    labels = rng.integers(5, size=40)
    metrics = kdtf.metrics
    assert scores.negative_log_likelihoods(logits, labels).mean() == mean_of(
        metrics.NegativeLogLikelihood(), labels, logits
    )
    assert scores.brier_scores(logits, labels).mean() == mean_of(
        metrics.BrierScore(), labels, logits
    )
    assert scores.divergences(teacher, logits).mean() == mean_of(
        metrics.FidelityKL(), teacher, logits
    )


def test_confidence_is_the_largest_probability():
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(scores.confidences(logits), [0.7, 0.5])


def test_large_logits_are_finite():
    logits = np.array([[1e4, -1e4]], np.float32)
    assert scores.negative_log_likelihoods(logits, np.array([1])) == [2e4]
    assert scores.divergences(logits, -logits) == [2e4]


def test_a_teacher_may_rule_out_classes():
    teacher = np.array([[0.0, 0.0, -np.inf]])
    # log 3 - log 2 for each of the two classes that are left.
    divergence = scores.divergences(teacher, np.zeros((1, 3)))
    np.testing.assert_allclose(divergence, [np.log(1.5)])


def test_no_cases():
    none = np.zeros((0, 3), np.float32)
    assert scores.confidences(none).shape == (0,)

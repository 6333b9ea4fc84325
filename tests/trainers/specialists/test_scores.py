"""trainers.specialists.scores against float64."""

import logging

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.specialists import nets, scores

IMAGES = runs.data().test_images


@pytest.fixture(scope="module")
def net():
    net = nets.build_net(5, runs.SIDE**2, runs.CLASSES, seed=0)
    rng = np.random.default_rng(0)
    net.set_weights([rng.normal(size=w.shape) for w in net.get_weights()])
    return net


@pytest.fixture
def p(net):
    return runs.softmax(runs.logits_of(net, IMAGES))


@pytest.fixture
def labels(p):
    """The net's first, second and third choice in turn."""
    ranks = -1 - np.arange(len(p)) % 3
    return np.argsort(p, -1)[np.arange(len(p)), ranks]


@pytest.fixture
def covered(p):
    """All classes but the net's most frequent first choice."""
    return np.arange(runs.CLASSES) != np.bincount(p.argmax(-1)).argmax()


@pytest.fixture
def found(net, labels, covered):
    return scores.of(net, IMAGES, labels, runs.WHITE, covered)


def test_accuracy(found, p, labels):
    right = p.argmax(-1) == labels
    np.testing.assert_array_equal(found.choices, p.argmax(-1))
    np.testing.assert_array_equal(found.right, right)
    assert found.accuracy == right.mean()


def test_conditional_accuracy(found, p, labels, covered):
    """On cases of covered classes, with choices among these."""
    cases = covered[labels]
    among = np.flatnonzero(covered)[p[:, covered].argmax(-1)]
    expected = (among == labels)[cases].mean()
    assert found.conditional(covered) == expected
    assert expected != found.right[cases].mean()


def test_without_sets_all_classes_count(net, labels):
    found = scores.of(net, IMAGES, labels, runs.WHITE)
    everything = np.ones(runs.CLASSES, bool)
    assert found.conditional(everything) == found.accuracy


def test_negative_log_likelihood(found, p, labels):
    expected = -np.log(p[np.arange(len(labels)), labels]).mean()
    np.testing.assert_allclose(found.nll, expected, rtol=1e-5)


def test_calibration_error(found, p, labels):
    """The mean gap of 15 bins, weighted by their cases."""
    confidence, right = p.max(-1), p.argmax(-1) == labels
    expected = 0
    for i in range(15):
        of_bin = (confidence >= i / 15) & (confidence < (i + 1) / 15)
        if of_bin.any():
            gap = confidence[of_bin].mean() - right[of_bin].mean()
            expected += of_bin.mean() * abs(gap)
    np.testing.assert_allclose(found.calibration_error, expected, atol=1e-6)


def test_a_certain_choice_is_in_the_last_bin():
    one = np.ones(3)
    labels = np.array([0, 0, 1])
    found = scores.Scores(labels, 0 * labels, 0 * labels, -one, one)
    np.testing.assert_allclose(found.calibration_error, 1 / 3)


def test_many_cases_in_blocks_through_a_trace(
    net, labels, covered, found, monkeypatch
):
    monkeypatch.setattr(scores, "_BLOCK", 30)
    monkeypatch.setattr(scores, "_FEW", 0)
    blocks = list(scores.logits(net, IMAGES, runs.WHITE))
    assert [len(block) for block in blocks] == [30, 30, 12]
    traced = scores.of(net, IMAGES, labels, runs.WHITE, covered)
    np.testing.assert_array_equal(traced.choices, found.choices)
    np.testing.assert_allclose(traced.log_p, found.log_p, atol=1e-5)


def test_traces_of_several_models_are_no_warning(monkeypatch, caplog):
    monkeypatch.setattr(scores, "_FEW", 0)
    with caplog.at_level(logging.WARNING, "tensorflow"):
        for seed in range(7):
            net = nets.build_net(2, runs.SIDE**2, 2, seed)
            list(scores.logits(net, IMAGES[:4], runs.WHITE))
    assert "retracing" not in caplog.text


def test_no_case_is_a_block_without_one():
    [block] = scores.inputs(IMAGES[:0], runs.WHITE)
    assert block.shape == (0, runs.SIDE**2)

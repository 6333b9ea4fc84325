"""kdtf.output_bias: shares are reached, and no bias makes fewer errors."""

import numpy as np
import pytest

from kdtf import output_bias
from tests import reference


def logits_of(seed, rows=400, classes=6, scale=3.0):
    return np.random.default_rng(seed).normal(size=(rows, classes)) * scale


@pytest.mark.parametrize("scale", (0.1, 3.0, 100.0))
@pytest.mark.parametrize("prior", ({3: 0.1}, {0: 0.02, 5: 0.9}, {1: 1e-4}))
def test_the_mean_share_becomes_the_prior(scale, prior):
    z = logits_of(0, scale=scale)
    shift = output_bias.match_prior(z, prior)
    shares = reference.softmax(z + shift).mean(0)
    for c in range(6):
        if c in prior:
            assert shares[c] == pytest.approx(prior[c], rel=1e-4)
        else:
            assert shift[c] == 0


def test_the_last_steps_are_not_lost_in_rounding():
    """They gain less than a mean over rows is exact to."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        z = rng.normal(0, 1, (2000, 10)) * rng.choice([5, 10, 30, 100])
        z += rng.choice([0, 0, 50, 1000])
        known = rng.choice([1, 2, 9])
        prior = 0.99 * np.maximum(rng.dirichlet(np.ones(10))[:known], 1e-4)
        shift = output_bias.match_prior(z, dict(enumerate(prior)))
        found = reference.softmax(z + shift).mean(0)[:known]
        np.testing.assert_allclose(found, prior, atol=1e-8)


def test_one_row_has_a_closed_form():
    """The bias is the difference of the log-odds of prior and prediction."""
    z = np.array([[2.0, 0.5, -1.0]])
    p = reference.softmax(z)[0, 1]
    expected = np.log(0.3 / 0.7) - np.log(p / (1 - p))
    shift = output_bias.match_prior(z.astype(np.float32), {1: 0.3})
    np.testing.assert_allclose(shift, [0, expected, 0], atol=1e-6)


def test_shares_already_reached_need_no_bias():
    z = logits_of(1)
    shares = reference.softmax(z).mean(0)
    shift = output_bias.match_prior(z, {2: shares[2], 4: shares[4]})
    np.testing.assert_allclose(shift, 0, atol=1e-7)


@pytest.mark.parametrize("classes", ([3], [1, 4]))
@pytest.mark.parametrize("seed", range(4))
def test_no_bias_makes_fewer_errors(classes, seed):
    z = logits_of(seed, rows=60)
    labels = np.random.default_rng(seed + 9).integers(0, 6, 60)

    def errors(bias):
        shifted = z.copy()
        shifted[:, classes] += bias
        return (shifted.argmax(-1) != labels).sum()

    shift = output_bias.fewest_errors(z, labels, classes)
    others = [c for c in range(6) if c not in classes]
    assert (shift[others] == 0).all() and len(set(shift[classes])) == 1
    tried = [errors(bias) for bias in np.arange(-30, 30, 0.01)]
    assert errors(shift[classes[0]]) == min(tried)


def test_among_equally_good_biases_the_middle_of_the_nearest_interval():
    # A bias above 2 makes class 1 win row 0 (rightly), above 6 row 1 (wrongly).
    z = np.array([[2.0, 0.0], [6.0, 0.0]])
    shift = output_bias.fewest_errors(z, np.array([1, 0]), [1])
    np.testing.assert_allclose(shift, [0, 4.0])
    # Any bias below 2 is right: the interval has no lower end.
    shift = output_bias.fewest_errors(z[:1], np.array([0]), [1])
    np.testing.assert_allclose(shift, [0, 1.0])


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({}, "some of the 6 classes"),
        ({6: 0.1}, r"Received: \[6\]"),
        ({0: 0.0}, "positive"),
        ({0: 0.6, 1: 0.4}, "less than 1"),
        (dict.fromkeys(range(6), 0.1), "not all"),
    ],
)
def test_bad_priors(prior, message):
    with pytest.raises(ValueError, match=f"`prior`.*{message}"):
        output_bias.match_prior(logits_of(0), prior)


@pytest.mark.parametrize(
    "logits", (np.zeros(3), np.zeros((0, 3)), np.array([[0.0, np.nan]]))
)
def test_bad_logits(logits):
    with pytest.raises(ValueError, match="`logits` must be finite"):
        output_bias.match_prior(logits, {0: 0.5})


def test_bad_labels_and_classes():
    z = logits_of(0, rows=3)
    for labels in ([0, 1], [0.0, 1.0, 2.0]):
        with pytest.raises(ValueError, match="`labels` must be 3 integers"):
            output_bias.fewest_errors(z, labels, [1])
    with pytest.raises(ValueError, match=r"`classes`.*Received: \[1, 1\]"):
        output_bias.fewest_errors(z, [0, 1, 2], [1, 1])

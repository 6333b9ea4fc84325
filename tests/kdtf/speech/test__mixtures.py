"""kdtf.speech._mixtures: densities of scipy, steps by their definition."""

import numpy as np
import pytest
from scipy import special, stats

from kdtf.speech._mixtures import Mixtures


def random_mixtures(seed=0, states=3, components=2, features=4):
    rng = np.random.default_rng(seed)
    shape = (states, components, features)
    return Mixtures(
        np.log(rng.dirichlet(np.ones(components), states)),
        rng.normal(size=shape),
        rng.uniform(0.2, 3, shape),
        np.full(features, 0.01),
    )


def joint(mixtures, frames, state):
    """`[frames, components]` log p(frame, component | state), by scipy."""
    return np.stack(
        [
            mixtures.log_weights[state, c]
            + stats.multivariate_normal(
                mixtures.means[state, c], np.diag(mixtures.variances[state, c])
            ).logpdf(frames)
            for c in range(mixtures.means.shape[1])
        ],
        axis=1,
    )


def test_log_likelihoods_are_scipys():
    mixtures = random_mixtures()
    frames = np.random.default_rng(1).normal(size=(7, 4)) * 3
    expected = np.stack(
        [special.logsumexp(joint(mixtures, frames, s), 1) for s in range(3)], 1
    )
    np.testing.assert_allclose(mixtures.log_likelihoods(frames), expected)
    np.testing.assert_allclose(
        mixtures.log_likelihoods(frames, [2, 0]), expected[:, [2, 0]]
    )


def test_far_from_all_components():
    mixtures = random_mixtures()
    far = mixtures.log_likelihoods(np.full((1, 4), 1e4))
    assert np.isfinite(far).all() and (far < -1e6).all()


@pytest.mark.parametrize("rare", (0.5, 1e-3))
def test_a_step_is_expectation_maximisation(rare):
    mixtures = random_mixtures()
    mixtures.log_weights[0] = np.log([1 - rare, rare])
    rng = np.random.default_rng(2)
    frames, labels = rng.normal(size=(50, 4)), rng.integers(0, 2, 50)
    new = mixtures.reestimated(frames, labels)
    for state in (0, 1):
        x = frames[labels == state]
        shares = special.softmax(joint(mixtures, x, state), axis=1)
        np.testing.assert_allclose(
            np.exp(new.log_weights[state]), shares.mean(0)
        )
        for c in range(2):
            mean = np.average(x, axis=0, weights=shares[:, c])
            np.testing.assert_allclose(new.means[state, c], mean)
            variance = np.average((x - mean) ** 2, axis=0, weights=shares[:, c])
            np.testing.assert_allclose(new.variances[state, c], variance)
    # No frame is of state 2.
    for name in ("log_weights", "means", "variances"):
        np.testing.assert_array_equal(
            getattr(new, name)[2], getattr(mixtures, name)[2]
        )


@pytest.mark.parametrize("seed", range(3))
def test_steps_do_not_lower_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    # Coarse values: many equal frames, variances at their floor.
    frames = np.round(rng.normal(size=(60, 2)) * 1.2)
    labels = rng.integers(0, 3, 60)
    mixtures = Mixtures.flat(frames, 3)
    for _ in range(3):
        mixtures = mixtures.split(labels, fewest=1)
        values = []
        for _ in range(15):
            own = mixtures.log_likelihoods(frames)[np.arange(60), labels]
            values.append(own.sum())
            mixtures = mixtures.reestimated(frames, labels)
        assert (np.diff(values) > -1e-9).all()
    assert (mixtures.variances >= mixtures.floor).all()
    assert (mixtures.variances == mixtures.floor).any()


def test_flat_is_the_gaussian_of_all_frames():
    frames = np.random.default_rng(3).normal(5, 2, size=(40, 3))
    frames[:, 2] = 1.0  # never changes
    mixtures = Mixtures.flat(frames, 2)
    for state in (0, 1):
        np.testing.assert_allclose(mixtures.means[state, 0], frames.mean(0))
        np.testing.assert_allclose(
            mixtures.variances[state, 0], [*frames[:, :2].var(0), 1.0]
        )
    np.testing.assert_allclose(mixtures.floor, mixtures.variances[0, 0] / 100)


def test_only_components_with_enough_frames_are_split():
    mixtures = random_mixtures(components=1)
    labels = np.repeat([0, 1], [20, 19])
    new = mixtures.split(labels)
    np.testing.assert_allclose(np.exp(new.log_weights[0]), [0.5, 0.5])
    np.testing.assert_allclose(
        new.means[0] - mixtures.means[0],
        np.sqrt(mixtures.variances[0]) * [[0.2], [-0.2]],
    )
    for state in (1, 2):
        np.testing.assert_allclose(np.exp(new.log_weights[state]), [1, 0])
    x = np.zeros((1, 4))
    np.testing.assert_allclose(
        new.log_likelihoods(x)[:, 1:], mixtures.log_likelihoods(x)[:, 1:]
    )

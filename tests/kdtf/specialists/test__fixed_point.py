"""The accelerated fixed point where the sets cover all classes."""

import numpy as np
import tensorflow as tf

from kdtf.specialists import _fixed_point
from tests.kdtf.specialists.test__newton import masses

MEMBER = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 0]], bool)


def em(base, dustbins, steps):
    q = np.ones(4) / 4
    for _ in range(steps):
        share = dustbins / (~MEMBER @ q)
        q = (base + q * (share @ ~MEMBER)) / (base.sum() + dustbins.sum())
    return np.log(q)


def random_problem(rng, spread):
    """The masses of a generalist and three specialists sum to 4."""
    base, dustbins = np.exp(-spread * rng.random(4)), rng.random(3)
    return base * (4 - dustbins.sum()) / base.sum(), dustbins


def test_equals_many_plain_steps():
    rng, steps = np.random.default_rng(0), 0
    for spread in [1, 5, 20]:
        base, dustbins = random_problem(rng, spread)
        log_q, taken = _fixed_point.solve(
            masses(base, MEMBER, 1.0, dustbins), tf.constant([True])
        )
        expected = em(base, dustbins, 20_000)
        for m in range(3):
            np.testing.assert_allclose(
                log_q[0, m].numpy()[MEMBER[m]], expected[MEMBER[m]], atol=1e-8
            )
        steps = max(steps, int(taken))
    assert 0 < steps < 60


def test_nothing_is_done_where_it_is_not_wanted():
    base, dustbins = random_problem(np.random.default_rng(0), 1)
    _, steps = _fixed_point.solve(
        masses(base, MEMBER, 1.0, dustbins), tf.constant([False])
    )
    assert steps == 0

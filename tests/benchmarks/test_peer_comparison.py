"""The right answers that the libraries are compared with."""

import numpy as np
import pytest

from benchmarks import peer_comparison
from tests import reference


def test_the_right_answers_are_those_of_the_reference():
    z, v = peer_comparison._logits(3.0)
    t = peer_comparison.TEMPERATURE
    soft = t**2 * reference.soft_loss(z, v, t).mean()
    assert peer_comparison._true_soft_term(z, v) == pytest.approx(soft)
    slope = t**2 * reference.soft_gradient(z, v, t) / len(z)
    np.testing.assert_allclose(peer_comparison._true_gradient(z, v), slope)

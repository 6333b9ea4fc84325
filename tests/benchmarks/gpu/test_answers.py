"""The closed form of the loss in float64."""

import numpy as np
import pytest

from benchmarks.gpu import answers
from tests import reference


def test_the_closed_form_is_that_of_the_reference():
    z, v = np.random.default_rng(0).normal(size=(2, 300, 5))
    labels = np.arange(300) % 5
    values = [z, v, labels, 3.0, 0.7, 0.2]
    loss, gradient = answers.loss_and_gradient(values, "divergence", 2)
    expected = reference.distillation_loss(*values).mean()
    assert loss == pytest.approx(expected)
    # A central difference, of the loss that has the teacher's entropy in it.
    step = np.zeros_like(z)
    step[1, 3] = 1e-5
    up, down = (
        answers.loss_and_gradient([moved, *values[1:]], "cross-entropy")[0]
        for moved in (z + step, z - step)
    )
    assert gradient[1, 3] == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_the_largest_logits_stand_for_a_row():
    """As `reference.top_probabilities`, whose logarithms are such logits."""
    z = np.random.default_rng(0).normal(size=(300, 9))
    largest = np.random.default_rng(1).normal(size=(300, 2))
    chosen, tail = np.array([[7, 3], [0, 8]] * 150), np.full(300, -0.5)
    rest = [np.arange(300) % 9, 3.0, 0.7, 0.2]
    p = reference.top_probabilities(largest, chosen, tail, 9, 3.0)
    expected = answers.loss_and_gradient(
        [z, 3 * np.log(p), *rest], "divergence"
    )
    top = answers.loss_and_gradient([z, largest, chosen, tail, *rest], "top")
    assert top[0] == pytest.approx(expected[0])
    np.testing.assert_allclose(top[1], expected[1], atol=1e-12)


def test_an_error_is_a_part_of_the_largest_value():
    assert answers.error([1.0, -4.0], [1.5, -4.0]) == 0.5 / 4.0
    assert answers.error([0.5], [0.0]) == 0.5

"""The losses that are timed."""

import numpy as np
import pytest

from benchmarks import loss


def test_the_benchmarked_losses_are_the_same_loss():
    """Apart from the teacher's entropy, which has no gradient."""
    inputs = loss.random_inputs((5, 7))
    values, gradients = zip(
        *(
            loss.value_and_gradient(each, compiled=False)(*inputs)
            for each in loss.LOSSES.values()
        ),
        strict=True,
    )
    assert float(values[0]) == pytest.approx(float(values[1]), rel=1e-4)
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradients[0], gradient, atol=1e-5)

"""What is timed is the same loss, and memory is that of the call."""

import numpy as np
import pytest

from benchmarks import fused

TINY = (8, 4, 96)


@pytest.mark.slow
@pytest.mark.parametrize("teacher", fused.TEACHERS)
def test_apart_and_fused_are_the_same(teacher):
    inputs = fused.random_inputs(teacher, TINY)
    found = [fused.value_and_gradients(rows)(*inputs) for rows in (None, 3)]
    (apart, theirs), (loss, ours) = found
    np.testing.assert_allclose(loss, apart, rtol=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_arrays_are_aligned():
    for _ in range(8):
        assert fused.aligned([3, 5], np.float32).ctypes.data % 64 == 0

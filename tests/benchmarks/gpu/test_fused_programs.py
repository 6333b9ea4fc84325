"""benchmarks.gpu.fused_programs: all ways of a last layer are one loss."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.gpu import fused_programs, inputs

SIZES = (12, 4, 30, 3)


@pytest.mark.slow
@pytest.mark.parametrize("teacher", fused_programs.TEACHERS)
def test_ways_give_the_same_numbers(teacher):
    found = []
    for kernel, rows in (("float32", None), ("float32", 5), ("bfloat16", 4)):
        program = fused_programs.last_layer(teacher, kernel, rows, SIZES)
        values = [tf.constant(v) for v in inputs.draw(program.arguments)]
        loss, (by_hidden, by_kernel) = program.function(*values)
        assert by_hidden.dtype == "bfloat16" and by_kernel.dtype == kernel
        found.append(
            [np.float64(each) for each in (loss, by_hidden, by_kernel)]
        )
    for each in found[1:]:
        for a, b in zip(each, found[0], strict=True):
            np.testing.assert_allclose(a, b, atol=0.02 * np.abs(b).max())


def test_twelve_programs_of_names_that_tell_the_way():
    names = [p.name for p in fused_programs.everything()]
    assert len(set(names)) == 12
    assert all(len(name.split("_")) == 3 for name in names)


def test_on_a_gpu_passes_are_whole():
    with fused_programs.as_on_a_gpu():
        assert tf.config.list_physical_devices("GPU")
    assert not tf.config.list_physical_devices("GPU")

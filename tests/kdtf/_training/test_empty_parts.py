"""kdtf._training.empty_parts: replicas without a row."""

import numpy as np
import pytest

import kdtf
from tests import nets


@pytest.mark.slow
def test_statistics_of_an_empty_part_stay(mirrored_strategy):
    """A row of zeros would move them, and no row would make them NaN."""
    with mirrored_strategy.scope():
        student = nets.deep(0)
        distiller = kdtf.Distiller(student, nets.linear(7), temperature=2.0)
        with pytest.warns(UserWarning, match="moving statistics"):
            distiller.compile("sgd")
    before = [v.numpy() for v in student.layers[1].non_trainable_variables]
    distiller.fit(nets.inputs(1), batch_size=4, verbose=0)
    local = mirrored_strategy.experimental_local_results
    for variable, value in zip(
        student.layers[1].non_trainable_variables, before, strict=True
    ):
        first, second = local(variable.value)
        assert np.isfinite(first).all()
        assert not np.array_equal(first, value)
        np.testing.assert_array_equal(second, value)

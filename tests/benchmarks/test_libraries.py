"""`keras.distillation` and kdtf behind one interface."""

import pytest

from benchmarks import libraries, peer_comparison


def test_the_losses_of_all_libraries_are_comparable():
    """Where keras.distillation is right, it and kdtf agree."""
    z, v = peer_comparison._logits(1.0)
    values = [
        float(library.soft_term(z, v, 3.0))
        for library in (libraries.KDTF, libraries.KERAS_BEST)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)

"""benchmarks.arrays: contenders over arrays, and what their times tell."""

import numpy as np
import pytest

from benchmarks import arrays

SIZE = arrays.Size((4, 3, arrays.CLASSES), (4, 5, arrays.CLASSES), 2, 3, 2, {})


def test_figures_are_of_an_epoch_and_of_a_step():
    names = {name for pair in arrays.RATIOS for name in pair}
    seconds = {name: [0.006, 0.012, 0.018] for name in names}
    seconds[arrays.FLOOR] = [0.006, 0.006, 0.006]
    found = arrays.summarise(seconds, SIZE)
    assert found["milliseconds_an_epoch"][arrays.GIVEN] == pytest.approx(6)
    assert found["microseconds_a_step"][arrays.GIVEN] == pytest.approx(2000)
    ratios = {(r["ours"], r["against"]): r["median"] for r in found["ratios"]}
    assert ratios[arrays.GIVEN, arrays.PLAIN] == 1
    assert ratios[arrays.GIVEN, arrays.FLOOR] == 2


@pytest.mark.slow
def test_all_contenders_run():
    runs = arrays.contenders(SIZE)
    names = {name for pair in arrays.RATIOS for name in pair}
    assert set(runs) >= names
    for train in runs.values():
        train()
    assert np.isfinite(runs[arrays.FLOOR]()).all()

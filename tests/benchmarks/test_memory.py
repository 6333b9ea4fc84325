"""benchmarks.memory: growth is that of what is kept, and kdtf keeps little."""

import pytest

from benchmarks import memory

KEPT = []


def keeping(mib):
    return lambda _: KEPT.append(bytearray(b"x") * (mib * memory.MIB))


def test_growth_is_what_each_training_keeps(monkeypatch):
    monkeypatch.setitem(memory.CONTENDERS, "hoard", (keeping, {"mib": 5}))
    assert memory.growth("hoard", 6) == pytest.approx(5, abs=0.5)
    KEPT.clear()


@pytest.mark.slow
def test_distillers_that_are_dropped_are_gone():
    plain, ours, weights = memory.growths(
        ["plain Keras", "kdtf", "kdtf, one student, other class weights, XLA"],
        count=7,
    ).values()
    assert ours < plain
    assert weights < 2

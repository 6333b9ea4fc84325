"""The students that XLA is timed on."""

import numpy as np
import pytest

from benchmarks import jit_compile

ALL = {(True, 1), (True, 2), (False, 1), (False, 2)}
# Every student must compile with XLA in a loop of steps; the other ways of
# training are kdtf's, whatever the layers.
WAYS = {kind: {(True, 2)} for kind in jit_compile.STUDENTS}
WAYS["dense"] = WAYS["recurrent (GRU)"] = ALL


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    monkeypatch.setattr(jit_compile, "BATCH", 4)
    monkeypatch.setattr(jit_compile, "STEPS", 2)
    monkeypatch.setattr(jit_compile, "EXECUTION", 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", jit_compile.STUDENTS)
def test_every_kind_of_student_trains(kind):
    contenders = jit_compile.contenders(*jit_compile.STUDENTS[kind])
    assert set(contenders) == ALL
    for way in sorted(WAYS[kind]):
        assert np.isfinite(contenders[way]().history["loss"]).all()

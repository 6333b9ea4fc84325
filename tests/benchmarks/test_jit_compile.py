"""The students that XLA is timed on."""

import numpy as np
import pytest

from benchmarks import jit_compile


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    monkeypatch.setattr(jit_compile, "BATCH", 4)
    monkeypatch.setattr(jit_compile, "STEPS", 2)
    monkeypatch.setattr(jit_compile, "EXECUTION", 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", jit_compile.STUDENTS)
def test_every_kind_of_student_trains(kind):
    contenders = jit_compile.contenders(*jit_compile.STUDENTS[kind])
    assert set(contenders) == {(True, 1), (True, 2), (False, 1), (False, 2)}
    for train in contenders.values():
        assert np.isfinite(train().history["loss"]).all()

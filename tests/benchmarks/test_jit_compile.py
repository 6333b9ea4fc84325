"""The students that XLA is timed on."""

import numpy as np
import pytest

from benchmarks import jit_compile


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    monkeypatch.setattr(jit_compile, "BATCH", 4)
    monkeypatch.setattr(jit_compile, "STEPS", 2)
    monkeypatch.setattr(jit_compile, "EXECUTION", 2)


def check_that_it_trains(train):
    assert np.isfinite(train().history["loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", jit_compile.STUDENTS)
def test_every_kind_of_student_trains(kind):
    """With and without XLA, one step at a time and many.

    XLA takes longest to compile many steps: `test_every_contender_trains` does.
    """
    contenders = jit_compile.contenders(*jit_compile.STUDENTS[kind])
    check_that_it_trains(contenders[True, 1])
    check_that_it_trains(contenders[False, 2])


@pytest.mark.slow
def test_every_contender_trains():
    contenders = jit_compile.contenders(*jit_compile.STUDENTS["dense"])
    assert set(contenders) == {(True, 1), (True, 2), (False, 1), (False, 2)}
    for train in contenders.values():
        check_that_it_trains(train)

"""The students that XLA is timed on."""

import time

import keras
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


@pytest.mark.slow
def test_half_precision_is_that_of_the_student_alone():
    shape, layers, policy = jit_compile.students()["dense, bfloat16"]
    contenders = jit_compile.contenders(shape, layers, policy)
    assert np.isfinite(contenders[True, 2]().history["loss"]).all()
    assert keras.config.dtype_policy().name == "float32"


def test_a_row_tells_when_compiling_has_paid(monkeypatch):
    """Steps of 2 s without XLA, 1 s with; compiling takes 3 s and 7 s more."""
    seconds = {False: 2.0, True: 1.0}
    compiling = {False: 3.0, True: 7.0}
    clock = [0.0]

    def contender(jit):
        first = [compiling[jit]]

        def train():
            clock[0] += seconds[jit] * jit_compile.STEPS
            clock[0] += first.pop() if first else 0.0

        return train

    monkeypatch.setattr(
        jit_compile,
        "contenders",
        lambda *_: {(jit, k): contender(jit) for jit, k in ALL},
    )
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    row = jit_compile._row("a student", (), None, "float32", rounds=2)
    for execution in ("1", "2"):
        assert row[execution]["steps_until_it_pays"] == 4
        assert row[execution]["seconds_to_compile_with"] == 7.0
        assert row[execution]["milliseconds_with"] == 1000.0

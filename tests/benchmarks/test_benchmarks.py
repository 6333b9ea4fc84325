"""benchmarks: what they make of their measurements."""

import numpy as np
import pytest

from benchmarks import (
    jit_compile,
    libraries,
    loss,
    peer_comparison,
    timing,
    train_step,
)
from tests import reference


def test_the_right_answers_are_those_of_the_reference():
    z, v = peer_comparison._logits(3.0)
    t = peer_comparison.TEMPERATURE
    soft = t**2 * reference.soft_loss(z, v, t).mean()
    assert peer_comparison._true_soft_term(z, v) == pytest.approx(soft)
    slope = t**2 * reference.soft_gradient(z, v, t) / len(z)
    np.testing.assert_allclose(peer_comparison._true_gradient(z, v), slope)


def test_the_losses_of_all_libraries_are_comparable():
    """Where keras.distillation is right, it and kdtf agree."""
    z, v = peer_comparison._logits(1.0)
    values = [
        float(library.soft_term(z, v, 3.0))
        for library in (libraries.KDTF, libraries.KERAS_BEST)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


SIZE = train_step.Size((4, 8, 2), None, batch=10, steps=5, execution=4)


def test_settings_and_operations_of_a_size():
    """A product of matrices, `[a, b] x [b, c]`, takes 2 a b c operations."""
    forward = 2 * 10 * (4 * 8 + 8 * 2)
    by_weights = forward
    by_inputs = 2 * 10 * (8 * 2)  # of the first layer nobody needs it
    assert SIZE.operations == forward + by_weights + by_inputs
    assert {str(setting) for setting in SIZE.settings} == {
        "{'jit_compile': 'auto', 'steps_per_execution': 1}",
        "{'jit_compile': True, 'steps_per_execution': 1}",
        "{'jit_compile': True, 'steps_per_execution': 4}",
        "{'jit_compile': False, 'steps_per_execution': 4}",
    }


def test_best_settings_and_ratios_round_by_round(monkeypatch):
    by_default = str(train_step.DEFAULT)
    seconds = {
        (train_step.GIVEN, "fast"): [1.0, 2.0, 3.0],
        (train_step.GIVEN, by_default): [9.0] * 3,
        (train_step.PLAIN, "fast"): [2.0, 4.0, 4.0],
        (train_step.PLAIN, by_default): [4.0, 20.0, 12.0],
    }
    rows = train_step.summarise(seconds, SIZE, peak=1e6)
    assert [row["best"] for row in rows] == [True, False, True, False]
    # The median epoch of 5 steps takes 2 s.
    assert rows[0]["microseconds"] == pytest.approx(1e6 * 2.0 / 5)
    share = SIZE.operations / (2.0 / 5) / 1e6
    assert rows[0]["share_of_peak"] == pytest.approx(share)
    monkeypatch.setattr(
        train_step,
        "RATIOS",
        [
            ("size", train_step.GIVEN, train_step.PLAIN, False),
            ("size", train_step.GIVEN, train_step.PLAIN, True),
            ("size", train_step.GIVEN, train_step.TORCH, False),
        ],
    )
    best, default = train_step.ratio_rows({"size": rows}, {"size": seconds})
    assert best["median"] == 0.5  # of 1/2, 2/4, 3/4
    assert default["median"] == 0.25  # of 1/4, 2/20, 3/12


def test_a_ratio_has_its_quartiles():
    ratio = timing.ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert ratio == {"median": 3.0, "quartiles": [2.0, 4.0]}


def test_contenders_take_turns():
    calls = []
    contenders = {name: lambda n=name: calls.append(n) for name in "ab"}
    seconds = timing.interleaved(contenders, rounds=2)
    assert calls == ["a", "b"] * 3  # the first to compile
    assert [len(each) for each in seconds.values()] == [2, 2]


def test_the_benchmarked_losses_are_the_same_loss():
    """Up to the teacher's entropy, which has no gradient."""
    inputs = loss.random_inputs((5, 7))
    values, gradients = zip(
        *(
            loss.value_and_gradient(each, compiled=False)(*inputs)
            for each in loss.LOSSES.values()
        ),
        strict=True,
    )
    assert float(values[0]) == pytest.approx(float(values[1]), rel=1e-4)
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradients[0], gradient, atol=1e-5)


@pytest.mark.slow
def test_train_step_runs():
    small = train_step.Size((8, 8, 10), (8, 16, 10), 4, steps=8, execution=4)
    runs = train_step.contenders(small)
    names = {name for name, _ in runs}
    assert names >= {train_step.GIVEN, train_step.KERAS, train_step.FLOOR}
    seconds = timing.interleaved(runs, rounds=1)
    assert all(each[0] > 0 for each in seconds.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", jit_compile.STUDENTS)
def test_every_kind_of_student_trains(kind, monkeypatch):
    monkeypatch.setattr(jit_compile, "STEPS", 2)
    monkeypatch.setattr(jit_compile, "EXECUTION", 2)
    for train in jit_compile.contenders(*jit_compile.STUDENTS[kind]).values():
        assert np.isfinite(train().history["loss"]).all()

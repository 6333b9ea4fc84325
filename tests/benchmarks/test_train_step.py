"""Time of a training step: settings, figures, and that all contenders run."""

import pytest

from benchmarks import timing, train_step

SIZE = train_step.Size((4, 8, 2), None, batch=10, steps=5, execution=4)


def test_settings_and_operations_of_a_size():
    """A product of matrices, `[a, b] x [b, c]`, takes 2 a b c operations."""
    forward = 2 * 10 * (4 * 8 + 8 * 2)
    by_weights = forward
    by_inputs = 2 * 10 * (8 * 2)  # the first layer needs none
    assert SIZE.operations == forward + by_weights + by_inputs
    assert {str(setting) for setting in SIZE.settings} == {
        "{'jit_compile': 'auto', 'steps_per_execution': 1}",
        "{'jit_compile': False, 'steps_per_execution': 1}",
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
            ("size", train_step.GIVEN, train_step.PLAIN, train_step.BEST),
            ("size", train_step.GIVEN, train_step.PLAIN, "default"),
            ("size", train_step.GIVEN, train_step.PLAIN, by_default),
            ("size", train_step.GIVEN, train_step.TORCH, train_step.BEST),
        ],
    )
    best, default, alike = train_step.ratio_rows(
        {"size": rows}, {"size": seconds}
    )
    assert best["median"] == 0.5  # of 1/2, 2/4, 3/4
    assert default["median"] == 0.25  # of 1/4, 2/20, 3/12
    assert alike["median"] == 0.75  # of 9/4, 9/20, 9/12


@pytest.mark.slow
def test_train_step_runs():
    small = train_step.Size((8, 10), (8, 10), 4, steps=4, execution=2)
    runs = train_step.contenders(small)
    names = {name for name, _ in runs}
    assert names >= {train_step.GIVEN, train_step.KERAS, train_step.FLOOR}
    # All settings once, and all contenders once.
    many_steps = str(small.settings[-1])
    runs = {
        (name, setting): run
        for (name, setting), run in runs.items()
        if name == train_step.GIVEN or setting in (many_steps, "{}")
    }
    assert {name for name, _ in runs} == names
    seconds = timing.interleaved(runs, rounds=1)
    assert all(each[0] > 0 for each in seconds.values())

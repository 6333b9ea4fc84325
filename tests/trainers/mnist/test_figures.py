"""trainers.mnist.figures: errors as points and as curves."""

import numpy as np

from trainers.core import plots
from trainers.mnist import figures

ARM = {"test_errors": [4, 8], "mean": 6.0, "ci95": [1.0, 11.0]}


def test_an_arm_is_drawn_with_its_seeds_and_its_interval():
    _, axes = plots.new()
    figures.with_interval(axes, 3, ARM, "black")
    points = np.concatenate([line.get_xydata() for line in axes.lines])
    assert points.tolist() == [[3, 4], [3, 8], [3, 6]]
    [interval] = axes.collections
    assert interval.get_segments()[0].tolist() == [[3, 1], [3, 11]]


def test_a_sweep_is_a_line_through_the_means():
    _, axes = plots.new()
    other = {"test_errors": [9], "mean": 9.0, "ci95": [None, None]}
    figures.sweep(axes, [10, 20], [ARM, other], "black", "arms")
    assert axes.lines[0].get_label() == "arms"
    assert axes.lines[0].get_xydata().tolist() == [[10, 6], [20, 9]]


def test_every_seed_has_a_curve_and_the_first_one_the_label():
    _, axes = plots.new()
    curves = [
        [{"epoch": 1, "errors": 30 + seed}, {"epoch": 2, "errors": 20 + seed}]
        for seed in range(2)
    ]
    figures.curves(axes, {"curves": curves}, "black", "student")
    lines = [line.get_xydata().tolist() for line in axes.lines]
    assert lines == [[[1, 30], [2, 20]], [[1, 31], [2, 21]]]
    assert axes.get_legend_handles_labels()[1] == ["student"]
    figures.finish_curves(
        axes, {"dataset": "digits", "evaluated_on": "held-out", "cases": 1234}
    )
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "errors on 1,234 held-out cases (log scale)"

"""trainers.core.plots: what is drawn, and what is not."""

import numpy as np

from trainers.core import plots

ARM = {"test_errors": [4, 8], "mean": 6.0, "ci95": [1.0, 11.0]}
SINGLE = {"test_errors": [9], "mean": 9.0, "ci95": [None, None]}


def drawn(axes):
    """Dict from label to the `[points, 2]` of a line."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_means_seeds_and_intervals_of_a_sweep():
    _, axes = plots.new()
    plots.sweep(axes, [10, 20], [ARM, SINGLE], "black", "arms")
    np.testing.assert_array_equal(drawn(axes)["arms"], [[10, 6], [20, 9]])
    points = np.concatenate([line.get_xydata() for line in axes.lines[1:]])
    # Each arm's seeds and then its mean.
    assert points.tolist() == [[10, 4], [10, 8], [10, 6], [20, 9], [20, 9]]
    # A single seed has no interval.
    [interval] = axes.collections
    [segment] = interval.get_segments()
    assert segment.tolist() == [[10, 1], [10, 11]]


def test_every_seed_has_a_curve_and_the_first_one_the_label():
    _, axes = plots.new()
    curves = [
        [{"epoch": 1, "errors": 30 + seed}, {"epoch": 2, "errors": 20 + seed}]
        for seed in range(2)
    ]
    plots.curves(axes, {"curves": curves}, "black", "student")
    lines = [line.get_xydata().tolist() for line in axes.lines]
    assert lines == [[[1, 30], [2, 20]], [[1, 31], [2, 21]]]
    assert axes.get_legend_handles_labels()[1] == ["student"]
    plots.finish_curves(
        axes, {"dataset": "digits", "evaluated_on": "held-out", "cases": 1234}
    )
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "errors on 1,234 held-out cases (log scale)"


def test_one_legend_for_all_panels():
    figure, panels = plots.new(2)
    for axes in panels:
        axes.plot([0, 1], label="student")
    plots.level(panels[1], 5.0, "black", "teacher")
    plots.legend_below(figure)
    [legend] = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["student", "teacher"]
    assert not any(axes.get_legend() for axes in panels)
    assert drawn(panels[1])["teacher"][:, 1].tolist() == [5, 5]

"""trainers.core.plots: what is drawn, and what is not."""

import numpy as np

from trainers.core import plots

ARM = plots.Point([4, 8], 6.0, [1.0, 11.0])
SINGLE = plots.Point([9], 9.0, [None, None])


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


def test_shares_become_percents_above_a_base():
    shares = {"each": [0.5, 0.75], "mean": 0.625, "ci95": [None, None]}
    assert plots.percent(shares, base=0.5) == ([0, 25], 12.5, [None, None])
    shares["ci95"] = [0.25, 1.0]
    assert plots.percent(shares).interval == [25, 100]


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


def test_an_axis_of_shares_names_each_of_them():
    _, axes = plots.new()
    plots.shares(axes, [0.01, 0.3, 1.0], "the clips")
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == [1, 30, 100]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["1%", "30%", "100%"]
    assert "of the clips" in axes.get_xlabel()


def test_curves_are_named_once():
    _, axes = plots.new()
    curves = [
        [{"epoch": 1, "loss": 4.0}, {"epoch": 2, "loss": 3.0}],
        [{"epoch": 1, "loss": 5.0}],
    ]
    plots.curves(axes, curves, lambda p: 10 * p["loss"], "black", "a net")
    first, second = axes.lines
    assert first.get_xydata().tolist() == [[1, 40], [2, 30]]
    assert second.get_xydata().tolist() == [[1, 50]]
    assert axes.get_legend_handles_labels()[1] == ["a net"]

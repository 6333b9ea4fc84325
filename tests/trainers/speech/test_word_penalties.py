"""trainers.speech.word_penalties: table and plot."""

import numpy as np
import pytest

from trainers.core import pages
from trainers.speech import word_penalties

COLOURS = {"baseline": "red", "control": "blue"}
CLEAN, NOISE = "connected, clean", "connected, 10 dB"


def of(*conditions, scale=1.0):
    """A fold whose systems are best at 10 nats, in any condition."""
    rates = [[p, scale * (0.1 + abs(p - 10) / 100)] for p in (0, 10, 40)]
    choice = {"penalty": 10.0, "held_out_rate": 0.1 * scale, "rates": rates}
    return {"chosen": {s: dict.fromkeys(conditions, choice) for s in COLOURS}}


def test_what_penalties_give_on_held_out_strings():
    _, table, plot = word_penalties.blocks(
        {"one": of(CLEAN, NOISE), "few": of(NOISE, scale=3.0)}, COLOURS
    )
    assert table.head == ["fold", "system", CLEAN, NOISE]
    assert table.rows == [
        ["one", "baseline", "10 (10.0%)", "10 (10.0%)"],
        ["one", "control", "10 (10.0%)", "10 (10.0%)"],
        ["few", "baseline", "-", "10 (30.0%)"],
        ["few", "control", "-", "10 (30.0%)"],
    ]
    clean, noise = plot.figure.axes
    assert (clean.get_title(), noise.get_title()) == (CLEAN, NOISE)
    for axes, factor in ((clean, 1.0), (noise, 2.0)):
        curve, best, *_ = axes.lines
        assert curve.get_color() == "red" and curve.get_label() == "baseline"
        np.testing.assert_array_equal(curve.get_xdata(), [0, 10, 40])
        expected = factor * np.array([20.0, 10.0, 40.0])
        np.testing.assert_allclose(curve.get_ydata(), expected)
        assert list(best.get_xdata()) == [10]
        assert best.get_ydata()[0] == pytest.approx(10 * factor)


def test_of_equal_penalties_the_dot_is_at_the_one_in_the_middle():
    rates = [[p, 0.1 if p in (10, 20, 30) else 0.2] for p in range(0, 60, 10)]
    choice = {"penalty": 20.0, "held_out_rate": 0.1, "rates": rates}
    fold = {"chosen": {s: {CLEAN: choice} for s in COLOURS}}
    _, _, plot = word_penalties.blocks({"one": fold}, COLOURS)
    [axes] = plot.figure.axes
    _, dot, *_ = axes.lines
    assert list(dot.get_xdata()) == [choice["penalty"]]


@pytest.mark.parametrize(
    "fold, said",
    (
        ({"penalties": {s: {CLEAN: 45.0} for s in COLOURS}}, "45"),
        (
            {
                "chosen": {
                    s: {CLEAN: {"penalty": 5.0, "held_out_rate": 0.125}}
                    for s in COLOURS
                }
            },
            "5 (12.5%)",
        ),
    ),
)
def test_older_figures_have_no_plot(fold, said):
    text, table = word_penalties.blocks({"one": fold}, COLOURS)
    assert isinstance(text, pages.Text)
    assert table.rows == [["one", s, said] for s in COLOURS]


def test_no_penalties_where_there_are_no_strings():
    assert word_penalties.blocks({"one": of()}, COLOURS) == ()
    _, table, *_ = word_penalties.blocks({"a": of(), "b": of(CLEAN)}, COLOURS)
    assert table.rows[0] == ["a", "baseline", "-"]

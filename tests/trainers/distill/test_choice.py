"""trainers.distill.choice: what was tried on held-out cases, and taken."""

import types

import numpy as np
import pytest

from trainers.distill import choice, nets

FOUND = {(2.0, 0.9): [0.5, 0.6], (8.0, 0.9): [0.7, 0.9]}


def run_of(found, *, chosen, compared_by="held_out_accuracy", known=1234):
    """As `choice.measure` sees a run."""
    classes = np.where(np.arange(1234) < known, 1, -1)
    named = compared_by and nets.HeldOut(compared_by, classes)
    return types.SimpleNamespace(
        candidates=list(found),
        chosen=chosen,
        compared_by=named,
        held_out=lambda candidate: found[candidate],
        labelled=True,
        settings=types.SimpleNamespace(hard_weight=0.1),
        about=lambda: {"data": {"held_out_cases": 1234}},
    )


def test_the_candidates_and_which_one_was_taken():
    metrics = choice.measure(run_of(FOUND, chosen=(8.0, 0.9)))
    table = choice.table(metrics)
    assert table.head[2] == "held-out accuracy"
    assert [row[:3] for row in table.rows] == [
        ("2", "0.9", "55.0%"),
        ("8 (chosen)", "0.9", "80.0%"),
    ]
    said, plain = choice.findings(metrics)
    assert said.startswith("Of 2 candidates T = 8 with a soft weight of 0.9")
    assert (
        "is best on the 1,234 held-out cases (80.0%; the worst 55.0%)" in said
    )
    assert plain.endswith("one try of it is compared with the best of 2.")
    [plot] = choice.details(metrics, data=None)
    [axes] = plot.figure.axes
    assert axes.get_ylabel() == "accuracy on held-out cases, %"
    [line] = [x for x in axes.get_lines() if x.get_label().startswith("soft")]
    assert list(line.get_xdata()) == [2.0, 8.0]
    assert line.get_ydata() == pytest.approx([55, 80])


def test_candidates_that_are_alike():
    found = {(t, 0.9): [rate] for t, rate in ((1, 0.5), (2, 1.0), (4, 1.0))}
    metrics = choice.measure(run_of(found, chosen=(2, 0.9), known=6))
    said = choice.findings(metrics)[0]
    assert (
        "T = 2 with a soft weight of 0.9 is as good as any other on the 6 of "
        "1,234 held-out cases that have a label (100.0%; the worst 50.0%), and "
        "was taken, the first of 2 such."
    ) in said


def test_agreement_is_called_so():
    run = run_of(FOUND, chosen=(8.0, 0.9), compared_by="held_out_agreement")
    assert choice.table(choice.measure(run)).head[2] == "held-out agreement"


@pytest.mark.parametrize("compared_by", ("held_out_accuracy", None))
def test_a_single_one_was_not_chosen(compared_by):
    """Also where nothing is known of held-out cases."""
    one = {(4.0, 0.9): [0.5]}
    run = run_of(one, chosen=(4.0, 0.9), compared_by=compared_by)
    metrics = choice.measure(run)
    [said] = choice.findings(metrics)
    assert "T = 4 and a soft weight of 0.9 were given" in said
    [row] = choice.table(metrics).rows
    assert row[2:] == (("50.0%", "-") if compared_by else ("-", "-"))
    assert choice.details(metrics, data=None) == ()

"""trainers.distill.evaluated: who is right, with and without labels."""

import numpy as np

from trainers.distill import evaluated

EYE = np.eye(3, dtype=np.float32)


def of(labels, **choices):
    """`Evaluated` of nets that choose so, one list a seed."""
    return evaluated.Evaluated(
        {name: [EYE[seed] for seed in each] for name, each in choices.items()},
        np.array(labels),
    )


def test_labelled_cases_alone_are_right_or_wrong():
    nets = of(
        [0, 1, -1, 2],
        teacher=[[0, 1, 2, 1]],
        distilled=[[0, 2, 2, 2], [1, 1, 1, 1]],
    )
    assert nets.reference == "label"
    assert nets.students == ("distilled",)
    assert nets.wrong("teacher").tolist() == [[False, False, True]]
    assert nets.wrong("distilled").tolist() == [
        [False, True, False],
        [True, False, True],
    ]
    assert nets.missed("distilled").tolist() == nets.wrong("distilled").tolist()
    # All four cases, labelled or not.
    assert nets.differs("distilled").tolist() == [
        [False, True, False, True],
        [True, False, True, False],
    ]


def test_without_labels_the_teacher_is_asked():
    nets = of([-1, -1], teacher=[[0, 1]], distilled=[[0, 2]])
    assert nets.reference == "teacher"
    assert nets.missed("distilled").tolist() == [[False, True]]


def test_nothing_to_compare_with():
    assert of([-1, -1], distilled=[[0, 2]]).reference is None


def test_digits_follow_the_number_of_cases():
    assert evaluated.percent(0.93123, 9_999) == "93.1%"
    assert evaluated.percent(0.93123, 10_000) == "93.12%"
    assert evaluated.interval([0.5, 0.75]) == "50.0% to 75.0%"
    assert evaluated.interval([None, None]) == "-"

"""trainers.distill.classes: accuracy a class, and who confuses what."""

import json

import numpy as np
import pytest

from tests import distill_runs
from trainers.core import sections
from trainers.distill import classes

EXPERIMENT = sections.of_module(classes)
LABELS = np.repeat([0, 1, 2], [10, 10, 4])


def logits(moved=()):
    """Of a net that takes `count` cases of a class for another.

    Args:
      moved: triples of class, other class, and count.
    """
    choices = LABELS.copy()
    for true, chosen, count in moved:
        choices[np.flatnonzero(true == LABELS)[:count]] = chosen
    return np.eye(3, dtype=np.float32)[choices]


def measured(
    tmp_path, teacher, distilled, *, labels=LABELS, teacher_kind="net"
):
    """Figures that went through JSON, and the run."""
    run = distill_runs.make_run(
        tmp_path,
        cases=len(labels),
        seeds=len(distilled),
        test_logits={
            "teacher": teacher,
            "plain": [logits([(2, 0, 3)])] * len(distilled),
            "distilled": distilled,
        },
        test_labels=labels,
        teacher=teacher_kind,
        labels="all" if (labels >= 0).any() else "none",
    )
    return json.loads(json.dumps(EXPERIMENT.measure(run), allow_nan=False)), run


def test_accuracy_and_confusions(tmp_path):
    teacher = logits([(0, 1, 1), (1, 0, 4), (2, 1, 3)])
    distilled = [
        logits([(0, 1, 4), (1, 0, 6)]),
        logits([(0, 1, 6), (1, 0, 6)]),
    ]
    figures, run = measured(tmp_path, teacher, distilled)
    assert figures["cases"] == [10, 10, 4]
    assert figures["accuracy"]["teacher"] == [0.9, 0.6, 0.25]
    assert figures["accuracy"]["plain"] == [1.0, 1.0, 0.25]
    assert figures["accuracy"]["distilled"] == pytest.approx([0.5, 0.4, 1.0])
    assert figures["confusions"] == [[5, 5, 0], [6, 4, 0], [0, 0, 4]]
    # Six of class 1 for class 0 are not twice as many as the teacher's four.
    assert figures["pairs"] == {
        "student": [{"true": 0, "chosen": 1, "ours": 5.0, "theirs": 1.0}],
        "teacher": [{"true": 2, "chosen": 1, "ours": 3.0, "theirs": 0.0}],
    }
    assert EXPERIMENT.table(figures).rows[2] == (
        "class 2",
        "4",
        "25.0%",
        "25.0%",
        "100.0%",
    )
    said = EXPERIMENT.findings(figures)
    assert said[-2:] == [
        "The distilled student confuses at least twice as often as the "
        "teacher: class 0 taken for class 1 (5 cases against 1).",
        "The teacher confuses at least twice as often as the student: class 2 "
        "taken for class 1 (3 cases against 0).",
    ]
    _, pairs, plot = EXPERIMENT.details(figures, run.data)
    assert pairs.rows == (
        ("class 0 for class 1", "5", "1"),
        ("class 2 for class 1", "0", "3"),
    )
    written = {
        text.get_position(): text.get_text()
        for text in plot.figure.axes[0].texts
    }
    # Shares of a row; [column, row] of the plot.
    assert written == {
        (0, 0): "50",
        (1, 0): "50",
        (0, 1): "60",
        (1, 1): "40",
        (2, 2): "100",
    }


def test_a_class_without_cases(tmp_path):
    labels = np.where(LABELS == 2, -1, LABELS)
    figures, run = measured(tmp_path, logits(), [logits()], labels=labels)
    assert figures["cases"] == [10, 10, 0]
    assert figures["accuracy"]["distilled"] == [1.0, 1.0, None]
    assert EXPERIMENT.table(figures).rows[2][2:] == ("-", "-", "-")
    said = " ".join(EXPERIMENT.findings(figures))
    assert "1 of 3 classes have no test case (class 2)" in said
    assert EXPERIMENT.blocks(figures, run.data)


def test_without_labels_classes_are_those_of_the_teacher(tmp_path):
    figures, run = measured(
        tmp_path,
        logits(),
        [logits([(1, 0, 5)])],
        labels=np.full(24, -1),
    )
    assert figures["accuracy"]["distilled"] == [1.0, 0.5, 1.0]
    assert "teacher" not in figures["accuracy"]
    said = " ".join(EXPERIMENT.findings(figures))
    assert "confuses: class 1 taken for class 0." in said
    [_, pairs, _] = EXPERIMENT.details(figures, run.data)
    assert [*pairs.rows] == [("class 1 for class 0", "5")]


def test_nothing_to_compare_with(tmp_path):
    figures, run = measured(
        tmp_path,
        None,
        [logits()],
        labels=np.full(24, -1),
        teacher_kind="stored",
    )
    assert figures["reference"] is None
    assert EXPERIMENT.blocks(figures, run.data)


def test_of_many_classes_those_that_differ_most():
    count = 40
    rates = np.full(count, 0.8)
    rates[[3, 5, 30]] = 0.2, 0.5, 0.1  # of the distilled student
    figures = {
        "reference": "label",
        "seeds": 1,
        "class_names": [f"c{i}" for i in range(count)],
        "cases": [50] * count,
        "accuracy": {"teacher": [0.8] * count, "distilled": rates.tolist()},
        "pairs": {"student": [], "teacher": []},
    }
    figures["cases"][3] = 0
    figures["accuracy"]["distilled"][3] = None
    # A class of two cases that differ by half of them is less sure.
    figures["cases"][7], figures["accuracy"]["distilled"][7] = 2, 0.3
    rows = EXPERIMENT.table(figures).rows
    assert len(rows) == 20
    assert [row[0] for row in rows[:3]] == ["c30", "c5", "c7"]
    said = " ".join(EXPERIMENT.findings(figures))
    assert "20 of 40 classes" in said
    assert "often as the teacher: no two classes." in said
    assert EXPERIMENT.details(figures, None) == ()


def test_dollars_of_names_are_no_maths():
    figures = {
        "reference": "label",
        "class_names": ["$5%-$10%", "$a$"],  # the first is no maths at all
        "confusions": [[1, 0], [0, 1]],
    }
    [plot] = classes._matrix(figures)
    assert plot.png
    [axes, _] = plot.figure.axes
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["$5%-$10%", "$a$"]
        assert not any(label.get_parse_math() for label in labels)


def test_a_sentence_names_three_pairs():
    pair = {"true": 0, "chosen": 1, "ours": 3.0, "theirs": 0.0}
    figures = {
        "reference": "label",
        "seeds": 1,
        "class_names": ["a", "b"],
        "cases": [9, 9],
        "accuracy": {"teacher": [1, 1], "distilled": [1, 1]},
        "pairs": {"student": [pair] * 4, "teacher": []},
    }
    said = EXPERIMENT.findings(figures)[0]
    assert said.count("a taken for b") == 3
    assert said.endswith("and others, see below.")

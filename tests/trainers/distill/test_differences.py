"""trainers.distill.differences: which cases are shown, and how."""

import json

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import text as matplotlib_text

from tests import distill_runs
from trainers.core import pages, sections
from trainers.distill import differences, reading

EXPERIMENT = sections.of_module(differences)
LABELS = np.arange(40) % 3


def logits(wrong, confidence=5.0):
    """Of a net that takes the next class on these cases.

    Args:
      wrong: sequence of places.
      confidence: the logit of the class that is chosen; one, or one a case.
    """
    choices = LABELS.copy()
    choices[list(wrong)] = (choices[list(wrong)] + 1) % 3
    return np.float32(
        np.eye(3)[choices] * np.reshape(confidence, (-1, 1))
    ) * np.ones((40, 1), np.float32)


def measured(tmp_path, kind="images", *, student=None, **options):
    """Figures that went through JSON, and the run."""
    student = logits(range(2, 9)) if student is None else student
    run = distill_runs.make_run(
        tmp_path,
        kind,
        cases=40,
        seeds=1,
        test_logits={
            "teacher": logits([0, 1, 2, 3]),
            "plain": [student],
            "distilled": [student],
        },
        test_labels=options.pop("test_labels", LABELS),
        **options,
    )
    return json.loads(json.dumps(EXPERIMENT.measure(run), allow_nan=False)), run


def test_the_surest_come_first(tmp_path):
    confidence = np.full(40, 2.0)
    confidence[[6, 4]] = 4.0, 3.0
    figures, _ = measured(tmp_path, student=logits(range(2, 9), confidence))
    # Teacher wrong on 0 to 3, student on 2 to 8.
    assert figures["counts"] == {
        "both": 31,
        "teacher": 5,
        "student": 2,
        "neither": 2,
    }
    assert figures["kind"] == "teacher_right"
    assert figures["found"] == 5
    assert [case["case"] for case in figures["cases"]] == [6, 4, 5, 7, 8]
    first = figures["cases"][0]
    assert (first["label"], first["teacher"], first["student"]) == (0, 0, 1)
    assert first["student_confidence"] == pytest.approx(
        np.exp(4) / (np.exp(4) + 2)
    )
    assert EXPERIMENT.table(figures).rows[1] == (
        "the teacher alone is right",
        "5",
        "12.5%",
    )


def test_at_most_24_are_shown(tmp_path):
    figures, _ = measured(tmp_path, student=logits(range(40)))
    assert figures["found"] == 36  # all that the teacher gets right
    assert len(figures["cases"]) == 24
    [said] = EXPERIMENT.findings(figures)
    assert "On 36 test cases" in said
    assert "The 24 of which the student is surest" in said


def test_labels_of_some_cases(tmp_path):
    labels = np.where(np.arange(40) < 5, -1, LABELS)
    figures, _ = measured(tmp_path, test_labels=labels)
    assert [case["case"] for case in figures["cases"]] == [5, 6, 7, 8]
    assert sum(figures["counts"].values()) == 35


def test_without_labels_those_that_differ(tmp_path):
    figures, run = measured(tmp_path, test_labels=LABELS * 0 - 1)
    assert figures["kind"] == "differ"
    assert figures["counts"] == {"agree": 33, "differ": 7}
    assert [case["case"] for case in figures["cases"]] == [0, 1, *range(4, 9)]
    [plot] = EXPERIMENT.details(figures, run.data)
    caption = plot.figure.axes[0].get_title(loc="left")
    assert caption == "teacher: class 1\nstudent: class 0"


def test_stored_targets_alone(tmp_path):
    figures, run = measured(tmp_path, teacher="stored")
    assert figures["kind"] == "wrong"
    assert figures["counts"] == {"right": 33, "wrong": 7}
    assert (
        "On 7 test cases the student is wrong."
        in EXPERIMENT.findings(figures)[0]
    )
    assert EXPERIMENT.blocks(figures, run.data)


def test_nothing_to_compare_with(tmp_path):
    figures, run = measured(
        tmp_path, teacher="stored", test_labels=LABELS * 0 - 1
    )
    assert figures["kind"] is None
    assert EXPERIMENT.blocks(figures, run.data)


def test_no_differences(tmp_path):
    figures, run = measured(tmp_path, student=logits([]))
    assert figures["cases"] == []
    assert EXPERIMENT.findings(figures) == [
        "On 0 test cases the teacher is right and the student wrong."
    ]
    assert EXPERIMENT.details(figures, run.data) == ()


def xs_of(split):
    """All inputs of a split."""
    return np.stack([x for x, _ in split.dataset.as_numpy_iterator()])


def test_images(tmp_path):
    figures, run = measured(tmp_path)
    [plot] = EXPERIMENT.details(figures, run.data)
    drawn = [axes for axes in plot.figure.axes if axes.images]
    assert len(drawn) == 5
    np.testing.assert_allclose(
        drawn[1].images[0].get_array(), xs_of(run.data.test)[5] / 255, atol=1e-6
    )
    assert drawn[1].get_title(loc="left") == (
        "true: class 2\nteacher: class 2\nstudent: class 0"
    )


def test_sound_is_drawn_as_time_by_frequency(tmp_path):
    figures, run = measured(tmp_path, "sound")
    [plot] = EXPERIMENT.details(figures, run.data)
    [image] = plot.figure.axes[0].images
    expected = xs_of(run.data.test)[4, :, :, 0].T
    np.testing.assert_array_equal(image.get_array(), expected)
    assert image.origin == "lower"


def test_grey_images_and_arrays(tmp_path):
    for kind, shape in (("images", (6, 8, 1)), ("arrays", (5, 4, 3, 2))):
        figures, run = measured(tmp_path / kind, kind, shape=shape)
        [plot] = EXPERIMENT.details(figures, run.data)
        expected = xs_of(run.data.test)[4]
        while expected.ndim > 2:
            expected = expected[..., 0]
        np.testing.assert_array_equal(
            plot.figure.axes[0].images[0].get_array(), expected
        )


def test_a_table_shows_the_columns_that_are_far(tmp_path, monkeypatch):
    monkeypatch.setattr(differences, "_COLUMNS", 3)
    monkeypatch.setattr(differences, "_BATCH", 7)
    figures, run = measured(tmp_path, "table")
    train, test = xs_of(run.data.train), xs_of(run.data.test)
    own = test[[4, 5, 6, 7, 8]]
    far = np.abs((own - train.mean(0)) / train.std(0)).mean(0)
    columns = sorted(np.argsort(far)[-3:])
    values = figures["values"]
    assert values["columns"] == [f"column {i}" for i in columns]
    np.testing.assert_allclose(values["means"], train.mean(0)[columns], 1e-5)
    np.testing.assert_allclose(values["rows"], own[:, columns], 1e-6)
    [table] = EXPERIMENT.details(figures, None)
    assert isinstance(table, pages.Table)
    assert table.head == (
        "case",
        "true",
        "teacher",
        "student",
        *values["columns"],
    )
    assert table.rows[0][0] == "mean of training cases"
    sure = np.exp(5) / (np.exp(5) + 2)
    assert table.rows[1][:4] == (
        "4",
        "class 1",
        f"class 1 ({sure:.0%})",
        f"class 2 ({sure:.0%})",
    )


def test_moments_of_batches(monkeypatch):
    monkeypatch.setattr(differences, "_BATCH", 3)
    x = np.float32(np.arange(14).reshape(7, 2) ** 2)  # batches of other means
    mean, deviation = differences._moments(Split(x).dataset)
    np.testing.assert_allclose(mean, x.mean(0))
    np.testing.assert_allclose(deviation, x.std(0), rtol=1e-6)


def test_constant_columns_are_not_far():
    class Data:
        columns = ()

    data = Data()
    cases = np.float32([[1, 5, 0], [1, 7, 0]])
    data.train, data.test = Split(cases), Split(np.float32([[9, 6, 0]]))
    found = differences._values(data, [0])
    assert found["columns"] == ["feature 0", "feature 1", "feature 2"]
    assert found["means"] == [1.0, 6.0, 0.0]


class Split:
    """A split of arrays."""

    def __init__(self, x):
        """The labels are of no use."""
        self.dataset = tf.data.Dataset.from_tensor_slices((x, x[:, 0]))


def test_pictures_are_read_once(tmp_path):
    figures, run = measured(tmp_path)
    reading.kept_xs.cache_clear()
    for _ in range(2):
        EXPERIMENT.details(figures, run.data)
    assert reading.kept_xs.cache_info().misses == 1


def test_long_names_are_cut():
    names = ["a class with a very long name"]
    case = {"label": 0, "student": 0}
    assert differences._caption(case, names) == (
        "true: a class with ..\nstudent: a class with .."
    )


def test_dollars_of_names_are_no_maths(tmp_path):
    names = ("$5%-$10%", "$1$", "$2$")  # the first is no maths at all
    figures, run = measured(tmp_path, class_names=names)
    [plot] = EXPERIMENT.details(figures, run.data)
    assert plot.png
    titles = [
        text
        for text in plot.figure.findobj(matplotlib_text.Text)
        if text.get_text().startswith("true: ")
    ]
    assert len(titles) == 5
    assert not any(title.get_parse_math() for title in titles)

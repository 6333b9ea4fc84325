"""trainers.distill.costs: exports, their bytes and times, and what fails."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import distill_runs
from tests import exports as served_exports
from trainers.core import sections
from trainers.distill import costs, exports

EXPERIMENT = sections.of_module(costs)


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """Timings take a moment."""
    monkeypatch.setattr(costs, "SECONDS", 0.01)


@pytest.mark.slow
def test_everything_is_exported_and_measured(tmp_path):
    run = distill_runs.make_run(tmp_path, cases=600)
    run.int8 = True
    figures = json.loads(json.dumps(EXPERIMENT.measure(run), allow_nan=False))
    forms = {(f["net"], f["form"]): f for f in figures["forms"]}
    assert not [form for form in forms.values() if "failed" in form]
    assert figures["parameters"] == {
        "distilled": run.nets["distilled"][0].count_params(),
        "teacher": run.teacher.count_params(),
    }
    for name, form in (
        ("student.keras", "keras"),
        ("student.tflite", "litert"),
        ("student_int8.tflite", "litert_int8"),
    ):
        size = (tmp_path / name).stat().st_size
        assert forms["distilled", form]["bytes"] == size
    files = [f for f in (tmp_path / "export").rglob("*") if f.is_file()]
    saved = forms["distilled", "saved_model"]
    assert saved["bytes"] == sum(f.stat().st_size for f in files)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "export",
        "student.keras",
        "student.tflite",
        "student_int8.tflite",
    ]
    for form in ("saved_model", "litert", "litert_int8"):
        found = forms["distilled", form]
        assert 0 < found["milliseconds"] <= found["milliseconds_90"]
    assert set(costs.speeds(figures)) == {"distilled", "teacher"}
    int8, right = figures["int8"], run.logits["distilled"][0].argmax(-1)
    rows = np.arange(500) * 600 // 500
    expected = np.mean(right[rows] == run.labels[rows])
    assert int8["cases"] == 500
    assert int8["float_accuracy"] == pytest.approx(expected)
    assert int8["accuracy"] == pytest.approx(expected, abs=0.03)
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    x = np.stack([x for x, _ in run.data.test.dataset.take(5)])
    np.testing.assert_allclose(
        loaded(x), run.logits["distilled"][0][:5], rtol=1e-4, atol=1e-4
    )
    served = served_exports.serve(tmp_path / "export", x=tf.constant(x))
    names = [f"class {i}".encode() for i in right[:5]]
    assert served["class_name"].tolist() == names
    said = " ".join(EXPERIMENT.findings(figures))
    assert "In int8 the student is right on" in said
    assert "student.keras, export/, student.tflite, student_int8.tflite" in said
    assert EXPERIMENT.blocks(figures, run.data)
    assert costs.measured(run) is costs.measured(run)


@pytest.mark.slow
def test_a_sigmoid_head_without_labels(tmp_path):
    run = distill_runs.make_run(
        tmp_path, "table", classes=2, labels="none", teacher="stored"
    )
    net = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    run.nets["distilled"][0] = net
    figures = EXPERIMENT.measure(run)
    assert not [form for form in figures["forms"] if "failed" in form]
    assert figures["int8"] is None
    assert costs.speeds(figures) == {}
    assert not (tmp_path / "student_int8.tflite").exists()
    x = np.float32(np.random.default_rng(0).normal(size=(9, 10)))
    choices = exports._Served(tmp_path / "export")(tf.constant(x))
    np.testing.assert_array_equal(choices, np.ravel(net(x) > 0))
    assert EXPERIMENT.blocks(figures, run.data)


def test_what_fails_is_told(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise ValueError("`student` must be\nsomething that LiteRT has" * 9)

    monkeypatch.setattr(kdtf, "export_litert", refuse)
    monkeypatch.setattr(kdtf, "export_student", refuse)
    run = distill_runs.make_run(tmp_path)
    figures = json.loads(json.dumps(EXPERIMENT.measure(run)))
    reasons = [form.get("failed") for form in figures["forms"]]
    assert reasons == [
        None,  # student.keras
        *["ValueError: `student` must be"] * 3,
        None,
        "ValueError: `student` must be",
    ]
    assert figures["int8"] is None
    rows = EXPERIMENT.table(figures).rows
    assert rows[1][:2] == (
        "student, SavedModel",
        "none: ValueError: `student` must be",
    )
    said = EXPERIMENT.findings(figures)
    assert (
        "There is no student, LiteRT, int8: ValueError: `student` must be"
    ) in said
    assert EXPERIMENT.blocks(figures, run.data)


def test_bars():
    """One for each form whose figure is known."""
    forms = [
        {"net": "distilled", "form": "keras", "bytes": 2000},
        {"net": "distilled", "form": "litert", "failed": "no"},
        {
            "net": "teacher",
            "form": "saved_model",
            "bytes": 9000,
            "milliseconds": 2.0,
        },
    ]
    [plot] = EXPERIMENT.details({"forms": forms}, None)
    found = [
        {
            tick.get_text(): bar.get_width()
            for tick, bar in zip(
                axes.get_yticklabels(), axes.patches, strict=True
            )
        }
        for axes in plot.figure.axes
    ]
    assert found == [
        {"student, Keras file": 2000, "teacher, SavedModel": 9000},
        {"teacher, SavedModel": 2.0},
    ]


def test_a_teacher_that_does_not_tell_its_parameters():
    figures = {"parameters": {"distilled": 7, "teacher": 0}, "forms": []}
    assert costs._of_sizes(figures) == ["The student has 7 parameters."]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (999, "999 bytes"),
        (12_345, "12.3 kB"),
        (123_456, "123 kB"),
        (2_310_000, "2.3 MB"),
    ],
)
def test_sizes(count, text):
    assert costs.size(count) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0.0123, "12.3 µs"), (0.1234, "0.123 ms"), (12.34, "12.3 ms")],
)
def test_durations(milliseconds, text):
    assert costs._duration(milliseconds) == text


def test_ratios_in_words():
    assert costs._as_fast(1.04) == "as fast"
    assert costs._as_fast(2.04) == "2.0 times as fast"

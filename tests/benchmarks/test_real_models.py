"""Real models: what a row measures and checks, and the tables of it."""

import json
import multiprocessing
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from benchmarks.real_models import __main__ as real_models
from benchmarks.real_models import base, checking, processes, tables, text


class Tiny(base.Row):
    """Nets of one and two layers on random numbers."""

    title = "tiny"
    ways = (*base.Row.ways, base.STORED)
    steps = 3

    def prepare(self):
        rng = np.random.default_rng(0)
        self.save(x=rng.normal(size=(16, 3)), y=rng.integers(0, 2, 16))
        self.train_teacher(_net(8), 1)

    def student(self):
        return _net()

    def batches(self):
        arrays = self.load()
        x, y = arrays["x"].astype("f"), arrays["y"].astype("i")
        data = tf.data.Dataset.from_tensor_slices((x, y))
        return data.batch(8)


def _net(*hidden):
    layers = [keras.layers.Dense(units, "relu") for units in hidden]
    return keras.Sequential(
        [
            keras.Input((3,), name="x"),
            *layers,
            keras.layers.Dropout(0.1),  # and with it, no XLA
            keras.layers.Dense(2),
        ]
    )


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    tiny = Tiny(tmp_path_factory.mktemp("tiny"))
    tiny.prepare()
    return tiny


@pytest.mark.slow
def test_all_ways_train_for_the_steps_of_the_row(row):
    assert len(row.ways) == 4
    for way in row.ways:
        assert len(list(row.data(way))) == 3
        model = row.compiled(way)
        model.fit(row.data(way), shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 3
        is_ours = "kdtf" in way
        assert isinstance(model, kdtf.Distiller) is is_ours
    assert isinstance(row.compiled(base.PEER), keras.distillation.Distiller)


class Shifted(Tiny):
    """Its export is compared with a model of logits that are 0.5 larger."""

    def as_exported(self, student):
        inputs = keras.Input((3,))
        return keras.Model(inputs, student(inputs) + 0.5)


def test_a_way_without_xla(row):
    class Dense(Tiny):
        def student(self):
            return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    ways = base.KDTF, base.NO_XLA
    models = map(Dense(row.folder).compiled, ways)
    assert [model.jit_compile for model in models] == [True, False]


@pytest.mark.slow
def test_a_check_measures_differences(row):
    found = checking.check(Shifted(row.folder))
    assert found["student_weights"] == 3 * 2 + 2
    assert len(found["losses"]) == 3
    assert found["losses"][2] < found["losses"][0]
    assert found["export_difference"] == pytest.approx(0.5, abs=1e-5)
    assert found["resumed_difference"] == 0
    left = {each.name for each in row.folder.iterdir()}
    assert left <= {"data.npz", "teacher.keras", "soft_targets"}


class Unsteady(Tiny):
    """Each call of `data` gives fewer batches."""

    calls = 0

    def data(self, way=base.KDTF):
        self.calls += 1
        return super().data(way).skip(self.calls)


@pytest.mark.slow
def test_a_loaded_distiller_that_goes_another_way_is_found(row):
    unsteady = Unsteady(row.folder)
    distiller = unsteady.compiled(base.KDTF)
    assert checking.resumed_difference(unsteady, distiller) > 1e-4


def test_what_fails_is_named_and_the_rest_is_missing(row):
    class Broken(Tiny):
        def trained(self):
            return self.compiled(base.KDTF), [2.0, 1.0]

        def as_exported(self, student):
            raise OSError("no room")

    assert checking.check(Broken(row.folder)) == {
        "losses": [2.0, 1.0],
        "student_weights": 3 * 2 + 2,
        "export_difference": "raises OSError: no room",
    }


@pytest.mark.slow
def test_a_process_answers_with_seconds_and_memory(row):
    ours, theirs = multiprocessing.Pipe()
    way = base.PLAIN
    thread = threading.Thread(target=processes.serve, args=(theirs, row, way))
    thread.start()
    assert ours.recv() is None
    ours.send(True)
    assert 0 < ours.recv() < 60
    ours.send(False)
    found = ours.recv()
    assert 100 < found["imported_mib"] <= found["peak_mib"]
    thread.join()


def test_a_process_tells_what_it_raised(row):
    class Broken(Tiny):
        def student(self):
            raise OSError("no room")

    ours, theirs = multiprocessing.Pipe()
    ours.send(False)
    broken = Broken(row.folder)
    processes.serve(theirs, broken, base.KDTF)
    assert ours.recv() == "raises OSError: no room"
    assert ours.recv()["peak_mib"] > 100


def test_figures_are_medians_of_a_step():
    class Ended:
        error = None

        def end(self):
            return {"peak_mib": 5.0}

    found = real_models._figures(Ended(), steps=10, seconds=[6.0, 1.0, 2.0])
    assert found["milliseconds"] == 200  # of 600, 100 and 200
    assert found["peak_mib"] == 5


def test_words_become_numbers():
    short = text.tokens("a b, a", 100, 6)
    assert short.shape == (6,) and short.dtype == np.int32
    assert short[0] == short[3] != short[1]
    np.testing.assert_array_equal(short[4:], 0)
    assert short[:4].min() > 0 and short.max() < 100
    np.testing.assert_array_equal(text.tokens("a b, a", 100, 2), short[:2])
    assert any("JSON" in text for text in text.docstrings("json"))


def _figures(**changes):
    checks = {
        "student_weights": 1234,
        "losses": [2.5, 1.25, 0.125],
        "export_difference": 2e-7,
        "resumed_difference": 0.0,
    }
    return {
        "title": "big to small",
        "what": "so many layers",
        "ways": {
            "kdtf": {
                "milliseconds": 12.34,
                "peak_mib": 1234.5,
                "imported_mib": 567.0,
            },
            "kdtf, from stored soft targets": {
                "milliseconds": 5.0,
                "peak_mib": 900.0,
            },
            "plain Keras": {"milliseconds": 4.0, "peak_mib": 800.0},
            "`keras.distillation`": {"raises": "raises ValueError: a\n|b."},
        },
        "checks": {**checks, **changes},
    }


def test_the_tables(tmp_path):
    rows = [
        _figures(litert={"agreement": 0.875, "size": 2000}),
        _figures(losses=[1.0, 2.0], resumed_difference=0.5),
        _figures(export_difference="raises OSError: full"),
    ]
    figures = {"machine": "M", "rounds": 5, "rows": dict(enumerate(rows))}
    (tmp_path / "real_models.json").write_text(json.dumps(figures))
    _, _, first, stored, second, _, third, _ = tables.times(tmp_path)
    times = "12.3 | 4.0 | raises ValueError | 1,234 | 800 |  |"
    assert first == f"| big to small | yes | {times}"
    assert stored == (
        "| the same, from stored soft targets |  | 5.0 |  |  | 900 |  |  |"
    )
    assert second == f"| big to small | not: trains, resumes | {times}"
    assert third == f"| big to small | raises OSError | {times}"
    _, _, first, _, third = tables.checks(tmp_path)
    assert first == (
        "| big to small | 2.5, 1.25, 0.125 | 2e-07 | 0 "
        "| 2 KB, agrees in 87.5% |"
    )
    assert third == (
        "| big to small | 2.5, 1.25, 0.125 | raises OSError | 0 |  |"
    )
    lines = tables.what(tmp_path)
    assert lines[0].startswith("Machine: M; medians of 5 rounds. A process")
    assert lines[0].endswith("takes 567 MiB.")
    assert lines[2] == "- **big to small** (1,234 weights): so many layers."
    assert lines[3] == "  `keras.distillation` raises `ValueError: a |b.`"
    assert lines[-1] == "  kdtf's export_difference raises `OSError: full`"


@pytest.mark.slow
def test_a_row_is_measured_in_processes(tmp_path):
    """The forest's: the quickest of the real ones."""
    row = real_models.ROWS["forest"](tmp_path)
    found = real_models.measure(row, rounds=1)
    raised = found["ways"].pop(base.PEER)["raises"]
    assert raised.startswith("raises ValueError: Teacher must be a keras.Model")
    assert len(found["ways"]) == 3
    assert all(way["milliseconds"] > 0 for way in found["ways"].values())
    assert found["checks"]["export_difference"] < 1e-5
    assert found["checks"]["resumed_difference"] == 0

"""trainers.specialists.distilled."""

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.core.errors import FlagsError
from trainers.specialists import distilled, groups


@pytest.fixture
def calls(monkeypatch):
    return runs.without_training(monkeypatch)


@pytest.fixture
def run(tmp_path, calls):
    return runs.make_run(tmp_path)


def test_students_of_equal_cost(run):
    """The widest net that costs no more than the teacher."""
    for cost in (492.0, 1000.0, 5000.5):
        own, equal = distilled.units_of(run, cost).values()
        assert own == 6
        assert run.multiply_adds(12, equal) <= cost
        assert run.multiply_adds(12, equal + 1) > cost


def with_calls(run, monkeypatch, calls=0.5):
    """The run, with what `table` has measured: how many are called."""
    measured = runs.run.Run.measured

    def found(run, name, measure, train):
        if name == "table":
            return [{"active": np.array([calls, 9, 9])}] * run.seeds
        return measured(run, name, measure, train)

    monkeypatch.setattr(runs.run.Run, "measured", found)
    return run


def test_what_a_prediction_of_the_teacher_costs(run, monkeypatch):
    run = with_calls(run, monkeypatch)
    generalist = 64 * 6 + 36 + 6 * 12
    specialist = 64 * 6 + 36 + 6 * 5
    found = distilled._teacher_multiply_adds(run)
    assert found == generalist + 0.5 * specialist


def test_cases_in_order(run):
    batches = distilled._InOrder(run)
    assert len(batches) == 1
    pixels = run.data.train_images.reshape(240, -1) / np.float64(255)
    assert batches[0].dtype == np.float32
    np.testing.assert_allclose(batches[0], pixels, rtol=1e-6)


def test_cases_that_fill_no_batch_come_last(run, monkeypatch):
    monkeypatch.setattr(distilled, "_ROWS", 100)
    batches = distilled._InOrder(run)
    assert [len(batches[i]) for i in range(len(batches))] == [100, 100, 40]


def test_a_bar_shows_how_far_a_reader_is(run, monkeypatch):
    monkeypatch.setattr(distilled, "_ROWS", 100)
    bar = distilled.tqdm.tqdm(disable=False, delay=1e9)
    batches = distilled._InOrder(run, bar)
    assert bar.total == 3
    for index, shown in ((0, 1), (1, 2), (0, 2), (2, 3)):
        batches[index]
        assert bar.n == shown


def first_batch(run, endless):
    """y of a batch, and `[batch, classes]` what the ensemble says of its x."""
    x, y = next(iter(endless(0)))
    pixels = run.data.train_images.reshape(240, -1) / 255
    rows = np.abs(x.numpy()[:, None] - pixels[None]).max(-1).argmin(-1)
    np.testing.assert_array_equal(y["labels"], run.data.train_labels[rows])
    ensemble = groups.of_confused(run, 0)[0].ensemble()
    return y, runs.softmax(ensemble(pixels[rows].astype(np.float32)).numpy())


def test_students_are_taught_what_generalist_and_specialists_say(run, calls):
    """The 12 classes are fewer than the 32 logits that are kept of others."""
    distilled._TOP_K, kept = 4, distilled._TOP_K
    try:
        distilled._write_store(run, 0)
    finally:
        distilled._TOP_K = kept
    distilled._student(run, 0, 6, 0.5)
    arm, directory, endless = calls[-1]
    assert (arm.soft_weight, arm.hard_weight) == (0.5, 0.5)
    assert directory.parent == run.directory / "seed0"
    y, p = first_batch(run, endless)
    for case in range(len(p)):
        top = y["teacher_top_classes"].numpy()[case]
        assert set(top) == set(np.argsort(p[case])[-4:])
        log_p = y["teacher_top_logits"].numpy()[case].astype(float)
        # Relative to each other, as float16 keeps them.
        expected = np.log(p[case][top])
        np.testing.assert_allclose(
            log_p - log_p.max(), expected - expected.max(), atol=5e-3
        )


def test_of_few_classes_all_logits_are_kept(run, calls):
    """There are 12 classes, and no 32 largest logits of them."""
    distilled._write_store(run, 0)
    distilled._student(run, 0, 6, 0.5)
    _, _, endless = calls[-1]
    y, p = first_batch(run, endless)
    kept = y["teacher_logits"].numpy().astype(np.float64)
    np.testing.assert_allclose(runs.softmax(kept), p, atol=2e-3)


def test_students_of_labels_alone_need_no_store(run, calls):
    distilled._student(run, 0, 6, 0.0)
    [(arm, _, endless)] = calls
    assert arm.name == "labels"
    _, y = next(iter(endless(0)))
    assert y.dtype.is_integer


def test_a_damaged_store_is_named(run):
    path = run.directory / "seed0/soft_targets"
    path.mkdir()
    (path / "manifest.json").write_text("{")
    with pytest.raises(FlagsError, match=rf"delete {path} "):
        distilled._soft_targets(run, 0)


def measured(right):
    """A seed of made-up choices: lists of cases that are right."""
    names = [
        "generalist",
        "teacher",
        *(distilled._name(s, w) for s in distilled.SIZES for w in (0, 0.5)),
    ]
    seed = {}
    for name, cases in zip(names, right, strict=True):
        cases = np.array(cases, bool)
        seed[f"{name}/right"] = cases
        scalars = np.array([cases.mean(), np.nan, 1, 0])
        seed[f"{name}/scalars"] = scalars
        seed[f"{name}/agreement"] = np.array(0.5)
    return seed


def test_report(run, monkeypatch):
    """Errors of ten cases: 8, the teacher 4, students 8 to 6."""
    rights = (2, 6, 2, 3, 3, 4)
    right = [np.arange(10) < count for count in rights]
    monkeypatch.setattr(
        runs.run.Run, "measured", lambda *_: [measured(right)] * 2
    )
    monkeypatch.setattr(distilled, "_teacher_multiply_adds", lambda _: 1000.0)
    found = distilled.measure(run)
    kept = [student["gain_kept"]["mean"] for student in found["students"]]
    np.testing.assert_allclose(kept, [0, 0.25, 0.25, 0.5])
    students = found["students"]
    # 64 * 11 + 11^2 + 11 * 12 = 957, and of 12 units 1056
    assert [student["units"] for student in students] == [6] * 2 + [11] * 2
    assert students[2]["multiply_adds"] == 957
    rows = distilled.table(found).rows
    assert [row[5] for row in rows] == [
        *("0%", "100%"),
        *("0%", "25%", "25%", "50%"),
    ]
    best, alone = distilled.findings(found)
    assert "(equal cost of a prediction, soft targets x 0.5) keeps 50%" in best
    assert "reaches 30.00%, with soft targets it is 40.00%" in alone
    [plot] = distilled.details(found, None)
    assert plot.png

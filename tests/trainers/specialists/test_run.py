"""trainers.specialists.run: what is done once, and how often."""

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.core.errors import FlagsError


def test_few_and_many_share_the_cases(tmp_path):
    run = runs.make_run(tmp_path, few=0.25)
    cases = np.arange(240)
    few, many = (cases[run.rows(name)] for name in ("few", "many"))
    assert len(few) == 60
    np.testing.assert_array_equal(np.concatenate([few, many]), cases)
    np.testing.assert_array_equal(cases[run.rows("")], cases)


def test_multiply_adds(tmp_path):
    run = runs.make_run(tmp_path, units=6)
    assert run.multiply_adds(5) == 64 * 6 + 6 * 6 + 6 * 5
    assert run.multiply_adds(5, units=9) == 64 * 9 + 9 * 9 + 9 * 5


def test_a_generalist_learns_from_its_cases(tmp_path, monkeypatch):
    calls = runs.without_training(monkeypatch)
    run = runs.make_run(tmp_path, noise=0.0)
    run.generalist(0)
    run.generalist(1, "many")
    known = {image.tobytes() for image in run.data.train_images[60:]}
    for (arm, directory, endless), seed in zip(calls, (0, 1), strict=True):
        assert directory == tmp_path / f"seed{seed}" / arm.directory_name()
        seen = [x for x, _ in endless(0).take(15).as_numpy_iterator()]
        pixels = np.rint(np.concatenate(seen) * 255).astype(np.uint8)
        assert (known >= {p.tobytes() for p in pixels}) == (seed == 1)


def counting(done):
    def measure(run, seed):
        done.append(("measure", seed))
        return {"seed": np.full(2, seed)}

    def train(run):
        done.append("train")

    return measure, train


def test_what_was_measured_is_neither_trained_nor_measured_again(tmp_path):
    run, done = runs.make_run(tmp_path, seeds=2), []
    measure, train = counting(done)
    for _ in range(2):
        found = run.measured("name", measure, train)
        assert [seed["seed"].tolist() for seed in found] == [[0, 0], [1, 1]]
    assert done == ["train", ("measure", 0), ("measure", 1)]


def test_another_seed_is_measured_alone(tmp_path):
    done = []
    measure, train = counting(done)
    runs.make_run(tmp_path, seeds=1).measured("name", measure, train)
    runs.make_run(tmp_path, seeds=2).measured("name", measure, train)
    assert done == ["train", ("measure", 0), "train", ("measure", 1)]


def test_a_damaged_file_is_named(tmp_path):
    run = runs.make_run(tmp_path)
    measure, train = counting([])
    run.measured("name", measure, train)
    path = tmp_path / "seed0" / "name.npz"
    whole = path.read_bytes()
    changed = whole[:60] + bytes(9) + whole[69:]
    for content in (whole[:50], changed, b""):
        path.write_bytes(content)
        with pytest.raises(FlagsError, match=rf"delete {path} "):
            run.measured("name", measure, train)


def test_one_process_does_jobs_in_their_order(tmp_path):
    run, done = runs.make_run(tmp_path), []
    run.do(lambda *job: done.append(job), [(1, 2), (3,)])
    assert done == [(run, 1, 2), (run, 3)]

"""kdtf._workers: several processes, that agree or say what differs."""

import operator
import re
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _workers
from tests import nets, processes, stores, worker_trials

pytestmark = pytest.mark.slow


def start(folder, cases, count=2):
    """Starts workers, and returns their processes."""
    cluster = ",".join(processes.free_addresses(count))
    return [
        processes.start(
            "tests.worker_trials",
            f"--cases={','.join(cases)}",
            f"--folder={folder}",
            f"--cluster={cluster}",
            f"--index={index}",
            errors=folder / f"errors-{index}",
        )
        for index in range(count)
    ]


def ends(folder, case, count=2):
    """What each worker's case ended in."""
    return [(folder / f"{case}-{index}").read_text() for index in range(count)]


REFUSED = {
    "other_epochs": r"`epochs` must be the same on all workers.*Received: {} ",
    "other_data": r"`x` must be the same on all workers",
    "other_order": r"`x` must be the same.*keras.utils.set_random_seed",
    "other_temperature": r"`temperature` must be the same.*Received: {}",
    "other_method": r"`method` must be the same.*Received: {}",
    "other_teacher": r"`teacher` must be the same on all workers",
    "predicted_by_file": r"`x` must be sharded by DATA.*AutoShardPolicy.FILE",
    "a_generator": r"`x` must be data that can be read again",
    "not_sharded": r"`x` must be sharded by DATA.*AutoShardPolicy.OFF",
    "other_backups": r"`backup_dir` must be the same.*they share.*epoch {}, ",
}
OWN = {
    "other_epochs": ("1", "2"),
    "other_method": ("fit", "evaluate"),
    "other_temperature": (r"2\.0", r"3\.0"),
    "other_backups": ("0", "1"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """One cluster is led into one error after another."""
    folder = tmp_path_factory.mktemp("refusals")
    for process in start(folder, REFUSED):
        process.join(processes.PATIENCE)
        assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_what_differs_is_named_on_all_workers(refusals, case):
    for index, said in enumerate(ends(refusals, case)):
        assert said.startswith("ValueError: ")
        own = OWN.get(case, ("", ""))[index]
        assert re.search(REFUSED[case].format(own), said, re.DOTALL), said


def require_weights(folder, student):
    """Both workers have ended with the weights of a student."""
    for index in range(2):
        found = np.load(folder / f"weights-{index}.npz")
        for name, expected in zip(
            found.files, nets.values(student), strict=True
        ):
            np.testing.assert_allclose(found[name], expected, atol=1e-6)


def test_workers_may_read_their_own_data(tmp_path):
    for process in start(tmp_path, ["own_data"]):
        process.join(processes.PATIENCE)
    one = kdtf.Distiller(nets.linear(0), nets.linear(7), temperature=2.0)
    one.compile(keras.optimizers.Adam(0.01))
    x, y = nets.inputs(worker_trials.ROWS), nets.labels(worker_trials.ROWS)
    one.fit(x, y, batch_size=worker_trials.ROWS, verbose=0)
    require_weights(tmp_path, one.student)


def test_workers_may_read_their_own_shards(tmp_path):
    """A step's rows are the next ones of every worker, if it has any left."""
    store = stores.write(
        tmp_path / "store", data=stores.of_range, examples=22, batch_size=2
    )
    for process in start(tmp_path, ["own_shards"]):
        process.join(processes.PATIENCE)
    for said in ends(tmp_path, "own_shards"):
        assert said == "nothing was raised"

    parts = [
        stores.read(
            store.join(stores.of_range, shard_index=i, shard_count=2).batch(4)
        )
        for i in range(2)
    ]
    sizes = [len(x) for x, _ in parts]
    assert sum(sizes) == 22 and sizes[0] != sizes[1]
    one = kdtf.Distiller(nets.linear(0), temperature=2.0)
    one.compile(keras.optimizers.Adam(0.01))
    for _ in range(2):
        for first in range(0, max(sizes), 4):
            rows = slice(first, first + 4)
            cut = tf.nest.map_structure(operator.itemgetter(rows), parts)
            one.train_on_batch(
                *tf.nest.map_structure(lambda *t: np.concatenate(t), *cut)
            )
    require_weights(tmp_path, one.student)


def epoch_of(folder):
    path = folder / "epoch"
    text = path.read_text() if path.exists() else ""
    return int(text) if text else -1


@pytest.mark.parametrize("victim", (0, 1))
def test_a_lost_worker_is_named_and_all_resume(tmp_path, victim):
    """Started again they end with the weights of an uninterrupted run."""
    workers = start(tmp_path, ["killed"])
    deadline = time.monotonic() + processes.PATIENCE
    while epoch_of(tmp_path) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers[victim].kill()
    for worker in workers:
        worker.join(processes.PATIENCE)
        assert worker.exitcode is not None
    said = (tmp_path / f"killed-{1 - victim}").read_text()
    assert said.startswith("WorkerLost: A worker was lost: start all of them")
    assert not list(tmp_path.glob("weights-*"))

    for worker in start(tmp_path, ["killed"]):
        worker.join(processes.PATIENCE)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    for worker in start(undisturbed, ["killed"]):
        worker.join(processes.PATIENCE)
    for index in range(2):
        found, expected = (
            np.load(folder / f"weights-{index}.npz")
            for folder in (tmp_path, undisturbed)
        )
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name])


def test_none_leaves_a_run_before_all_have_come_to_its_end(tmp_path):
    """Its process may end then, which would fail what the others receive."""
    for process in start(tmp_path, ["ends_late"]):
        process.join(processes.PATIENCE)
    assert ends(tmp_path, "ends_late") == ["nothing was raised"] * 2
    for method in worker_trials.METHODS:
        came, *left = (
            float((tmp_path / f"{method}-{what}").read_text())
            for what in ("came", "left-0", "left-1")
        )
        assert min(left) >= came


def test_one_process_spans_nothing(mirrored_strategy):
    for strategy in (tf.distribute.get_strategy(), mirrored_strategy):
        assert not _workers.spans(strategy)
        assert _workers.is_chief(strategy)


@pytest.mark.parametrize(
    ("message", "is_loss"),
    (
        ("Collective ops is aborted by: Socket closed", True),
        ("Collective ops is aborted by: ... tasks are unhealthy", True),
        ("Collective ops is aborted by: Shape mismatch in the coll", False),
        ("Matrix size-incompatible", False),
    ),
)
def test_only_losses_are_called_so(monkeypatch, message, is_loss):
    monkeypatch.setattr(_workers, "spans", lambda strategy: True)
    error = tf.errors.UnavailableError(None, None, message)
    expected = _workers.WorkerLost if is_loss else tf.errors.UnavailableError
    with (
        pytest.raises(expected, match=re.escape(message)),
        _workers.named_losses(None),
    ):
        raise error

"""Writing soft targets: resumed after any kill, refused where it must be."""

import contextlib
import multiprocessing
import pathlib
import random
import resource
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import writer
from tests import nets, slow_writer, stores

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


@contextlib.contextmanager
def killed_at_record(monkeypatch, record):
    """Makes the writer die as it is about to encode that record."""
    encode, count = store_format.encode, iter(range(record))

    def counted(arrays):
        if next(count, None) is None:
            raise Killed
        return encode(arrays)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(store_format, "encode", counted)
        yield


@pytest.mark.parametrize("record", (0, 1, 2, 5, 6, 11))
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    tmp_path, monkeypatch, record
):
    options = {
        "views": 2,
        "augment": lambda x, seed: x + tf.cast(seed[1], x.dtype),
    }
    stores.write(tmp_path / "whole", **options)
    with killed_at_record(monkeypatch, record):
        stores.write(tmp_path / "killed", **options)
    complete = stores.contents(tmp_path / "killed") if record > 1 else {}
    stores.write(tmp_path / "killed", **options)
    assert stores.contents(tmp_path / "whole") == stores.contents(
        tmp_path / "killed"
    )
    # Two batches a shard; what was complete was not written again.
    shards = [name for name in complete if name.endswith(".tfrecord")]
    assert len(shards) == record // 2


def test_complete_shards_are_not_computed_again(tmp_path, monkeypatch):
    seen = []
    data = stores.dataset()
    teacher = nets.linear(3)

    class Watched(keras.Model):
        def call(self, x):
            tf.py_function(lambda x: seen.append(len(x)), [x], [])
            return teacher(x)

    watched = Watched()
    with killed_at_record(monkeypatch, 4):
        stores.write(tmp_path, watched, data)
    seen.clear()
    stores.write(tmp_path, watched, data)
    assert sum(seen) <= 4 + 6  # the first batch, for its shape; the last two
    seen.clear()
    stores.write(tmp_path, watched, data)
    assert not seen


@pytest.mark.parametrize(
    "change",
    (
        {"teacher": nets.linear(4)},
        {"data": stores.dataset(5)},
        {"data": stores.dataset(4, 20)},
        {"data": stores.dataset().map(lambda x, y: (x + 1, y))},
        {"dtype": "float32"},
        {"top_k": 2, "temperature": 2.0},
        {"views": 2, "augment": lambda x, seed: x},
        {"shards": 2},
    ),
)
@pytest.mark.parametrize("finished", (True, False))
def test_another_store_is_never_overwritten(
    tmp_path, monkeypatch, change, finished
):
    if finished:
        stores.write(tmp_path)
    else:
        with killed_at_record(monkeypatch, 3):
            stores.write(tmp_path)
    before = stores.contents(tmp_path)
    with pytest.raises(ValueError, match=r"`directory`.*there and .* now"):
        stores.write(tmp_path, **change)
    assert stores.contents(tmp_path) == before


def test_ensembles_of_the_same_members_are_told_apart(tmp_path):
    members = [nets.linear(3), nets.linear(4)]
    stores.write(tmp_path, kdtf.Ensemble(members), temperature=2.0)
    for other in (
        kdtf.Ensemble(members, combine="geometric"),
        kdtf.Ensemble(members, weights=[1, 2]),
        kdtf.Ensemble(members[::-1], weights=[2, 2]),
    ):
        with pytest.raises(ValueError, match="teacher"):
            stores.write(tmp_path, other, temperature=2.0)


def test_a_teacher_that_was_never_called_is_built_first(tmp_path):
    store = stores.write(tmp_path, keras.Sequential([keras.layers.Dense(4)]))
    assert len(store) == 22


def test_a_directory_that_holds_something_else_stays_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"`directory`.*thesis\.txt"):
        stores.write(tmp_path)
    assert stores.contents(tmp_path) == {"thesis.txt": b"years of work"}
    with pytest.raises(ValueError, match="which is a file"):
        stores.write(tmp_path / "thesis.txt")


class Constant(keras.Model):
    """Returns the same whatever it is given."""

    def __init__(self, output):
        super().__init__()
        self.output_value = output

    def call(self, x):
        return self.output_value


@pytest.mark.parametrize(
    "output",
    (
        tf.zeros((4,)),
        tf.zeros((3, 4)),
        tf.zeros((4, 5), tf.int32),
        [tf.zeros((4, 5)), tf.zeros((4, 5))],
    ),
    ids=("rank", "batch", "dtype", "list"),
)
def test_a_teacher_that_returns_no_logits_is_refused(tmp_path, output):
    with pytest.raises(ValueError, match=r"`teacher`.*\[batch, ..., classes\]"):
        stores.write(tmp_path / "store", Constant(output))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("value", "dtype"),
    ((np.nan, "float32"), (np.inf, "float16"), (-7e4, "float16")),
)
def test_logits_that_cannot_be_kept_are_named(tmp_path, value, dtype):
    class Spoiled(keras.Model):
        def call(self, x):
            bad = tf.reduce_all(x == nets.inputs(22)[13], axis=-1)
            column = tf.where(bad, value, 0.0)[:, None]
            return tf.concat([column, tf.zeros((tf.shape(x)[0], 3))], axis=1)

    with pytest.raises(ValueError, match="batch 3, row 1"):
        stores.write(tmp_path, Spoiled(), shards=1, dtype=dtype)
    assert not list(tmp_path.iterdir())
    if value == -7e4:
        stores.write(tmp_path, Spoiled(), shards=1, dtype="bfloat16")


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"dtype": "int8"}, "`dtype`.*int8"),
        ({"top_k": 2}, "`temperature` must be given"),
        ({"top_k": 0, "temperature": 1.0}, "`top_k`.*0"),
        ({"top_k": 4, "temperature": 1.0}, "`top_k` must be below.*4"),
        ({"temperature": -1.0}, "`temperature`.*-1"),
        ({"views": 0}, "`views`.*0"),
        ({"views": 2}, "`augment` must be given"),
        ({"shards": 1.5}, r"`shards`.*1\.5"),
        ({"teacher": lambda x: x}, "`teacher` must be a keras.Model"),
        ({"data": [1, 2]}, "`dataset` must be a tf.data.Dataset"),
        ({"data": stores.dataset().repeat()}, "an infinite data set"),
        ({"data": stores.dataset().filter(lambda x, y: True)}, "unknown"),
        ({"data": stores.dataset().take(0)}, "an empty one"),
    ),
)
def test_arguments_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        stores.write(tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


def test_an_arithmetic_ensemble_needs_a_temperature(tmp_path):
    ensemble = kdtf.Ensemble([nets.linear(3), nets.linear(4)])
    with pytest.raises(ValueError, match="`temperature` must be given"):
        stores.write(tmp_path, ensemble)


def test_a_disk_that_fills_up(tmp_path):
    def write():
        return stores.write(
            tmp_path, data=stores.dataset(500, 4000), dtype="float32"
        )

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="make room"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(ValueError, match="`directory`"):
        kdtf.SoftTargets(tmp_path)
    assert len(write()) == 4000  # with room again
    assert not list(tmp_path.glob("*.scratch"))


def test_a_second_writer_is_refused(tmp_path):
    identity = stores.write(tmp_path / "store")._manifest.identity
    with (
        writer._opened(tmp_path / "new", identity),
        pytest.raises(ValueError, match="another process"),
    ):
        stores.write(tmp_path / "new")


def test_a_refused_writer_leaves_the_files_of_the_first_alone(tmp_path):
    """Before the first shard, too: else it could not be resumed."""
    identity = stores.write(tmp_path / "store")._manifest.identity
    with writer._opened(tmp_path / "new", identity):
        before = stores.contents(tmp_path / "new")
        assert list(before) == [store_format.UNFINISHED]
        with pytest.raises(ValueError, match="another process"):
            stores.write(tmp_path / "new")
        assert stores.contents(tmp_path / "new") == before


@pytest.fixture(scope="module")
def writers():
    """Processes that have imported TensorFlow already: twenty are made."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.slow_writer"])
    return context


def start_writer(writers, directory):
    ours, theirs = writers.Pipe()
    child = writers.Process(target=slow_writer.write, args=(directory, theirs))
    child.start()
    theirs.close()  # or a child that dies early would be waited for
    assert ours.recv() == "ready"
    return child


@pytest.mark.slow
def test_killed_twenty_times(tmp_path, writers):
    child = start_writer(writers, tmp_path / "whole")
    start = time.monotonic()
    child.join()
    assert child.exitcode == 0
    seconds = time.monotonic() - start
    whole = stores.contents(tmp_path / "whole")
    draw = random.Random(0)
    kills, rounds = 0, 0
    while kills < 20:
        directory = tmp_path / f"round{rounds}"
        rounds += 1
        while not (directory / store_format.MANIFEST).exists():
            child = start_writer(writers, directory)
            child.join(draw.uniform(0, seconds))
            kills += child.is_alive()
            child.kill()
            child.join()
        child = start_writer(writers, directory)  # tidies up after the last
        child.join()
        assert child.exitcode == 0
        assert stores.contents(directory) == whole
    assert rounds > 1

"""Writing soft targets: resumed after any kill, refused where it must be."""

import contextlib
import errno
import os
import pathlib
import random
import resource
import shutil
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _atomic
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import manifest, shards
from tests import nets, slow_writer, stores
from tests.processes import CONTEXT

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


@contextlib.contextmanager
def killed_at_record(monkeypatch, record):
    """Makes the writer die as it is about to encode that record."""
    encode, count = store_format.encode, iter(range(record))

    def counted(*record):
        if next(count, None) is None:
            raise Killed
        return encode(*record)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(store_format, "encode", counted)
        yield


OF_TWO_VIEWS = {
    "views": 2,
    "augment": lambda x, seed: x + tf.cast(seed[1], x.dtype),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a store that nothing interrupted."""
    folder = tmp_path_factory.mktemp("stores") / "whole"
    stores.write(folder, **OF_TWO_VIEWS)
    return stores.contents(folder)


@pytest.mark.slow
@pytest.mark.parametrize("record", (0, 1, 2, 5, 6, 11))
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    tmp_path, monkeypatch, whole, record
):
    options = OF_TWO_VIEWS
    with killed_at_record(monkeypatch, record):
        stores.write(tmp_path / "killed", **options)
    complete = stores.contents(tmp_path / "killed") if record > 1 else {}
    stores.write(tmp_path / "killed", **options)
    assert stores.contents(tmp_path / "killed") == whole
    # Two batches a shard; what was complete was not written again.
    shards = [name for name in complete if name.endswith(".tfrecord")]
    assert len(shards) == record // 2


def test_complete_shards_are_not_computed_again(tmp_path, monkeypatch):
    seen = []
    linear = nets.linear(3)

    def teacher(x):
        seen.append(len(x))
        return linear(x)

    def write():
        seen.clear()
        stores.write(tmp_path, teacher, fingerprint="linear 3")

    with killed_at_record(monkeypatch, 4):
        write()
    write()
    assert sum(seen) <= 4 + 6  # the first batch, for its shape; the last two
    write()
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


def rescaled(scale):
    """Of the same weights whatever the scale."""
    return keras.Sequential([nets.linear(3), keras.layers.Rescaling(scale)])


@pytest.mark.parametrize("options", ({}, {"top_k": 2, "temperature": 2.0}))
@pytest.mark.parametrize("finished", (True, False))
def test_a_teacher_of_the_same_weights_may_say_something_else(
    tmp_path, finished, options
):
    store, share = tmp_path / "store", {}
    if not finished:
        share = {"shard_index": 0, "shard_count": 2}
    stores.write(store, rescaled(1.0), **options, **share)
    before = stores.contents(store)
    with pytest.raises(ValueError, match=r"`directory` must.*first batch"):
        stores.write(store, rescaled(3.0), **options)
    assert stores.contents(store) == before
    # As another machine computes it.
    assert len(stores.write(store, rescaled(1.001), **options)) == 22


class Guessing(keras.layers.Layer):
    """Logits of its own weights, and of chance."""

    def __init__(self):
        super().__init__()
        self.net = nets.linear(3)
        self.drop = keras.layers.Dropout(0.5)

    def call(self, x):
        return self.net(self.drop(x, training=True))


@pytest.mark.parametrize(
    ("teacher", "options"),
    (
        (kdtf.Ensemble([nets.linear(3), nets.linear(4)]), {}),
        (kdtf.Ensemble([nets.linear(3), nets.linear(4)]), {"top_k": 2}),
        (Guessing(), {}),
    ),
)
def test_a_teacher_is_known_again(tmp_path, teacher, options):
    options = {"temperature": 4.0, **options}
    teacher(np.ones((1, nets.FEATURES)))
    for index in (0, 1, 0):
        share = {"shard_index": index, "shard_count": 2}
        stores.write(tmp_path, teacher, **options, **share)
    assert len(stores.write(tmp_path, teacher, **options)) == 22


def test_a_directory_that_holds_something_else_stays_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"`directory`.*thesis\.txt"):
        stores.write(tmp_path)
    assert stores.contents(tmp_path) == {"thesis.txt": b"years of work"}
    with pytest.raises(ValueError, match="which is a file"):
        stores.write(tmp_path / "thesis.txt")


@pytest.mark.parametrize(
    ("value", "dtype"),
    ((np.nan, "float32"), (np.inf, "float16"), (-7e4, "float16")),
)
def test_logits_that_cannot_be_kept_are_named(tmp_path, value, dtype):
    def spoiled(x):
        bad = (x == nets.inputs(22)[13]).numpy().all(axis=-1)
        column = np.where(bad, value, 0.0)[:, None]
        return np.concatenate([column, np.zeros((len(x), 3))], axis=1)

    options = {"shards": 1, "fingerprint": "spoiled"}
    with pytest.raises(ValueError, match="batch 3, row 1"):
        stores.write(tmp_path, spoiled, dtype=dtype, **options)
    assert not list(tmp_path.iterdir())
    if value == -7e4:
        stores.write(tmp_path, spoiled, dtype="bfloat16", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"dtype": "int8"}, "`dtype`.*int8"),
        ({"top_k": 2}, "`temperature` must be given"),
        ({"top_k": 0, "temperature": 1.0}, "`top_k`.*0"),
        ({"top_k": 4, "temperature": 1.0}, "`top_k` must be below.*4"),
        ({"temperature": -1.0}, "`temperature`.*-1"),
        ({"views": 0}, "`views`.*0"),
        ({"views": True}, "`views`.*True"),
        ({"views": 2}, "`augment` must be given"),
        ({"shards": 1.5}, r"`shards`.*1\.5"),
        ({"batch_size": 0}, "`batch_size`.*0"),
        ({"batch_size": 4}, "`batch_size` must not be given.*Dataset"),
        ({"data": [1, 2]}, "`dataset` must be a tf.data.Dataset"),
        ({"data": stores.dataset().repeat()}, "an infinite data set"),
        ({"data": stores.dataset().take(0)}, "an empty one"),
        ({"data": stores.dataset().filter(lambda x, y: False)}, "an empty one"),
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


@pytest.mark.parametrize("buffer", (2, 100))
@pytest.mark.parametrize("batch", (1, 4))
def test_data_in_another_order_each_time_are_refused(tmp_path, buffer, batch):
    shuffled = stores.dataset(None).shuffle(buffer, seed=1).batch(batch)
    with pytest.raises(ValueError, match=r"`dataset`.*reshuffle_each_iter"):
        stores.write(tmp_path / "store", data=shuffled)
    assert not (tmp_path / "store").exists()


def test_data_shuffled_once_and_for_all_are_taken(tmp_path):
    shuffled = (
        stores.dataset(None)
        .shuffle(22, seed=1, reshuffle_each_iteration=False)
        .batch(4)
    )
    store = stores.write(tmp_path, data=shuffled)
    assert len(list(store.join(shuffled))) == 6


def test_data_that_can_be_read_once_only_are_refused(tmp_path):
    batches = iter(stores.dataset().as_numpy_iterator())
    once = tf.data.Dataset.from_generator(
        lambda: batches, output_signature=stores.dataset().element_spec
    )
    with pytest.raises(ValueError, match="when it is read again"):
        stores.write(tmp_path, data=once)


@pytest.mark.parametrize("kind", (tf.RaggedTensor, tf.SparseTensor))
def test_inputs_that_are_not_dense_are_refused(tmp_path, kind):
    from_dense = {
        tf.RaggedTensor: tf.RaggedTensor.from_tensor,
        tf.SparseTensor: tf.sparse.from_dense,
    }
    x = from_dense[kind](nets.inputs())
    data = tf.data.Dataset.from_tensor_slices(x).batch(4)
    with pytest.raises(ValueError, match=r"^`dataset` must hold dense tensors"):
        stores.write(tmp_path, data=data)
    assert not list(tmp_path.iterdir())


def test_an_augmentation_with_a_state_is_named(tmp_path):
    def augment(x, seed):
        noise = tf.numpy_function(np.random.normal, [0.0], tf.float64)
        return x + tf.cast(tf.ensure_shape(noise, []), x.dtype)

    with pytest.raises(ValueError, match="`augment` must be stateless"):
        stores.write(tmp_path, augment=augment)


def unknown_length(data):
    return data.filter(lambda *element: True)


def write_of_unknown_length(folder):
    """A store of 11 batches and two views."""
    return stores.write(
        folder,
        data=unknown_length(stores.dataset(2)),
        views=2,
        augment=lambda x, seed: x,
    )


@pytest.fixture(scope="module")
def whole_of_unknown_length(tmp_path_factory):
    """The files of one that nothing interrupted, and batches of each shard."""
    folder = tmp_path_factory.mktemp("stores") / "unknown"
    whole = write_of_unknown_length(folder)
    # 1 batch in each of three shards, 2 in the next three, and the rest.
    sizes = [
        shards.look_at(path, whole._manifest.identity, view, index).batches
        for view in range(2)
        for index, path in enumerate(sorted(folder.glob(f"view00{view}*")))
    ]
    assert sizes == [1, 1, 1, 2, 2, 2, 2] * 2
    return stores.contents(folder), sizes


@pytest.mark.slow
@pytest.mark.parametrize("record", (0, 1, 3, 5, 8, 21))
def test_of_unknown_length_it_resumes_too(
    tmp_path, monkeypatch, whole_of_unknown_length, record
):
    whole, sizes = whole_of_unknown_length
    with killed_at_record(monkeypatch, record):
        write_of_unknown_length(tmp_path)
    complete = set(tmp_path.glob("*.tfrecord"))
    ends = np.cumsum(sizes)
    assert len(complete) == np.searchsorted(ends, record, "right")
    write_of_unknown_length(tmp_path)
    assert stores.contents(tmp_path) == whole


@pytest.mark.parametrize("count", (2, 6, 7, 10))
def test_of_unknown_length_all_that_there_is_is_written(tmp_path, count):
    data = unknown_length(stores.dataset(2, count))
    store = stores.write(tmp_path, data=data)
    assert len(store) == count
    joined = store.join(data)
    assert len(joined) == len(list(joined)) == -(-count // 2)
    assert len(store.join(unknown_length(stores.dataset(None, count)))) == count


def test_killed_between_its_last_shard_and_its_manifest(tmp_path, monkeypatch):
    data = unknown_length(stores.dataset(2, 7))  # the last shard is not full
    stores.write(tmp_path / "whole", data=data, shards=3)

    def killed(*args):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(manifest, "write", killed)
        stores.write(tmp_path / "killed", data=data, shards=3)
    stores.write(tmp_path / "killed", data=data, shards=3)
    assert stores.contents(tmp_path / "whole") == stores.contents(
        tmp_path / "killed"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "message", "shards"),
    (
        # Of shards of 1, 1, 1, 2, 2 and 2 batches.
        (14, r"views of .batches, examples. \[\(6, 22\), \(4, 14\)\]", 4),
        (30, r"views of .batches, examples. \[\(6, 22\), \(8, 30\)\]", 6),
        (21, r"views of .batches, examples. \[\(6, 22\), \(6, 21\)\]", 5),
    ),
)
def test_a_view_of_another_length_makes_no_store(
    tmp_path, second, message, shards
):
    counts = iter((22, 22, 22, second))  # the start twice, and each view

    def read():
        yield from nets.inputs(next(counts))

    data = tf.data.Dataset.from_generator(
        read, output_signature=tf.TensorSpec([nets.FEATURES])
    )
    options = {"views": 2, "augment": lambda x, seed: x}
    with pytest.raises(ValueError, match=message):
        stores.write(tmp_path, data=data.batch(4), **options)
    assert len(list(tmp_path.glob("view001*"))) == shards
    with pytest.raises(ValueError, match="unfinished"):
        kdtf.SoftTargets(tmp_path)


def test_a_length_that_was_asserted_wrongly_is_named(tmp_path):
    data = stores.dataset().apply(tf.data.experimental.assert_cardinality(9))
    with pytest.raises(ValueError, match=r"`dataset` must have as many elem"):
        stores.write(tmp_path / "store", data=data, shards=1)
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil", ("foreign", "exchanged", "damaged", "cut off", "older")
)
def test_resuming_notices_a_shard_that_is_not_its_own(
    tmp_path, monkeypatch, spoil
):
    folder, other = tmp_path / "store", tmp_path / "other"
    with killed_at_record(monkeypatch, 5):
        stores.write(folder)
    first, second = sorted(folder.glob("*.tfrecord"))
    if spoil == "foreign":
        stores.write(other, nets.linear(4))
        second.write_bytes((other / second.name).read_bytes())
    elif spoil == "exchanged":
        contents = first.read_bytes(), second.read_bytes()
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
    elif spoil == "damaged":
        content = bytearray(second.read_bytes())
        content[len(content) // 2] ^= 1
        second.write_bytes(content)
    elif spoil == "cut off":
        records = tf.data.TFRecordDataset(str(second)).take(1)
        with tf.io.TFRecordWriter(str(second) + "x") as file:
            file.write(next(iter(records)).numpy())
        (second.parent / (second.name + "x")).replace(second)
    else:  # a record without an origin, as version 1 wrote them
        with tf.io.TFRecordWriter(str(second)) as file:
            file.write(tf.train.Example().SerializeToString())
    before = stores.contents(folder)
    bad = first if spoil == "exchanged" else second
    with pytest.raises(ValueError, match=rf"delete that file.*{bad.name}"):
        stores.write(folder)
    assert stores.contents(folder) == before
    bad.unlink()
    if spoil == "exchanged":
        with pytest.raises(
            ValueError, match=rf"delete that file.*{second.name}"
        ):
            stores.write(folder)
        second.unlink()
    stores.write(tmp_path / "whole")
    stores.write(folder)
    assert stores.contents(folder) == stores.contents(tmp_path / "whole")


def test_a_folder_that_vanishes(tmp_path):
    folder, linear = tmp_path / "store", nets.linear(3)

    def teacher(x):
        if (folder / store_format.UNFINISHED).exists():
            shutil.rmtree(folder)
        return linear(x)

    with pytest.raises(OSError, match=r"could not be written to.*shard00000"):
        stores.write(folder, teacher, fingerprint="a")


@pytest.mark.parametrize("name", ("UNFINISHED", "MANIFEST"))
def test_a_disk_without_room_for_the_small_files(tmp_path, monkeypatch, name):
    name = getattr(store_format, name)
    write_whole = _atomic.write_whole

    def full(path, content, **options):
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_whole(path, content, **options)

    with monkeypatch.context() as patch:
        patch.setattr(_atomic, "write_whole", full)
        with pytest.raises(OSError, match=rf"{name}: .*No space left.*room"):
            stores.write(tmp_path / "store")
    assert len(stores.write(tmp_path / "store")) == 22


def test_a_place_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not be written to"):
        stores.write(tmp_path / "file" / "store")


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


def start_writer(directory):
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(target=slow_writer.write, args=(directory, theirs))
    child.start()
    theirs.close()  # or a child that dies early would be waited for
    assert ours.recv() == "ready"
    child.pipe = ours  # open for as long as the child may write to it
    return child


@pytest.mark.slow
def test_killed_twenty_times(tmp_path):
    child = start_writer(tmp_path / "whole")
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
            child = start_writer(directory)
            child.join(draw.uniform(0, seconds))
            kills += child.is_alive()
            child.kill()
            child.join()
        child = start_writer(directory)  # tidies up after the last
        child.join()
        assert child.exitcode == 0
        assert stores.contents(directory) == whole
    assert rounds > 1


@pytest.mark.slow
def test_a_finished_store_on_a_disk_that_may_only_be_read(
    tmp_path, monkeypatch
):
    stores.write(tmp_path)
    before = stores.contents(tmp_path)

    def refuse(path, missing_ok=False):
        # Of a file that is not there, too, where a whole disk is read-only.
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(pathlib.Path, "unlink", refuse)
    assert len(stores.write(tmp_path)) == stores.EXAMPLES
    assert stores.contents(tmp_path) == before


@pytest.mark.parametrize("known", (True, False))
def test_a_shard_of_a_batch_without_an_example(tmp_path, known):
    """As a filter within batches leaves them."""
    x = nets.inputs(10)
    batches = (x[:4], x[:0], x[4:8], x[8:])
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=tf.TensorSpec([None, nets.FEATURES]),
    )
    if known:
        data = data.apply(tf.data.experimental.assert_cardinality(4))
    store = stores.write(tmp_path, data=data, shards=4, dtype="float32")
    assert len(store) == 10
    store.verify()
    alone = tf.data.Dataset.from_tensor_slices(x)
    parts = [
        stores.read(store.join(alone, shard_index=i, shard_count=2).batch(4))
        for i in range(2)
    ]
    found = np.concatenate([targets["teacher_logits"] for _, targets in parts])
    expected = stores.relative_logits(nets.linear(3), x)
    np.testing.assert_allclose(found, expected, atol=1e-5)

"""One store written by several processes: the bytes are those of one."""

import contextlib
import errno
import itertools
import os
import random

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _atomic
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import manifest, shards, writer
from tests import nets, slow_writer, stores
from tests.processes import CONTEXT


def brighter(x, seed):
    return x + tf.cast(seed[0] + 100 * seed[1], x.dtype)


def linear(classes, seed=5):
    shape = (nets.FEATURES, classes)
    kernel = np.random.default_rng(seed).normal(size=shape).astype("float32")
    return lambda x: np.asarray(x) @ kernel


# Of 22 examples in 6 batches, and 3 shards a view.
OPTIONS = {
    "all logits": {},
    "views and top k": {
        "views": 2,
        "augment": brighter,
        "top_k": 2,
        "temperature": 2.0,
    },
    "70,000 classes": {
        "teacher": linear(70_000),
        "fingerprint": "70,000",
        "top_k": 5,
        "temperature": 1.0,
    },
}
TWO_VIEWS = OPTIONS["views and top k"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Dict from a name of `OPTIONS` to the files that one process writes."""
    found = {}
    for name, options in OPTIONS.items():
        folder = tmp_path_factory.mktemp("whole")
        stores.write(folder, **options)
        found[name] = stores.contents(folder)
    return found


def of_range(first, last):
    parts = nets.inputs(22)[first:last], nets.labels(22)[first:last]
    return tf.data.Dataset.from_tensor_slices(parts)


BY_RANGE = {"data": of_range, "examples": 22, "batch_size": 4}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "order", "data"),
    (
        ("all logits", (1, 0), {}),
        ("all logits", (2, 0, 1), BY_RANGE),
        ("views and top k", (2, 0, 1), {}),
        ("views and top k", (1, 0), BY_RANGE),
        ("70,000 classes", (1, 0), {}),
        ("70,000 classes", (0, 1), BY_RANGE),
    ),
)
def test_one_after_the_other_in_any_order(tmp_path, whole, name, order, data):
    options = OPTIONS[name] | data
    for index in order[:-1]:
        share = {"shard_index": index, "shard_count": len(order)}
        assert stores.write(tmp_path, **share, **options) is None
        with pytest.raises(ValueError, match="an unfinished store"):
            kdtf.SoftTargets(tmp_path)
    share = {"shard_index": order[-1], "shard_count": len(order)}
    store = stores.write(tmp_path, **share, **options)
    assert stores.contents(tmp_path) == whole[name]
    store.verify()
    # Each of them again: it is there already.
    assert len(stores.write(tmp_path, **share, **options)) == 22
    assert len(stores.write(tmp_path, **options)) == 22


def test_a_share_is_its_number_modulo_the_count(tmp_path):
    share = {"shard_index": 1, "shard_count": 4}
    stores.write(tmp_path, **share, **TWO_VIEWS)
    assert {path.name for path in tmp_path.glob("*.tfrecord")} == {
        "view000-shard00001.tfrecord",  # number 1 of 6
        "view001-shard00002.tfrecord",  # number 5
    }


@pytest.mark.parametrize("classes", (2**16, 70_000))
def test_bytes_of_many_classes(tmp_path, classes):
    """5 logits and ids of 2 or 3 bytes, a tail and a checksum of 4."""
    options = OPTIONS["70,000 classes"] | {"teacher": linear(classes)}
    data = stores.dataset(50, 50)
    store = stores.write(tmp_path, data=data, shards=1, **options)
    row = 5 * 2 + 5 * (2 if classes == 2**16 else 3) + 4 + 4
    assert 50 * row < store.nbytes < 50 * row + 200
    x, targets = stores.read(store.join(data))
    logits = stores.relative_logits(options["teacher"], x)
    top = np.argsort(-logits, axis=-1)[:, :5]
    assert top.max() > 60_000
    np.testing.assert_array_equal(targets["teacher_top_classes"], top)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"shard_index": 0}, r"`shard_count` must be.*=None"),
        ({"shard_count": 2}, r"`shard_index` must be.*=None"),
        ({"shard_index": 2, "shard_count": 2}, r"`shard_index`.*=2, shard_c"),
        ({"shard_index": -1, "shard_count": 2}, r"`shard_index`.*=-1"),
        ({"shard_index": True, "shard_count": 2}, r"`shard_index`.*=True"),
        ({"shard_index": 0, "shard_count": 0}, r"`shard_count`.*=0"),
        ({"shard_index": 0, "shard_count": 2.0}, r"`shard_count`.*=2\.0"),
        ({"shard_index": 0, "shard_count": 4}, r"at most .* 3, .*=4"),
        (
            {
                "shard_index": 0,
                "shard_count": 2,
                "data": stores.dataset().filter(lambda *_: True),
            },
            "`dataset` must tell its length.*assert_cardinality",
        ),
        ({"examples": 22}, "`examples` must be None unless.*=22"),
        ({"data": of_range}, "`examples` must be given.*=None"),
        ({"data": of_range, "examples": 22}, "`batch_size` must be given"),
        (BY_RANGE | {"examples": 0}, "`examples` must be a positive.*=0"),
        (BY_RANGE | {"examples": 22.0}, r"`examples` must be.*=22\.0"),
        (BY_RANGE | {"examples": 23}, r"\(0, 23\), of 23.* set of 22"),
        (BY_RANGE | {"data": lambda first: None}, "take two arguments"),
        (BY_RANGE | {"data": lambda *_: of_range(0, 22)}, r"\(21, 22\), of 1 "),
        (
            BY_RANGE | {"data": lambda a, b: of_range(0, b - a)},
            "whose example 21 is another",
        ),
        (
            BY_RANGE
            | {"data": lambda *r: of_range(*r).shuffle(22), "batch_size": 22},
            "when it is read again",
        ),
        ({"views": 2**16 + 1, "augment": brighter}, "`views` must be at most"),
    ),
)
def test_arguments_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        stores.write(tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


def test_more_processes_than_batches(tmp_path, whole):
    """Of small data nothing is left for some, which is no mistake."""
    options = {"shards": 8, "shard_count": 8}
    for index in (7, 2, 0, 1, 3, 4):
        assert stores.write(tmp_path, shard_index=index, **options) is None
    assert stores.write(tmp_path, shard_index=5, **options) is not None
    assert stores.write(tmp_path, shard_index=6, **options) is not None


def test_a_function_that_has_fewer_examples_than_said(tmp_path):
    x = nets.inputs(100)

    def data(first, last):
        found = tf.data.Dataset.from_tensor_slices(x[first : min(last, 90)])
        return found.filter(lambda x: True)

    with pytest.raises(ValueError, match="must have as many elements"):
        stores.write(tmp_path / "a", data=data, examples=100, batch_size=8)
    assert not (tmp_path / "a").exists()


def plan(directory, **options):
    options = {"shards": 3, **options}
    teacher = options.pop("teacher", None) or nets.linear(3)
    return writer.plan(directory, teacher, stores.dataset(), **options)


@contextlib.contextmanager
def at_record(monkeypatch, do):
    """Calls `do` as the next record is to be encoded."""
    encode, calls = store_format.encode, iter([do])

    def encoding(*record):
        next(calls, lambda: None)()
        return encode(*record)

    with monkeypatch.context() as patch:
        patch.setattr(store_format, "encode", encoding)
        yield
    assert next(calls, None) is None


def test_a_shard_that_two_write_at_once(tmp_path, monkeypatch, whole):
    summaries = []

    def another():
        summaries.append(writer.write_shard(plan(tmp_path), 0, 1))

    with at_record(monkeypatch, another):
        summaries.append(writer.write_shard(plan(tmp_path), 0, 1))
    assert summaries[0] == summaries[1]
    assert len(os.listdir(tmp_path)) == 2
    stores.write(tmp_path)
    assert stores.contents(tmp_path) == whole["all logits"]


@pytest.mark.parametrize("machine", ("this one", "another"))
def test_others_finish_the_store_meanwhile(
    tmp_path, monkeypatch, whole, machine
):
    """They tidy up too, which must not hurt who is late."""
    late = plan(tmp_path)

    def others():
        with monkeypatch.context() as patch:
            if machine == "another":  # to which our locks mean nothing
                patch.setattr(_atomic, "_machine", lambda: "fedcba98")
                patch.setattr(_atomic.fcntl, "flock", lambda *_: None)
            stores.write(tmp_path)
        assert bool(list(tmp_path.glob("*.scratch"))) == (machine == "this one")

    with at_record(monkeypatch, others):
        found = writer.write_shard(late, 0, 1)
    assert (
        found.sha256
        == kdtf.SoftTargets(tmp_path)._manifest.files[found.name].sha256
    )
    assert writer.commit(late, [found])
    assert stores.contents(tmp_path) == whole["all logits"]


@pytest.mark.parametrize("there", (True, False))
def test_an_error_that_does_not_matter_any_more(tmp_path, monkeypatch, there):
    """A network disk says so of a file that others have removed."""

    def stale():
        if there:
            stores.write(tmp_path)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    late = plan(tmp_path)
    with at_record(monkeypatch, stale):
        if there:
            assert writer.write_shard(late, 0, 1).examples == 8
        else:
            with pytest.raises(OSError, match="Stale file"):
                writer.write_shard(late, 0, 1)


def test_two_commit_at_once(tmp_path, monkeypatch, whole):
    both = plan(tmp_path)
    found = [writer.write_shard(both, *shard) for shard in both.shards()]
    write = manifest.write

    def after_another(directory, content):
        write(directory, content)
        write(directory, content)

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", after_another)
        assert writer.commit(both, found)
    assert writer.commit(both)
    assert stores.contents(tmp_path) == whole["all logits"]


def test_a_commit_that_another_has_done(tmp_path, monkeypatch, whole):
    """On another machine, and has removed our scratch file as its last act."""
    late = plan(tmp_path)
    found = [writer.write_shard(late, *shard) for shard in late.shards()]
    write = manifest.write

    def too_late(directory, content):
        write(directory, content)
        raise FileNotFoundError("manifest.json.scratch")

    monkeypatch.setattr(manifest, "write", too_late)
    assert writer.commit(late, found)
    assert stores.contents(tmp_path) == whole["all logits"]


def test_the_order_of_shards_and_who_tells_of_them(tmp_path, whole):
    first, second = plan(tmp_path), plan(tmp_path)
    assert not writer.commit(first)  # not even the folder
    told = [writer.write_shard(first, 0, 2), writer.write_shard(second, 0, 0)]
    assert not writer.commit(first, told)
    assert not (tmp_path / store_format.MANIFEST).exists()
    told.append(writer.write_shard(second, 0, 1))
    (tmp_path / told[0].name).rename(tmp_path / "away")
    assert not writer.commit(first, told)  # told of, but missing
    (tmp_path / "away").rename(tmp_path / told[0].name)
    assert writer.commit(first, [told[1], told[1]])
    assert stores.contents(tmp_path) == whole["all logits"]


def test_what_was_just_written_is_not_read_again(tmp_path, monkeypatch):
    looked = []
    look_at = shards.look_at

    def looking(path, *place):
        looked.append(path.name)
        return look_at(path, *place)

    monkeypatch.setattr(shards, "look_at", looking)
    stores.write(tmp_path, shard_index=0, shard_count=2)
    assert not looked
    stores.write(tmp_path, shard_index=1, shard_count=2)
    # Those of the other process.
    assert looked == [f"view000-shard0000{index}.tfrecord" for index in (0, 2)]


@pytest.mark.parametrize("spoil", ("twice", "damaged"))
def test_who_finishes_looks_at_the_shards_of_others(tmp_path, spoil):
    stores.write(tmp_path, shard_index=0, shard_count=2)
    first, third = sorted(tmp_path.glob("*.tfrecord"))
    if spoil == "twice":
        third.write_bytes(first.read_bytes())
    else:
        third.write_bytes(third.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=f"delete that file.*{third.name}"):
        stores.write(tmp_path, shard_index=1, shard_count=2)
    with pytest.raises(ValueError, match="an unfinished store"):
        kdtf.SoftTargets(tmp_path)
    third.unlink()
    assert stores.write(tmp_path, shard_index=1, shard_count=2) is None
    assert stores.write(tmp_path, shard_index=0, shard_count=2) is not None


@pytest.mark.parametrize(
    ("change", "named"),
    (
        ({"teacher": nets.linear(4)}, "teacher"),
        ({"dtype": "float32"}, "dtype float16 there and float32 now"),
        ({"shards": 2}, "shards 3 there and 2 now"),
    ),
)
def test_two_that_differ_and_begin_at_once(tmp_path, change, named):
    """Both have seen an empty folder: the first shard decides."""
    one, other = plan(tmp_path), plan(tmp_path, **change)
    writer.write_shard(one, 0, 0)
    before = stores.contents(tmp_path)
    with pytest.raises(ValueError, match=rf"`directory` must be ano.*{named}"):
        writer.write_shard(other, 0, 1)
    assert stores.contents(tmp_path) == before
    with pytest.raises(ValueError, match=rf"`directory` must be ano.*{named}"):
        plan(tmp_path, **change)


def test_a_run_that_fails_leaves_the_file_of_another_alone(
    tmp_path, monkeypatch
):
    folder = tmp_path / "store"
    mine, bad = plan(folder), plan(folder)
    bad = writer.dataclasses.replace(bad, infer=lambda *_: 1 / 0)

    def another():
        with pytest.raises(ZeroDivisionError):
            writer.write_shard(bad, 0, 1)
        assert (folder / store_format.UNFINISHED).exists()
        # As if it had not seen us.
        (folder / store_format.UNFINISHED).unlink()

    with at_record(monkeypatch, another):
        writer.write_shard(mine, 0, 0)
    assert (folder / store_format.UNFINISHED).exists()
    stores.write(folder)
    with pytest.raises(ZeroDivisionError):
        writer.write_shard(
            writer.dataclasses.replace(bad, directory=tmp_path / "b"), 0, 0
        )
    assert os.listdir(tmp_path) == ["store"]


def start_writer(directory, **options):
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(
        target=slow_writer.write, args=(directory, theirs), kwargs=options
    )
    child.start()
    theirs.close()  # or a child that dies early would be waited for
    return child, ours


def results(writers):
    """What each of some writers said; `slow_writer.write` tells what."""
    said = []
    for child, pipe in writers:
        assert pipe.recv() == "ready"
        said.append(pipe.recv())
        child.join()
        assert child.exitcode == 0
    return said


@pytest.fixture(scope="module")
def slow_whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow") / "whole"
    assert results([start_writer(folder)]) == [True]
    return stores.contents(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "indices", ((0, 1), (0, 1, 2), (1, 1, 0), (None, 0, 1))
)
def test_at_the_same_time(tmp_path, slow_whole, indices):
    """Also where two have the same share, or one writes all."""
    count = len(set(indices) - {None})
    said = results(
        [
            start_writer(
                tmp_path / "store",
                shard_index=index,
                shard_count=None if index is None else count,
            )
            for index in indices
        ]
    )
    assert True in said and set(said) <= {True, False}
    assert stores.contents(tmp_path / "store") == slow_whole


@pytest.mark.slow
def test_two_teachers_at_the_same_time(tmp_path):
    folder = tmp_path / "store"
    said = results(
        [
            start_writer(
                folder, seed=3 + index, shard_index=index, shard_count=2
            )
            for index in (0, 1)
        ]
    )
    refused = [text for text in said if text is not False]
    assert len(refused) == 1
    assert "`directory` must be another one" in refused[0]
    assert "with teacher " in refused[0]


@pytest.mark.slow
def test_killed_again_and_again(tmp_path, slow_whole):
    draw = random.Random(1)
    kills, seconds = 0, 1.0
    for trial in itertools.count():
        directory = tmp_path / str(trial)
        while not (directory / store_format.MANIFEST).exists():
            writers = [
                start_writer(directory, shard_index=index, shard_count=3)
                for index in (0, 1, 1, 2)
            ]
            for child, _ in writers:
                child.join(draw.uniform(0, seconds))
                kills += child.is_alive()
                child.kill()
                child.join()
            seconds *= 1.1  # or a busy machine would never come to an end
        assert results([start_writer(directory)]) == [True]  # tidies up
        assert stores.contents(directory) == slow_whole
        if kills >= 12:
            break

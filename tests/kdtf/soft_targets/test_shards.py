"""kdtf.soft_targets.shards: what is in one file, and that it is whole."""

import hashlib
import shutil

import pytest
import tensorflow as tf

from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import shards
from tests import stores


def test_axes_that_differ_are_open():
    assert shards.common_entries([[3, 4], [3, 5]]) == [3, None]
    assert shards.common_entries([[3, None], [3, 4]]) == [3, None]
    assert shards.common_entries([[3, None], [3, None]]) == [3, None]
    assert shards.common_entries(iter([[], []])) == []


def test_a_shard_is_seen_when_it_is_whole(tmp_path):
    path = tmp_path / "shard"
    with shards.writing(path) as put:
        put(b"a")
        assert not path.exists()
    assert list(tf.data.TFRecordDataset(str(path))) == [b"a"]
    with pytest.raises(KeyError), shards.writing(tmp_path / "other") as put:
        put(b"b")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["shard"]


def test_of_two_writers_at_once_the_first_ones_stays(tmp_path):
    path = tmp_path / "shard"
    with shards.writing(path) as late:
        late(b"late")
        with shards.writing(path) as early:
            early(b"early")
        late(b"later")
    assert list(tf.data.TFRecordDataset(str(path))) == [b"early"]
    assert [p.name for p in tmp_path.iterdir()] == ["shard"]


def test_an_os_error_of_the_caller_is_not_the_files(tmp_path):
    with (
        pytest.raises(ConnectionError, match=r"^no answer$"),
        shards.writing(tmp_path / "shard"),
    ):
        raise ConnectionError("no answer")


def test_a_shard_that_cannot_get_its_name(tmp_path):
    path = tmp_path / "folder" / "shard"
    path.parent.mkdir()
    with (
        pytest.raises(OSError, match=rf"not be written to {path}: No such"),
        shards.writing(path) as put,
    ):
        put(b"a")
        shutil.rmtree(path.parent)


def test_what_a_shard_holds(tmp_path):
    identity = stores.write(tmp_path)._manifest.identity
    path = tmp_path / identity.shard(0, 2)
    # The last of three: 8 + 8 + 6 examples in batches of 4.
    content = path.read_bytes()
    assert shards.look_at(path, identity, 0, 2) == shards.Summary(
        name=path.name,
        batches=2,
        examples=6,
        entries=[],
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    for view, index in ((1, 2), (0, 1), (0, 3)):
        with pytest.raises(ValueError, match=r"shard00002.*not written there"):
            shards.look_at(path, identity, view, index)


def test_a_shard_holds_no_more_than_its_own_batches(tmp_path):
    identity = stores.write(tmp_path)._manifest.identity
    first, second = (tmp_path / identity.shard(0, index) for index in (0, 1))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(ValueError, match=r"shard00000.*not written there"):
        shards.look_at(first, identity, 0, 0)


def test_an_empty_file_is_no_shard(tmp_path):
    identity = stores.write(tmp_path)._manifest.identity
    path = tmp_path / identity.shard(0, 0)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="not complete"):
        shards.look_at(path, identity, 0, 0)


@pytest.mark.parametrize(("most", "expected"), ((2**30, [2]), (1, [1, 1])))
def test_large_records_are_looked_at_one_by_one(
    tmp_path, monkeypatch, most, expected
):
    identity = stores.write(tmp_path)._manifest.identity
    counts, origins = [], store_format.origins

    def counted(records, identity):
        counts.append(len(records))
        return origins(records, identity)

    monkeypatch.setattr(store_format, "origins", counted)
    monkeypatch.setattr(shards, "_BYTES_AT_ONCE", most)
    path = tmp_path / identity.shard(0, 1)
    assert shards.look_at(path, identity, 0, 1).examples == 8
    assert counts == expected


def test_a_shard_that_is_not_there_is_named(tmp_path):
    identity = stores.write(tmp_path)._manifest.identity
    path = tmp_path / identity.shard(0, 1)
    path.unlink()
    with pytest.raises(ValueError, match=r"shard00001.*damaged \(No such"):
        shards.look_at(path, identity, 0, 1)

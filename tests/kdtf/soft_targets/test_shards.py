"""kdtf.soft_targets.shards: what is in one file, and that it is whole."""

import hashlib

import pytest
import tensorflow as tf

from kdtf import _disk
from kdtf.soft_targets import shards
from tests import stores


def test_summaries_add_up():
    first = shards.Summary(2, 8, [3, 4])
    both = first + shards.Summary(1, 3, [3, 5])
    assert both == shards.Summary(3, 11, [3, None])
    assert both + first == shards.Summary(5, 19, [3, None])


def test_a_shard_is_seen_when_it_is_whole(tmp_path):
    path = tmp_path / "shard"
    with shards.writing(path) as put:
        put(b"a")
        assert not path.exists()
    assert list(tf.data.TFRecordDataset(str(path))) == [b"a"]
    with pytest.raises(KeyError), shards.writing(path) as put:
        put(b"b")
        raise KeyError
    assert list(tf.data.TFRecordDataset(str(path))) == [b"a"]
    assert [p.name for p in tmp_path.iterdir()] == ["shard"]


def test_an_os_error_of_the_caller_is_not_the_files(tmp_path):
    with (
        pytest.raises(ConnectionError, match=r"^no answer$"),
        shards.writing(tmp_path / "shard"),
    ):
        raise ConnectionError("no answer")


def test_a_shard_that_cannot_get_its_name(tmp_path):
    path = tmp_path / "shard"
    with (
        pytest.raises(OSError, match=rf"not be written to {path}: .*director"),
        shards.writing(path) as put,
    ):
        put(b"a")
        path.mkdir()


def test_what_a_shard_holds(tmp_path):
    identity = stores.write(tmp_path)._manifest.identity
    path = tmp_path / identity.shard(0, 2)
    # The last of three: 8 + 8 + 6 examples in batches of 4.
    assert shards.look_at(path, identity, 0, 2) == shards.Summary(2, 6, [])
    for view, index in ((1, 2), (0, 1), (0, 3)):
        with pytest.raises(ValueError, match=r"shard00002.*not written there"):
            shards.look_at(path, identity, view, index)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert _disk.sha256(path) == digest


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

"""kdtf._disk: full disks end in an error, and changed bytes are seen."""

import errno
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf import _disk
from tests import disks, nets, stores


@pytest.mark.parametrize("path", ("runs/a", "a:b", "1:/a", "/gs:/a", "c"))
def test_paths_on_a_disk(path):
    for given in (path, pathlib.Path(path)):
        expected = pathlib.Path(os.getcwd(), path)
        assert _disk.local(given, "directory") == expected


DATA = stores.dataset(None)
WITH_A_PATH = {
    "SoftTargets": ("directory", kdtf.SoftTargets),
    "write": ("directory", stores.write),
    "export_student": (
        "directory",
        lambda path: kdtf.export_student(nets.linear(), path),
    ),
    "export_litert": (
        "path",
        lambda path: kdtf.export_litert(nets.linear(), path),
    ),
    "BackupAndRestore": ("backup_dir", kdtf.callbacks.BackupAndRestore),
    "write_examples": (
        "directory",
        lambda path: kdtf.specialists.write_examples(DATA, path),
    ),
    "read_examples": ("directory", kdtf.specialists.read_examples),
}


@pytest.mark.parametrize("name", WITH_A_PATH)
@pytest.mark.parametrize(
    "path",
    (
        "gs://bucket/x",
        "s3://x",
        pathlib.Path("hdfs://host/x"),
        b"x",
        3,
        "",
        None,
    ),
)
def test_what_is_no_path_on_a_disk(tmp_path, monkeypatch, name, path):
    monkeypatch.chdir(tmp_path)
    argument, function = WITH_A_PATH[name]
    rule = "a path" if path in (b"x", 3, "", None) else "a path on a local"
    with pytest.raises(ValueError, match=f"^`{argument}` must be {rule}.*Rece"):
        function(path)
    assert not os.listdir(tmp_path)


def test_weights_are_those_that_keras_writes(tmp_path):
    path = tmp_path / "a.weights.h5"
    net = nets.deep(0)
    _disk.write_weights(net, path)
    other = nets.deep(1)
    other.load_weights(path)
    for a, b in zip(nets.values(other), nets.values(net), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", (0, 1500, 8000))
def test_a_full_disk_is_an_error_and_no_crash(tmp_path, size):
    """`keras.Model.save_weights` ends the process where it wrote a part."""
    with disks.full(size), pytest.raises(OSError) as raised:
        _disk.write_weights(nets.deep(0), tmp_path / "a.weights.h5")
    assert _disk.lacks_room(raised.value)


def test_what_tensorflow_says_of_a_full_disk(tmp_path):
    path = str(tmp_path / "file")
    with disks.full(), pytest.raises(tf.errors.OpError) as raised:
        tf.io.write_file(path, "content")
    assert "{{function_node" in raised.value.message
    said = _disk.reason(raised.value)
    assert said == f"{path}; {os.strerror(errno.EFBIG)}"
    assert _disk.lacks_room(raised.value)


@pytest.mark.parametrize(
    ("number", "full"),
    ((errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)),
)
def test_what_python_says(number, full):
    error = OSError(number, os.strerror(number), "/a/b")
    assert _disk.reason(error) == f"{os.strerror(number)}: /a/b"
    assert _disk.lacks_room(error) == full
    assert _disk.reason(OSError("no file")) == "no file"


@pytest.fixture
def sealed(tmp_path):
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"epoch")
    _disk.seal(tmp_path)
    assert _disk.changed(tmp_path) is None
    return tmp_path


@pytest.mark.parametrize("name", ("a", "b"))
def test_any_changed_byte_is_seen(sealed, name):
    content = (sealed / name).read_bytes()
    for i, byte in enumerate(content):
        changed = bytearray(content)
        changed[i] = byte ^ 4
        (sealed / name).write_bytes(changed)
        assert _disk.changed(sealed) == name
    (sealed / name).unlink()
    assert _disk.changed(sealed) == name


def test_a_changed_checksum_is_seen(sealed):
    path = sealed / "checksums.json"
    content = path.read_bytes()
    for i, byte in enumerate(content):
        if chr(byte).isspace():
            continue  # it means nothing
        changed = bytearray(content)
        changed[i] = byte ^ 4
        path.write_bytes(changed)
        assert _disk.changed(sealed) is not None
    path.unlink()
    assert _disk.changed(sealed) == "checksums.json"

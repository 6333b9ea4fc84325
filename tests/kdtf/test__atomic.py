"""kdtf._atomic: whole or not at all."""

import os
import threading

import pytest

from kdtf import _atomic


def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "parent" / "folder"
    with _atomic.whole_directory(path) as scratch:
        (scratch / "a.txt").write_text("a")
        assert not path.exists()
    assert (path / "a.txt").read_text() == "a"
    assert os.listdir(path.parent) == ["folder"]


@pytest.mark.parametrize("replace", (False, True))
def test_a_failing_block_leaves_what_was_there(tmp_path, replace):
    path = tmp_path / "folder"
    with _atomic.whole_directory(path) as scratch:
        (scratch / "a.txt").write_text("old")
    with (
        pytest.raises(RuntimeError, match="killed"),
        _atomic.whole_directory(path, replace=replace) as scratch,
    ):
        (scratch / "a.txt").write_text("new")
        raise RuntimeError("killed")
    assert (path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "folder"
    for content in ("old", "new"):
        with _atomic.whole_directory(path, replace=True) as scratch:
            (scratch / f"{content}.txt").write_text(content)
    assert os.listdir(path) == ["new.txt"]
    with (
        pytest.raises(OSError, match="not empty"),
        _atomic.whole_directory(path) as scratch,
    ):
        (scratch / "newer.txt").write_text("newer")
    assert os.listdir(path) == ["new.txt"]


def test_what_a_killed_run_left_is_cleared(tmp_path):
    left = tmp_path / f"folder{_atomic.SCRATCH}"
    left.mkdir()
    (left / "half.txt").write_text("half")
    with _atomic.whole_directory(tmp_path / "folder") as scratch:
        (scratch / "whole.txt").write_text("whole")
    assert os.listdir(tmp_path / "folder") == ["whole.txt"]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "file"
    _atomic.write_whole(path, "tëxt")
    assert path.read_bytes() == "tëxt".encode()
    _atomic.write_whole(path, b"bytes")
    assert path.read_bytes() == b"bytes"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_never_missing_while_it_is_replaced(tmp_path):
    """Whoever looks at any moment finds the old one or the new one."""
    path = tmp_path / "folder"
    with _atomic.whole_directory(path) as scratch:
        (scratch / "a.txt").write_text("old")
    there, stop = set(), threading.Event()

    def look():
        while not stop.is_set():
            there.add(path.is_dir())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for i in range(300):
            with _atomic.whole_directory(path, replace=True) as scratch:
                (scratch / "a.txt").write_text(f"new {i}")
    finally:
        stop.set()
        looking.join()
    assert there == {True}
    assert (path / "a.txt").read_text() == "new 299"

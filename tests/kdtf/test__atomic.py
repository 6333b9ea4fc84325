"""kdtf._atomic: whole or not at all."""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time

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


KILLED = """
import os, pathlib, sys
from kdtf import _atomic
with _atomic.whole_directory(pathlib.Path(sys.argv[1])) as scratch:
    (scratch / "half.txt").write_text("half")
    os._exit(9)
"""


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared(tmp_path):
    path = tmp_path / "folder"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    [left] = tmp_path.iterdir()
    assert left.name.endswith(_atomic.SCRATCH)
    assert (left / "folder" / "half.txt").exists()
    with _atomic.whole_directory(path) as scratch:
        (scratch / "whole.txt").write_text("whole")
    assert os.listdir(path) == ["whole.txt"]
    assert os.listdir(tmp_path) == ["folder"]


@contextlib.contextmanager
def left_by_another_machine(path, monkeypatch):
    """A scratch folder for `path`, whose lock this machine does not see."""
    flock = fcntl.flock
    with monkeypatch.context() as patch:
        patch.setattr(_atomic, "_machine", lambda: "fedcba98")
        patch.setattr(fcntl, "flock", lambda *_: None)
        writing = _atomic.whole_file(path)
        scratch = writing.__enter__()
        patch.setattr(fcntl, "flock", flock)
    scratch.write_text("half")
    yield scratch
    with contextlib.suppress(RuntimeError):
        writing.__exit__(RuntimeError, RuntimeError(), None)


def test_what_another_machine_writes_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    with left_by_another_machine(path, monkeypatch) as scratch:
        _atomic.write_whole(path, "mine")
        assert scratch.read_text() == "half"
        # Nobody has written to it for more than a day.
        for part in (scratch, scratch.parent, *scratch.parent.iterdir()):
            os.utime(part, (0, time.time() - 25 * 3600))
        _atomic.write_whole(path, "mine again")
        assert os.listdir(tmp_path) == ["file"]


def test_all_scratch_is_removed_but_what_is_in_use(tmp_path, monkeypatch):
    with (
        left_by_another_machine(tmp_path / "a", monkeypatch),
        _atomic.whole_file(tmp_path / "b") as here,
    ):
        (tmp_path / "thesis.scratch").mkdir()
        _atomic.remove_scratch(tmp_path)
        assert {p.name for p in tmp_path.iterdir()} == {
            here.parent.name,
            "thesis.scratch",
        }
        here.write_text("b")
    assert (tmp_path / "b").read_text() == "b"


@pytest.mark.parametrize("links", (True, False))
def test_the_first_of_two_stays(tmp_path, monkeypatch, links):
    def refused(*_):
        raise PermissionError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "file"
    with _atomic.whole_file(path, replace=False) as late:
        late.write_text("late")
        _atomic.write_whole(path, "early", replace=False)
    assert path.read_text() == "early"
    assert os.listdir(tmp_path) == ["file"]
    assert path.stat().st_nlink == 1


@pytest.mark.parametrize("there", (True, False))
def test_a_scratch_file_that_was_taken_away(tmp_path, there):
    path = tmp_path / "file"

    def write():
        with _atomic.whole_file(path, replace=False) as scratch:
            shutil.rmtree(scratch.parent)
            if there:
                path.write_text("another's")

    if there:
        write()
        assert path.read_text() == "another's"
    else:
        with pytest.raises(FileNotFoundError):
            write()


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "folder"
    with _atomic.whole_directory(path, replace=True) as scratch:
        (scratch / "first.txt").write_text("first")
        with _atomic.whole_directory(path, replace=True) as other:
            (other / "second.txt").write_text("second")
        assert os.listdir(scratch) == ["first.txt"]
        assert os.listdir(path) == ["second.txt"]
    assert os.listdir(path) == ["first.txt"]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize(
    "name", (f"folder{_atomic.SCRATCH}", f"folder.old{_atomic.SCRATCH}")
)
def test_a_users_folder_of_such_a_name_is_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("precious")
    for _ in range(2):
        with _atomic.whole_directory(tmp_path / "folder", replace=True):
            pass
        _atomic.write_whole(tmp_path / "file", "text")
    assert (tmp_path / name / "thesis.txt").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", name]


def test_links_are_followed(tmp_path):
    """Twice: what is behind the link changes, and the link stays."""
    real = tmp_path / "real"
    real.mkdir()
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.symlink_to("real/folder")
    file.symlink_to("real/file")
    for content in ("first", "second"):
        with _atomic.whole_directory(folder, replace=True) as scratch:
            (scratch / "a.txt").write_text(content)
        _atomic.write_whole(file, content)
        assert (real / "folder" / "a.txt").read_text() == content
        assert (real / "file").read_text() == content
    assert folder.is_symlink() and file.is_symlink()
    assert sorted(os.listdir(real)) == ["file", "folder"]
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "real"]


def test_a_folder_is_removed_whole(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a.txt").write_text("a")
    original = shutil.rmtree

    def rmtree(folder, **options):
        assert not path.exists()  # by now nobody finds it
        original(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    _atomic.remove_directory(path)
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path):
    _atomic.require_writable(tmp_path / "folder")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="Not a directory"):
        (tmp_path / "file").touch()
        _atomic.require_writable(tmp_path / "file" / "folder")


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "file"
    _atomic.write_whole(path, "tëxt")
    assert path.read_bytes() == "tëxt".encode()
    _atomic.write_whole(path, b"bytes")
    assert path.read_bytes() == b"bytes"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.slow
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

"""trainers.core.run_directory: a run directory belongs to one set of flags."""

import json
import os

import pytest

from tests.processes import CONTEXT
from trainers.core import run_directory

SETTINGS = {"units": 8, "jitter": 2}


def test_a_new_directory_and_its_resumption(tmp_path):
    run_dir = run_directory.open_run_directory(tmp_path / "a" / "run", SETTINGS)
    expected = "--jitter=2\n--units=8\n"
    assert (run_dir / "flags.txt").read_text() == expected
    (run_dir / "metrics.json").write_text("{}")
    assert run_directory.open_run_directory(run_dir, SETTINGS) == run_dir
    assert sorted(os.listdir(run_dir)) == ["flags.txt", "metrics.json"]


def test_other_flags_are_named(tmp_path):
    run_directory.open_run_directory(tmp_path, SETTINGS)
    with pytest.raises(ValueError, match=r"--units=8 before and --units=9 now"):
        run_directory.open_run_directory(tmp_path, {"units": 9, "jitter": 2})
    with pytest.raises(ValueError, match="--depth=None before and --depth=2"):
        run_directory.open_run_directory(tmp_path, {**SETTINGS, "depth": 2})
    assert (tmp_path / "flags.txt").read_text() == "--jitter=2\n--units=8\n"


def test_other_contents_are_told_without_their_checksums(tmp_path):
    run_directory.open_run_directory(tmp_path, {"data_digest": "abc"})
    with pytest.raises(ValueError, match="other contents of --data than be"):
        run_directory.open_run_directory(tmp_path, {"data_digest": "abd"})


def test_of_a_run_that_took_no_checksum_nothing_is_known(tmp_path):
    run_directory.open_run_directory(tmp_path, SETTINGS)
    run_directory.open_run_directory(tmp_path, {**SETTINGS, "data_digest": "a"})
    assert "digest" not in (tmp_path / "flags.txt").read_text()


def test_a_directory_that_is_left_takes_other_flags(tmp_path):
    run_directory.leave_run_directory(
        run_directory.open_run_directory(tmp_path, SETTINGS)
    )
    run_dir = run_directory.open_run_directory(tmp_path, {"units": 9})
    (run_dir / "metrics.json").write_text("{}")
    run_directory.leave_run_directory(run_dir)
    assert sorted(os.listdir(run_dir)) == ["flags.txt", "metrics.json"]


def test_a_directory_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"--run_dir.*thesis\.txt"):
        run_directory.open_run_directory(tmp_path, SETTINGS)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_file_is_no_directory(tmp_path):
    path = tmp_path / "file"
    path.write_text("text")
    with pytest.raises(ValueError, match=r"--run_dir must.*Received: "):
        run_directory.open_run_directory(path, SETTINGS)


def test_a_damaged_flags_file_is_named(tmp_path):
    run_directory.open_run_directory(tmp_path, SETTINGS)
    (tmp_path / "flags.txt").write_text("--jitter=2\n--uni")
    with pytest.raises(ValueError, match=r"--run_dir.*flags\.txt"):
        run_directory.open_run_directory(tmp_path, SETTINGS)


def test_any_changed_byte_of_the_flags_is_noticed(tmp_path):
    run_directory.open_run_directory(tmp_path, SETTINGS)
    flags = tmp_path / "flags.txt"
    content = flags.read_bytes()
    for i in range(len(content)):
        for other in b"\r\x0b\x00a\xff":
            flags.write_bytes(content[:i] + bytes([other]) + content[i + 1 :])
            with pytest.raises(ValueError, match=f"--run_dir .*{tmp_path}"):
                run_directory.open_run_directory(tmp_path, SETTINGS)


@pytest.mark.parametrize("kind", ("folder", "file", "link to nowhere"))
def test_what_is_no_export_is_refused_before_any_training(tmp_path, kind):
    run_dir = run_directory.open_run_directory(tmp_path / "run", SETTINGS)
    export = run_dir / "export"
    if kind == "folder":
        export.mkdir()
        (export / "thesis.txt").write_text("precious")
    elif kind == "file":
        export.touch()
    else:
        export.symlink_to(tmp_path / "nowhere" / "export")
    with pytest.raises(ValueError, match=r"--run_dir must.*Received: "):
        run_directory.open_run_directory(run_dir, SETTINGS)
    assert sorted(os.listdir(run_dir)) == ["export", "flags.txt"]


def test_an_older_export_is_replaced(tmp_path):
    run_dir = run_directory.open_run_directory(tmp_path, SETTINGS)
    (run_dir / "export").mkdir()
    (run_dir / "export" / "saved_model.pb").touch()
    assert run_directory.open_run_directory(run_dir, SETTINGS) == run_dir


def opened_elsewhere(run_dir, units, user=None):
    """What another process says that opens a run directory: "" if it may."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_open, args=(theirs, run_dir, units, user))
    process.start()
    theirs.close()  # or a process that dies would be waited for
    said = ours.recv()
    process.join()
    return said


def _open(pipe, run_dir, units, user):
    if user is not None and os.getuid() == 0:
        os.setuid(user)
    try:
        run_directory.open_run_directory(run_dir, {"units": units})
    except ValueError as error:
        pipe.send(str(error))
    else:
        pipe.send("")


@pytest.mark.slow
def test_a_second_trainer_is_refused_and_touches_nothing(tmp_path):
    run_dir = run_directory.open_run_directory(tmp_path / "run", SETTINGS)
    before = (run_dir / "flags.txt").read_text()
    said = opened_elsewhere(run_dir, 9)
    assert "--run_dir must not be in use by another process" in said
    assert os.listdir(run_dir) == ["flags.txt"]
    assert (run_dir / "flags.txt").read_text() == before
    # The first one ends, as a kill ends it: the lock is gone.
    status = run_dir.stat()
    os.close(run_directory._locks.pop((status.st_dev, status.st_ino)))
    assert "--units=8 before and --units=9 now" in opened_elsewhere(run_dir, 9)


@pytest.mark.slow
@pytest.mark.parametrize("resumed", (False, True))
def test_a_read_only_directory_is_refused(tmp_path, resumed):
    # pytest's own folders, which others may not enter.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    if resumed:
        (run_dir / "flags.txt").write_text("--units=8\n")
    before = os.listdir(run_dir)
    run_dir.chmod(0o555)
    try:
        # Root may write everywhere.
        said = opened_elsewhere(run_dir, 8, user=65534)
    finally:
        run_dir.chmod(0o755)
    assert "--run_dir must be a directory that can be written" in said
    assert os.listdir(run_dir) == before


def test_json_is_readable_and_whole(tmp_path):
    run_directory.write_json(tmp_path / "a.json", {"a": [1, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1, None]} and text.endswith("\n")
    assert os.listdir(tmp_path) == ["a.json"]


def test_versions_name_what_figures_depend_on():
    found = run_directory.versions()
    assert {"kdtf", "tensorflow", "keras", "numpy"} <= set(found)

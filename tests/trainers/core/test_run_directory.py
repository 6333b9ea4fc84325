"""trainers.core.run_directory: a run directory belongs to one set of flags."""

import json
import os
import subprocess
import sys

import pytest

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


OPEN = """
import os, sys
from trainers.core import run_directory
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
try:
    run_directory.open_run_directory(sys.argv[1], {"units": 8})
except ValueError as error:
    sys.exit(f"ValueError {error}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("resumed", (False, True))
def test_a_read_only_directory_is_refused(tmp_path, resumed):
    # pytest's own folders, which others may not enter.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    run_dir = tmp_path / "run"
    if resumed:
        run_directory.open_run_directory(run_dir, {"units": 8})
    else:
        run_dir.mkdir()
    before = os.listdir(run_dir)
    run_dir.chmod(0o555)
    try:
        result = subprocess.run(
            [sys.executable, "-c", OPEN, str(run_dir)],
            capture_output=True,
            text=True,
        )
    finally:
        run_dir.chmod(0o755)
    last_line = result.stderr.splitlines()[-1]
    assert "--run_dir must be a directory that can be written" in last_line
    assert os.listdir(run_dir) == before


def test_json_is_readable_and_whole(tmp_path):
    run_directory.write_json(tmp_path / "a.json", {"a": [1, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1, None]} and text.endswith("\n")
    assert os.listdir(tmp_path) == ["a.json"]


def test_versions_name_what_figures_depend_on():
    found = run_directory.versions()
    assert {"kdtf", "tensorflow", "keras", "numpy"} <= set(found)

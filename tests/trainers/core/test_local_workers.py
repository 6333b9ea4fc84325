"""trainers.core.local_workers: several processes by one command."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from trainers.core import local_workers

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
with open(f"seen{index}", "w") as file:
    json.dump([sys.argv[1:], config], file)
time.sleep(0 if len(sys.argv) == 2 else 600)
"""


@pytest.fixture
def command(tmp_path):
    """The command of a script that tells what it was given."""
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, "-m", "trainers.core.local_workers", "--workers=3"]


def environment():
    return {**os.environ, "PYTHONPATH": f"{ROOT}:."}


def seen(folder):
    return [json.loads((folder / f"seen{i}").read_text()) for i in range(3)]


def test_every_worker_knows_all_of_them(command, tmp_path):
    run = subprocess.run(
        [*command, "script"], cwd=tmp_path, env=environment(), check=True
    )
    assert run.returncode == 0
    found = seen(tmp_path)
    assert [config["task"]["index"] for _, config in found] == [0, 1, 2]
    assert all(flags == ["--strategy=multi_worker"] for flags, _ in found)
    [cluster] = {json.dumps(config["cluster"]) for _, config in found}
    assert len(set(json.loads(cluster)["worker"])) == 3


def test_a_signal_ends_all(command, tmp_path):
    process = subprocess.Popen(
        [*command, "script", "--wait"], cwd=tmp_path, env=environment()
    )
    while not all((tmp_path / f"seen{i}").exists() for i in range(3)):
        time.sleep(0.01)
    process.terminate()
    assert process.wait() == 128 + 15


def test_where_one_fails_the_others_end_in_a_bounded_time(monkeypatch):
    monkeypatch.setattr(local_workers, "_PATIENCE", 0.5)
    workers = [
        subprocess.Popen([sys.executable, "-c", code])
        for code in ("import time; time.sleep(600)", "import sys; sys.exit(3)")
    ]
    began = time.monotonic()
    assert local_workers._end_of(workers) == 3
    assert 0.5 < time.monotonic() - began < 30


def test_no_workers(capsys):
    with pytest.raises(SystemExit):
        local_workers.main(["--workers=0", "script"])
    assert "--workers must be positive. Received: 0" in capsys.readouterr().err

"""The example that labels TFRecord files on Beam."""

import subprocess
import sys

import pytest

from tests import beam_runs

SCRIPT = "examples/label_on_beam.py"


@pytest.mark.slow
def test_the_command_runs_and_finds_what_it_wrote(tmp_path):
    command = [sys.executable, SCRIPT, f"--directory={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    # 1,000 examples in batches of 256, in as many shards.
    expected = ["batches: 4", "examples: 1000", "shards_written: 4"]
    assert done.stdout.splitlines()[:3] == expected
    command.append(beam_runs.RUNNER)
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout.splitlines()[0].endswith("there already.")
    assert again.stdout.splitlines()[1:] == done.stdout.splitlines()[3:]
    assert done.stdout.splitlines()[3].endswith("logits (4, 10)")

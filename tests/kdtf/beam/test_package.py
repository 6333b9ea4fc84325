"""`import kdtf.beam` with and without Apache Beam."""

import subprocess
import sys

import pytest


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )


@pytest.mark.slow
def test_kdtf_alone_does_not_import_beam():
    done = run_python(
        "import sys; sys.modules['apache_beam'] = None; import kdtf\n"
        "assert 'kdtf.beam' not in sys.modules\n"
        "import kdtf.beam"
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: kdtf.beam runs on Apache Beam")
    assert 'pip install "kdtf[beam]"' in last

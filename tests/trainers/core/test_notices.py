"""trainers.core.notices: what a module that poses as TensorFlow may say."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
NOTICES = """\
WARNING: All log messages before absl::InitializeLog() is called are written
I0000 00:00:1795724311.999069   32767 port.cc:153] oneDNN is on.
2025-09-17 14:44:05.157831: I external/cudart_stub.cc:32] No cuda drivers.
"""
ERRORS = """\
E0000 00:00:1758131045.203198 3722035 cuda_dnn.cc:8579] Unable to register.
W0000 00:00:1758131045.228 1 computation_placer.cc:177] Registered already.
2025-09-17 14:44:05.176998: E external/cuda_fft.cc:467] Unable to register.
I am no notice.
The TensorFlow library was compiled to use AVX instructions.
"""


def said(folder, *, then="", level=None, script=""):
    """The standard error, and exit code, where TensorFlow says all that."""
    (folder / "tensorflow.py").write_text(
        f"import os\nos.write(2, {(NOTICES + ERRORS).encode()!r})\n{then}\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    result = subprocess.run(
        [sys.executable, "-c", f"import trainers, tensorflow\n{script}"],
        env=environment,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    return result.stderr, result.returncode


# A worker's process inherits the level that its parent has set.
@pytest.mark.parametrize("level", (None, "3"))
def test_notices_are_dropped_and_errors_are_not(tmp_path, level):
    assert said(tmp_path, level=level) == (ERRORS, 0)


@pytest.mark.parametrize("level", ("0", "2"))
def test_who_sets_a_level_sees_all(tmp_path, level):
    assert said(tmp_path, level=level) == (NOTICES + ERRORS, 0)


def test_an_import_that_aborts_is_explained(tmp_path):
    text, code = said(tmp_path, then="os.abort()")
    assert text.startswith(ERRORS) and code != 0


def test_an_import_that_fails_is_explained(tmp_path):
    text, code = said(tmp_path, then="raise ImportError('no such symbol')")
    assert text.startswith(ERRORS) and "no such symbol" in text and code == 1


def test_the_module_is_as_python_imports_it(tmp_path):
    script = (
        "import importlib, os, sys\n"
        "assert sys.modules['tensorflow'] is tensorflow\n"
        "assert tensorflow.__spec__.name == 'tensorflow'\n"
        "os.write(2, b'I0000 later\\n')"
    )
    text, code = said(tmp_path, script=script)
    assert (text, code) == (ERRORS + "I0000 later\n", 0)

"""TensorFlow's notices of its start, kept off the terminal.

It has written some before it reads TF_CPP_MIN_LOG_LEVEL (2.21 has), from C++,
to the process's standard error.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import shutil
import subprocess
import sys

# Of severity I, in the forms of 2.20 and 2.21; and what precedes the first one.
_NOTICES = (
    r"^(I[0-9]{4} |[0-9-]{10} [0-9:.]+: I "
    r"|WARNING: All log messages before absl::InitializeLog\(\)"
    r"|INFO: Created TensorFlow Lite )"  # of LiteRT, for each interpreter
)


def drop():
    """Drops them where TensorFlow is imported first, whoever imports it.

    Errors are not notices, and pass.
    """
    if _can_drop():
        sys.meta_path.insert(0, _FirstImport())


def _can_drop():
    return sys.stderr is not None and shutil.which("grep") is not None


class _FirstImport(importlib.abc.MetaPathFinder):
    """Finds TensorFlow where Python does, and runs it without notices."""

    def find_spec(self, name, path=None, target=None):
        """The spec of TensorFlow; None for all other modules."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            spec.loader.exec_module = _without_notices(spec.loader.exec_module)
        return spec


def _without_notices(execute):
    def exec_module(module):
        with dropped():
            execute(module)

    return exec_module


@contextlib.contextmanager
def dropped():
    """Sends the standard error of the block through grep.

    That is a process of its own, which still passes on why an import aborts.
    """
    if not _can_drop():
        yield
        return
    terminal = os.dup(2)
    try:
        with subprocess.Popen(
            ["grep", "--invert-match", "--extended-regexp", _NOTICES],
            stdin=subprocess.PIPE,
            stdout=terminal,
        ) as grep:
            os.dup2(grep.stdin.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(terminal, 2)  # grep ends with what it reads
    finally:
        os.close(terminal)

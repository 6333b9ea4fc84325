"""Processes that start at once: forks of one that has imported TensorFlow.

`python -m trainers.mnist` imports for four seconds before it does anything. A
server, one for each process of pytest, imports the same once, uses nothing of
it, and is forked for every command. One command of each script must still be
run as users do, by `subprocess`: only that shows that it imports what it needs.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "benchmarks.fault_trials",
        "matplotlib.pyplot",
        "scipy.optimize",
        "sklearn.datasets",
        "tensorflow_datasets",
        "tests.backup_writer",
        "tests.slow_writer",
        "trainers.mnist.experiments",
        "trainers.speech.experiments",
    ]
)


def start(
    module, *arguments, output=os.devnull, errors=os.devnull, environment=()
):
    """Starts `python -m MODULE ARGUMENTS` in the root of the repository.

    Args:
      module: str, a module or package with a `__main__`.
      *arguments: of the command line; `str` is taken of each.
      output: path of a file for what it prints.
      errors: the same for its errors.
      environment: dict of environment variables beside those that there are.

    Returns:
      `multiprocessing.Process`, with `kill`, `join` and `exitcode`.
    """
    command = [module, *map(str, arguments)]
    process = CONTEXT.Process(
        target=_run, args=(command, output, errors, dict(environment))
    )
    process.start()
    return process


def run(module, *arguments):
    """What `subprocess.run` returns of that command: code, stdout, stderr."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = (pathlib.Path(folder, name) for name in ("out", "err"))
        process = start(module, *arguments, output=output, errors=errors)
        process.join()
        return subprocess.CompletedProcess(
            [module, *arguments],
            process.exitcode,
            output.read_text(),
            errors.read_text(),
        )


def _run(command, output, errors, environment):
    """What the fork does."""
    os.environ.update(environment)
    for stream, path in ((sys.stdout, output), (sys.stderr, errors)):
        with open(path, "w") as file:
            os.dup2(file.fileno(), stream.fileno())
    # A command has no parent in Python: it shows its bars.
    multiprocessing.process._parent_process = None
    os.chdir(ROOT)
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)

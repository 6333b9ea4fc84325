"""Processes that start at once: forks of one that has imported TensorFlow.

`python -m trainers.mnist` imports for four seconds before it does anything. A
server, one for each process of pytest, imports the same once, uses nothing of
it, and is forked for every command. One command of each script must still be
run as users do, by `subprocess`: only that shows that it imports what it needs.
"""

import contextlib
import multiprocessing
import os
import pathlib
import runpy
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 300  # seconds, after which what is waited for will never come

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "benchmarks.fault_trials",
        "matplotlib.pyplot",
        "scipy.optimize",
        "sklearn.datasets",
        "tensorflow_datasets",
        "tests.backup_writer",
        "tests.replica_scenarios",
        "tests.slow_writer",
        "tests.store_reader",
        "trainers.characters.experiments",
        "trainers.distill.experiments",
        "trainers.mnist.experiments",
        "trainers.specialists.experiments",
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


def free_addresses(count):
    """Addresses of this machine, such as "localhost:1234", that are free."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in sockets]


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

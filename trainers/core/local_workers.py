r"""Runs a script on several workers of this machine, by one command.

    python -m trainers.core.local_workers --workers=2 trainers.mnist \
            --dataset=digits --run_dir=runs/digits

Each worker is a process that trains its part of every batch: what follows the
script's name is its command line, to which --strategy=multi_worker is added.
On one machine that shows what several would do; it is no faster, since one
process uses all cores, too. On several machines, start the script on each, with
TF_CONFIG set to the addresses of all and the index of its own.

Worker 0 writes and prints. If a worker ends early, the others end, too; the
same command then goes on where they were.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

_PATIENCE = 60  # seconds that workers have to end after one has failed


def main(arguments):
    """Runs the command; returns the exit code, that of the first who failed."""
    parser = argparse.ArgumentParser(
        "trainers.core.local_workers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=int, default=2, help="how many")
    parser.add_argument("script", help="such as trainers.mnist")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="the script's")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers must be positive. Received: {given.workers}")
    command = [sys.executable, "-m", given.script, *given.flags]
    workers = [
        subprocess.Popen(
            [*command, "--strategy=multi_worker"],
            env={**os.environ, "TF_CONFIG": config},
        )
        for config in configs(given.workers)
    ]

    def end(number, frame):
        _kill(workers)
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return _end_of(workers)


def configs(count):
    """What TF_CONFIG is for each of several workers on this machine.

    Args:
      count: int.

    Returns:
      List of str.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        ports = [each.getsockname()[1] for each in sockets]
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})
        for i in range(count)
    ]


def _end_of(workers):
    """Waits for all; where one fails, not longer than `_PATIENCE`."""
    failed, deadline = 0, float("inf")
    while None in (codes := [worker.poll() for worker in workers]):
        if not failed and any(codes):
            failed = next(code for code in codes if code)
            deadline = time.monotonic() + _PATIENCE
        if time.monotonic() > deadline:
            _kill(workers)
        time.sleep(0.1)
    failed = failed or next((code for code in codes if code), 0)
    return failed if failed >= 0 else 128 - failed  # a signal, as shells say


def _kill(workers):
    """Ends all; a run may be killed at any moment."""
    for worker in workers:
        worker.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Each contender in a process of its own, which trains when it is asked to."""

import multiprocessing
import pathlib
import re
import time

import keras

from benchmarks.real_models import checking


class Process:
    """A process that trains the student of a row, in one way.

    Attributes:
      error: str, what it raised; None if it trains.
    """

    def __init__(self, row, way):
        """Starts the process and waits until it has trained once.

        Args:
          row: `base.Row`, prepared.
          way: one of its ways.

        Raises:
          RuntimeError: if the process ended.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, row, way), daemon=True
        )
        self._process.start()
        theirs.close()
        self._name = f"{row.title}, {way}"
        self.error = self._answer()

    def seconds(self):
        """Trains for a row's steps and returns the time that it took."""
        self._connection.send(True)
        return self._answer()

    def end(self):
        """Ends the process and returns its memory, as `memory` does."""
        self._connection.send(False)
        found = self._answer()
        self._process.join()
        return found

    def _answer(self):
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError(f"the process has ended: {self._name}") from None


def serve(connection, row, way):
    """What the process does: it answers each True with seconds."""
    keras.utils.set_random_seed(0)
    imported = memory()["peak_mib"]
    try:
        train = row.trainer(way)
        train()  # compiles
        connection.send(None)
    except Exception as error:
        connection.send(checking.raised(error))
    while connection.recv():
        began = time.perf_counter()
        train()
        connection.send(time.perf_counter() - began)
    connection.send({"imported_mib": imported, **memory()})


def memory():
    """Dict of "peak_mib": the most memory that this process has had."""
    status = pathlib.Path("/proc/self/status").read_text()
    return {"peak_mib": int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024}


def apart(function, *arguments):
    """The result of a function, called in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_seeded, (function, *arguments))


def _seeded(function, *arguments):
    keras.utils.set_random_seed(0)
    return function(*arguments)

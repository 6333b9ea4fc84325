"""Workers of a measurement: processes on a core each, that begin at once."""

import contextlib
import importlib
import json
import os
import subprocess
import sys

_CHILD = """
import json, os, sys
core, module, function, arguments = json.loads(sys.argv[1])
os.sched_setaffinity(0, [core])  # before TensorFlow counts its threads
from benchmarks import scale_processes
scale_processes.child(module, function, arguments)
"""


def together(module, function, of_each, environments=None):
    """Calls a function in some processes.

    The function does what is to be measured in two parts: it prepares, and
    returns a function without arguments, which does the rest and returns what
    JSON can hold. No process begins that before all are prepared.

    Args:
      module: str, the name of a module.
      function: str, the name of a function in it.
      of_each: list of the arguments of each process, which JSON can hold.
      environments: list of further environment variables of each, or None.

    Returns:
      List of what each process returned.

    Raises:
      RuntimeError: if one of them failed.
    """
    cores = sorted(os.sched_getaffinity(0))
    environments = environments or [{}] * len(of_each)
    with contextlib.ExitStack() as stack:
        children = []
        for index, arguments in enumerate(of_each):
            core = cores[index % len(cores)]
            call = json.dumps([core, module, function, arguments])
            child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, call],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **environments[index]},
            )
            children.append(stack.enter_context(child))
            stack.callback(child.kill)
        for child in children:
            _line(child)
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        return [json.loads(_line(child)) for child in children]


def child(module, function, arguments):
    """What a process does."""
    measured = getattr(importlib.import_module(module), function)(*arguments)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(measured()), flush=True)


def _line(process):
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the measurement has failed")
    return line

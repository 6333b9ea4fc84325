"""The machine that figures were measured on, and how long things take on it."""

import os
import pathlib
import platform
import time

import tensorflow as tf

_FEWEST = 3  # timings of what is slow


def description():
    """The number of cores and the name of the processor; GPUs, if any."""
    details = tf.config.experimental.get_device_details
    gpus = [
        details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return ", ".join([f"{os.cpu_count()} cores of {_processor()}", *gpus])


def interleaved(contenders, seconds, rounds=10):
    """Times contenders in turns, so that a slow moment affects all of them.

    Args:
      contenders: dict from a name to a function without arguments; each is
        called once more at the start, to warm up.
      seconds: float, about how long each of them runs.
      rounds: int, over how many turns that time is spread.

    Returns:
      Dict from the name to a list of seconds, one a call; at least three.
    """
    for call in contenders.values():
        call()
    taken = {name: [] for name in contenders}
    while slow := [n for n, each in taken.items() if _is_short(each, seconds)]:
        for name in slow:
            _turn(contenders[name], taken[name], seconds / rounds)
    return taken


def _is_short(taken, seconds):
    return len(taken) < _FEWEST or sum(taken) < seconds


def _turn(call, taken, seconds):
    """Calls until a turn's time is over, at least once."""
    ends = time.perf_counter() + seconds
    ended = 0.0
    while ended < ends:
        began = time.perf_counter()
        call()
        ended = time.perf_counter()
        taken.append(ended - began)


def _processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line for line in lines if line.startswith("model name")]
    return names[0].split(":", 1)[1].strip() if names else platform.machine()

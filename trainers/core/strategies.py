"""Training on several devices or machines: `--strategy`, and who writes.

Under multi_worker each process runs the whole script. The chief, worker 0,
alone writes and prints; what depends on files is decided by it for all, since
one worker may look before they are there and another one after.
"""

import contextlib
import json
import os
import re
import signal
import sys

import tensorflow as tf
from absl import flags, logging

from kdtf import _workers
from trainers.core.errors import FlagsError

# The flags that are defined here are those of the script, which --help shows.
flags.disclaim_key_flags()

_VARIABLE = "TF_CONFIG"
_EXAMPLE = {
    "cluster": {"worker": ["host0:12345", "host1:12345"]},
    "task": {"type": "worker", "index": 0},
}
_WAITS = f"Waiting until all workers of {_VARIABLE} have started"
_STARTED = "All workers have started"
# After the unfinished line of a bar.
_LOST = (
    "\nA worker was lost: start all of them again, with the same command, and "
    "they go on from the last checkpoint. The log of the lost one tells why it "
    "ended."
)
_started: list = []  # the strategy of this process, if it has one


def define_flags():
    """Defines `strategy`, and the number of replicas on a machine of CPUs."""
    flags.DEFINE_enum(
        "strategy",
        "none",
        ["none", "mirrored", "multi_worker"],
        "how a net is trained: mirrored on all GPUs of this machine, "
        "multi_worker by all processes that the variable TF_CONFIG names, "
        "each of which is started with this command, and the same --run_dir on "
        "a disk that all share (python -m trainers.core.local_workers --help: "
        "by one command). Results are the same, but for rounding",
    )
    flags.DEFINE_integer(
        "cpu_replicas",
        None,
        "into how many devices --strategy=mirrored divides the CPU where there "
        "is no GPU (default: 2)",
        lower_bound=1,
        upper_bound=64,
    )


def start(values):
    """Makes the strategy of this process, before any net.

    Args:
      values: absl's flag values, with those of `define_flags`.

    Raises:
      ValueError: names the flag, or what TF_CONFIG must look like.
    """
    _require_fitting(values)
    if _processes(values) > 1:
        share_gpus()
    if values.strategy == "mirrored":
        _started[:] = [_mirrored(values.cpu_replicas or 2)]
    elif values.strategy == "multi_worker":
        require_cluster(os.environ.get(_VARIABLE))
        # For up to an hour, in which nothing else is heard of it.
        print(_WAITS, file=sys.stderr, flush=True)
        _started[:] = [tf.distribute.MultiWorkerMirroredStrategy()]
        logging.info(_STARTED)
        # TensorFlow has taken it, and only notes that it came; but a run may be
        # ended at any moment.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _require_fitting(values):
    if values.cpu_replicas and values.strategy != "mirrored":
        raise ValueError(
            "--cpu_replicas must be left out but with --strategy=mirrored. "
            f"Received: --cpu_replicas={values.cpu_replicas} with "
            f"--strategy={values.strategy}"
        )
    processes = _processes(values)
    if processes > 1 and values.strategy != "none":
        raise ValueError(
            "--processes must be 1 with a --strategy, which trains one net "
            f"after another, each on all devices. Received: "
            f"--processes={processes} with --strategy={values.strategy}"
        )


def _processes(values):
    return getattr(values, "processes", 1)  # not all scripts have it


def share_gpus():
    """Leaves room on the GPUs for other processes.

    Else TensorFlow takes nearly all memory of each as soon as it uses one.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def _mirrored(cpu_replicas):
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_replicas
    )
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(cpu_replicas)]
    )


def require_cluster(text):
    """Raises unless a text describes a cluster, and a worker of it.

    TensorFlow would wait for ever for a worker that is not there.

    Args:
      text: str, the value of TF_CONFIG, or None.

    Raises:
      ValueError: tells what it must look like.
    """
    try:
        fault = _fault(json.loads(text)) if text else "nothing"
    except ValueError as error:
        fault = f"no JSON ({error})"
    if fault is None:
        return
    shown = f": {text}" if text else ""
    raise ValueError(
        "--strategy=multi_worker must find the cluster in the environment "
        f"variable {_VARIABLE}, such as {json.dumps(_EXAMPLE)}, with the same "
        "list of different host:port in every process, and in each the index "
        f"of its own, from 0. Received: {fault}{shown}"
    )


def _fault(config):
    """What a cluster's description lacks, in words; None for nothing."""
    cluster, task = (
        config.get(key) if isinstance(config, dict) else None
        for key in ("cluster", "task")
    )
    if not isinstance(cluster, dict) or not cluster.get("worker"):
        return "no cluster with a list of workers"
    if others := sorted(cluster.keys() - {"worker"}):
        return f"jobs other than worker, {others}"
    workers = cluster["worker"]
    if not isinstance(workers, list) or not all(map(_is_address, workers)):
        return "workers that are no list of host:port"
    if len(set(workers)) < len(workers):
        return "a worker that is listed twice"
    if not isinstance(task, dict) or task.get("type") != "worker":
        return "no task of the type worker"
    index = task.get("index")
    # Some schedulers give it as a string, which TensorFlow takes, too.
    if not re.fullmatch(r"\d+", str(index)) or int(index) >= len(workers):
        return f"an index that is none of the {len(workers)} workers"
    return None


def _is_address(worker):
    return isinstance(worker, str) and re.fullmatch(r"\S+:\d+", worker)


def require_same(values):
    """Raises unless all workers do the same.

    Settings are compared where the run directory is opened.

    Args:
      values: as that of `start`.

    Raises:
      ValueError: names the flag.
    """
    # The last one not every trainer has.
    names = ("experiment", "seeds", "checkpoint_every", "label_shares")
    if spans_workers():
        _workers.require_same(
            *_started,
            {f"--{n}": str(getattr(values, n)) for n in names if n in values},
        )


@contextlib.contextmanager
def ended_by_losses():
    """Ends this process in one line where another worker is lost.

    Not only in `fit`: also nets are built together, from the chief's weights.
    A worker leaves the block after all have come to its end.

    Raises:
      SystemExit: with the line.
    """
    try:
        with contextlib.ExitStack() as stack:
            if spans_workers():
                stack.enter_context(_workers.named_losses(*_started))
            yield
            if _started:
                _workers.leave(*_started)
    except _workers.WorkerLost:
        sys.exit(_LOST)


def spans_workers():
    """Whether other processes train the same nets."""
    return bool(_started) and _workers.spans(*_started)


def is_chief():
    """Whether this process writes and prints; without others it does."""
    return not _started or _workers.is_chief(*_started)


def has_replicas():
    """Whether a batch is divided among several replicas."""
    return bool(_started) and _started[0].num_replicas_in_sync > 1


def scope():
    """The scope in which nets are built and compiled."""
    return _started[0].scope() if _started else contextlib.nullcontext()


def on_chief(function):
    """What a function returns on the chief; all workers wait for it.

    Args:
      function: function without arguments, which returns what JSON can hold;
        it must neither train nor call this, for which the chief needs others.

    Returns:
      That, on all workers.

    Raises:
      Exception: of the function, on the chief.
      FlagsError: on the others, of what it raised there.
    """
    if not spans_workers():
        return function()
    value = raised = None
    if is_chief():
        try:
            value = function()
        except Exception as error:
            raised = error
    said = {"value": value, "error": None if raised is None else str(raised)}
    told = json.loads(_workers.from_chief(*_started, json.dumps(said)))
    if told["error"] is not None:
        _workers.leave(*_started)
    if raised is not None:
        raise raised
    if told["error"] is not None:
        raise FlagsError(f"Worker 0 has ended: {told['error']}")
    return told["value"]


def chief_first(function):
    """What a function returns on this worker, after the chief has called it.

    Where it prepares files that all read, and the others find them.

    Args:
      function: as that of `on_chief`, which may return anything.
    """
    found = []
    on_chief(lambda: found.append(function()))
    return found[0] if found else function()

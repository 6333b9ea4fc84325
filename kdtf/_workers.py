"""Several processes that train one model: who is who, and do all agree?

Under `tf.distribute.MultiWorkerMirroredStrategy` every worker runs the same
program. Where one of them does not (other flags, other data, a backup of
another epoch), TensorFlow trains on in silence, waits for ever, or fails in its
collectives: so all of them compare what they are about to do.
"""

import contextlib
import functools
import hashlib

import numpy as np
import tensorflow as tf

# Of a message: all workers must send as many, also those that are about to do
# something else.
_MOST_NUMBERS = 32
# Of a text in each of the numbers, and in a message, which has its length, too.
_BYTES = 7
_MOST_BYTES = _BYTES * (_MOST_NUMBERS - 1)
# What TensorFlow says on those that are left, whatever the kind of its error.
_LOST = ("Collective ops is aborted", "unhealthy", "Socket closed")


class WorkerLost(RuntimeError):
    """Another worker has ended, and with it the training of all."""


def spans(strategy):
    """Whether a strategy trains in several processes."""
    return _count(strategy) > 1


def is_chief(strategy):
    """Whether this process is the one that writes for all."""
    if not spans(strategy):
        return True
    resolver = strategy.cluster_resolver
    if "chief" in resolver.cluster_spec().as_dict():
        return resolver.task_type == "chief"
    return resolver.task_id == 0


def _count(strategy):
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))


_ADVICE = (
    "start all of them with the same command, data and seed "
    "(keras.utils.set_random_seed)"
)


def require_same(strategy, facts, advice=_ADVICE):
    """Raises, on every worker, unless all have the same facts.

    Args:
      strategy: one that `spans` workers; all of them must call this.
      facts: dict from the name of a fact, such as an argument, to a str.
      advice: str, what to do.

    Raises:
      ValueError: names the facts that differ, and the workers.
    """
    names = ["arguments", *facts]
    values = [" ".join(facts), *facts.values()]
    own = [_digest(value) for value in values]
    found = _gathered(strategy, own)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        column = found[:, i]
        if len(set(column.tolist())) == 1:
            continue
        replicas = len(found) // _count(strategy)  # of a worker
        others = np.flatnonzero(column != own[i]) // replicas
        leave(strategy)
        raise ValueError(
            f"`{name}` must be the same on all workers: {advice}. Received: "
            f"{value} here, and something else on the workers "
            f"{sorted(set(others.tolist()))}"
        )


def from_chief(strategy, text):
    """The chief's text, on every worker.

    Args:
      strategy: one that `spans` workers; all of them must call this.
      text: str; that of another worker than the chief is not looked at.
    """
    unsent = text.encode() if is_chief(strategy) else b""
    received = b""
    while True:
        part = unsent[:_MOST_BYTES].ljust(_MOST_BYTES, b"\0")
        numbers = [
            int.from_bytes(part[i : i + _BYTES])
            for i in range(0, _MOST_BYTES, _BYTES)
        ]
        # Of the others all are 0.
        found = _gathered(strategy, [len(unsent), *numbers]).max(axis=0)
        left, *numbers = found.tolist()
        part = b"".join(number.to_bytes(_BYTES) for number in numbers)
        received += part[:left]
        if left <= _MOST_BYTES:
            return received.decode()
        unsent = unsent[_MOST_BYTES:]


def leave(strategy):
    """Waits for the others before this process may end.

    With it ends what they are still receiving from it. One that is lost by now
    has had all that there was.

    Args:
      strategy: any; if it `spans` workers, all of them must call this.
    """
    if spans(strategy):
        with contextlib.suppress(tf.errors.OpError):
            _gathered(strategy, [])


def _digest(text):
    """63 bits of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _gathered(strategy, numbers):
    """The numbers of all replicas: int64 `[replicas, _MOST_NUMBERS]`."""
    numbers = [*numbers, *[0] * (_MOST_NUMBERS - len(numbers))]
    found = _gather(strategy)(tf.constant([numbers], tf.int64))
    return strategy.experimental_local_results(found)[0].numpy()


@functools.lru_cache(maxsize=1)
def _gather(strategy):
    """Function from a worker's row of numbers to those of all replicas."""

    def on_replica(row):
        context = tf.distribute.get_replica_context()
        # An argument has no device of its own, by which they find each other.
        return context.all_gather(tf.identity(row), axis=0)

    @tf.function(autograph=False)
    def gather(row):
        return strategy.run(on_replica, args=(row,))

    return gather


def _tells_of_a_loss(message):
    # A mismatch aborts collectives, too, while all workers are there.
    return any(w in message for w in _LOST) and "mismatch" not in message


@contextlib.contextmanager
def named_losses(strategy):
    """Says so where another worker is lost, which ends a run for all.

    Raises:
      WorkerLost: from TensorFlow's error.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not (spans(strategy) and _tells_of_a_loss(error.message)):
            raise
        raise WorkerLost(
            "A worker was lost: start all of them again, with the same "
            "command. With kdtf.callbacks.BackupAndRestore they go on from "
            "the last backup. The log of the lost one tells why it ended; "
            "TensorFlow says of it here: "
            f"{' '.join(error.message.split())[:300]}"
        ) from error

"""Several processes that train one model: who is who, and do all agree?

Under `tf.distribute.MultiWorkerMirroredStrategy` every worker runs the same
program. Where one of them does not (other flags, other data, a backup of
another epoch), TensorFlow trains on in silence, waits for ever, or fails in its
collectives: so all of them compare what they are about to do.
"""

import contextlib
import hashlib

import numpy as np
import tensorflow as tf

# How many facts can be compared at once: all workers must send as many numbers,
# also those that are about to do something else.
_MOST_FACTS = 32
# What TensorFlow says on those that are left, whatever the kind of its error.
_LOST = ("Collective ops is aborted", "unhealthy", "Socket closed")


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
    own += [0] * (_MOST_FACTS - len(own))
    found = _gathered(strategy, own)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        column = found[:, i]
        if len(set(column.tolist())) == 1:
            continue
        replicas = len(found) // _count(strategy)  # of a worker
        others = np.flatnonzero(column != own[i]) // replicas
        raise ValueError(
            f"`{name}` must be the same on all workers: {advice}. Received: "
            f"{value} here, and something else on the workers "
            f"{sorted(set(others.tolist()))}"
        )


def _digest(text):
    """63 bits of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _gathered(strategy, numbers):
    """The numbers of all replicas: int64 `[replicas, numbers]`."""

    def on_replica():
        context = tf.distribute.get_replica_context()
        return context.all_gather(tf.constant([numbers], tf.int64), axis=0)

    @tf.function(autograph=False)
    def gather():
        return strategy.run(on_replica)

    found = gather()
    return strategy.experimental_local_results(found)[0].numpy()


@contextlib.contextmanager
def named_losses(strategy):
    """Says so where another worker is lost, which ends a run for all.

    Raises:
      RuntimeError: from TensorFlow's error.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not spans(strategy) or not any(w in error.message for w in _LOST):
            raise
        raise RuntimeError(
            "A worker was lost: start all of them again, with the same "
            "command. With kdtf.callbacks.BackupAndRestore they go on from "
            "the last backup. The log of the lost one tells why it ended; "
            "TensorFlow says of it here: "
            f"{' '.join(error.message.split())[:300]}"
        ) from error

"""A batch over several replicas of `tf.distribute`: every row counts the same.

Each replica holds a part of the global batch, and the parts may differ in size.
Keras takes the mean over replicas, which gives the rows of a small part more
weight than others. Here a replica's loss counts by its share of the entries, so
that the sum over replicas is what one process has for the whole batch.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._math import entries


def several():
    """Whether the code that is being traced runs on one of several replicas."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def trains_on_several(distiller):
    """Whether a Distiller's strategy has several replicas."""
    return distiller.distribute_strategy.num_replicas_in_sync > 1


class Part(NamedTuple):
    """What a replica holds of a global batch.

    Attributes:
      share: scalar float32, by which its loss counts; they sum to 1.
      rows: scalar float32, the rows that its loss stands for; they sum to the
        rows of the global batch.
    """

    share: Any
    rows: Any


def part(logits):
    """The `Part` of this replica, or of the whole batch if there is but one.

    Args:
      logits: `[..., classes]`, with their Keras mask, if there is one; or a
        dict of them by output, whose part is that of the rows.
    """
    own_rows = tf.cast(
        entries.dynamic_shape(tf.nest.flatten(logits)[0])[0], tf.float32
    )
    if not several():
        return Part(tf.constant(1.0), own_rows)
    context = tf.distribute.get_replica_context()
    own = own_rows
    if not isinstance(logits, dict):
        own = tf.cast(entries.entry_count(logits), tf.float32)
    total, rows = tf.unstack(
        context.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.stack([own, own_rows])
        )
    )
    # Without a valid entry there is still the student's own regularisation.
    evenly = 1.0 / context.num_replicas_in_sync
    share = tf.where(total > 0, tf.math.divide_no_nan(own, total), evenly)
    return Part(share, share * rows)


def of_rows(losses, logits):
    """Losses of several outputs, which count by this replica's share of rows.

    Each is a mean over entries, of which an output may have its own number.

    Args:
      losses: dict of scalars by output.
      logits: dict of `[..., classes]` by output.
    """
    if not several():
        return losses
    share = part(logits).share
    return {
        name: loss * tf.math.divide_no_nan(part(logits[name]).share, share)
        for name, loss in losses.items()
    }


def apply_gradients(optimizer, gradients, variables):
    """Updates variables by the sum of all replicas' gradients.

    Keras adds them up after it has clipped, or found infinite, each replica's
    own; one process does so with the sum.
    """
    pairs = list(zip(gradients, variables, strict=True))
    if not several():
        optimizer.apply_gradients(pairs)
        return
    pairs = [(gradient, v) for gradient, v in pairs if gradient is not None]
    summed = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, [gradient for gradient, _ in pairs]
    )
    with keras_private.summed_already(optimizer):
        optimizer.apply_gradients(
            zip(summed, [v for _, v in pairs], strict=True)
        )

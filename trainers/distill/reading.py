"""A few cases of a split, which may be larger than memory."""

import functools

import numpy as np
import tensorflow as tf


def xs(dataset, rows):
    """The inputs of some cases, read in one pass that ends at the last.

    Args:
      dataset: `tf.data.Dataset` of cases, see `cases.Split`.
      rows: sequence of ints, the places of the cases.

    Returns:
      `[rows, ...]` float32 array, in the order of `rows`.
    """
    rows = np.asarray(rows, np.int64)
    shape = tuple(dataset.element_spec[0].shape)
    if not len(rows):
        return np.zeros((0, *(n or 0 for n in shape)), np.float32)
    wanted = np.zeros(rows.max() + 1, bool)
    wanted[rows] = True
    wanted = tf.constant(wanted)
    found = (
        dataset.take(len(wanted))
        .map(lambda x, *_: x)
        .enumerate()
        .filter(lambda i, _: wanted[i])
    )
    by_row = {int(i): x for i, x in found.as_numpy_iterator()}
    return np.stack([by_row[int(row)] for row in rows])


@functools.lru_cache(maxsize=1)
def kept_xs(dataset, rows):
    """`xs` of a tuple of rows; the last ones are kept.

    A page is made again after every section.
    """
    return xs(dataset, rows)


def spread(cases, most):
    """At most that many places, evenly among the cases.

    Args:
      cases: int or int array, how many there are, or their places.
      most: int.

    Returns:
      `[rows]` int array.
    """
    places = np.arange(cases) if np.ndim(cases) == 0 else np.asarray(cases)
    count = min(most, len(places))
    return places[np.arange(count) * len(places) // max(1, count)]


def logits_of(net, dataset, batch_size=64):
    """A net's logits on all cases of a data set.

    Args:
      net: `keras.Model`, x to logits.
      dataset: `tf.data.Dataset` of cases.
      batch_size: int.

    Returns:
      `[cases, classes]` float32 array.
    """
    batches = dataset.map(lambda x, *_: x).batch(batch_size)
    run = _compiled(net, batches.element_spec)
    found = [np.asarray(run(x), np.float32) for x in batches.prefetch(2)]
    return of_classes(np.concatenate(found))


# A net is asked after every epoch, and traced once.
@functools.lru_cache(maxsize=8)
def _compiled(net, spec):
    return tf.function(lambda x: net(x, training=False), input_signature=[spec])


def of_classes(logits):
    """Logits of at least two classes.

    Args:
      logits: `[cases, classes]` array, or `[cases, 1]` of a sigmoid head.

    Returns:
      `[cases, classes]` array; of a sigmoid head 0 and its logit.
    """
    if logits.shape[-1] > 1:
        return logits
    return np.concatenate([np.zeros_like(logits), logits], -1)

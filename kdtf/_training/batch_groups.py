"""Batches in groups, made in the input pipeline.

A program of many steps takes its batches stacked. Stacking them in TensorFlow
operations costs a small student more time than its arithmetic; `tf.data` does
it in its own threads. So `fit` is given a data adapter whose data set holds
groups, and Keras counts steps, epochs and the end of the data as it always
does.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import compiled_steps

# The most that a group takes; the next one waits in memory, too.
_BYTES_A_GROUP = 2**26
_ROWS = 256  # of a batch whose size the data set does not tell


class Group(NamedTuple):
    """Consecutive batches.

    Attributes:
      data: structure of a batch, each leaf `[batches, ...]`, padded with zeros
        where batches differ in shape.
      shapes: tuple of int32 `[batches, rank]`, the shape of each leaf in each
        batch; empty if all batches have the same.
    """

    data: Any
    shapes: Any


def is_grouped(iterator):
    """Whether an iterator's elements are groups."""
    return isinstance(iterator, tf.data.Iterator) and isinstance(
        iterator.element_spec, Group
    )


class GroupedAdapter(keras_private.DataAdapter):
    """Another adapter, with its batches in groups."""

    def __init__(self, adapter, steps):
        """Of an adapter, and the steps of an execution."""
        self._adapter = adapter
        self._steps = steps

    def get_tf_dataset(self):
        dataset = self._adapter.get_tf_dataset()
        specs = tf.nest.flatten(dataset.element_spec)
        if not _can_be_grouped(specs):
            return dataset
        return _grouped(dataset, _group_size(specs, self._steps, self._adapter))

    @property
    def num_batches(self):
        return self._adapter.num_batches

    @property
    def batch_size(self):
        return self._adapter.batch_size

    @property
    def has_partial_batch(self):
        return self._adapter.has_partial_batch

    @property
    def partial_batch_size(self):
        return self._adapter.partial_batch_size

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()


def _can_be_grouped(specs):
    """Whether they are dense tensors of known rank, which XLA takes.

    The specs of None, which generators may yield, are of other types.
    """
    return all(
        compiled_steps.can_be_compiled(spec) and spec.shape.rank is not None
        for spec in specs
    )


def _group_size(specs, steps, adapter):
    """The largest divisor of `steps` whose groups fit into memory.

    A divisor, so that no execution ends inside a group.
    """
    rows = adapter.batch_size or _ROWS
    bytes_a_batch = 1
    for spec in specs:
        shape = spec.shape.as_list() or []
        filled = [
            size or (rows if i == 0 else 1) for i, size in enumerate(shape)
        ]
        bytes_a_batch += int(np.prod(filled)) * spec.dtype.size
    most = max(1, _BYTES_A_GROUP // bytes_a_batch)
    if adapter.num_batches is not None and adapter.num_batches <= most:
        return min(steps, adapter.num_batches)
    return max(n for n in range(1, min(steps, most) + 1) if steps % n == 0)


def _grouped(dataset, size):
    specs = tf.nest.flatten(dataset.element_spec)
    if all(spec.shape.is_fully_defined() for spec in specs):
        groups = tf.data.Dataset.zip(Group(dataset.batch(size), ()))
    else:
        groups = dataset.map(_with_shapes_of(dataset)).padded_batch(size)
    return groups.prefetch(2)


def _with_shapes_of(dataset):
    """Function from an element's parts to a `Group` of that one batch."""

    @tf.autograph.experimental.do_not_convert
    def with_shapes(*element):
        # `map` spreads a tuple over its function's arguments.
        if not isinstance(dataset.element_spec, tuple):
            [element] = element
        leaves = tf.nest.flatten(element)
        return Group(element, tuple(tf.shape(leaf) for leaf in leaves))

    return with_shapes

"""Arrays that stay on the device, of which each epoch takes rows in its order.

Keras's pipeline gathers every batch in threads of `tf.data`, and hands it over:
that takes a small student several times as long as its step. Here arrays are
put on the device once, an epoch is an order of their rows, and what runs the
steps gathers the rows of its batches.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import compile_policy

# What stays on the device at most; larger arrays go through Keras's pipeline.
BYTES = 2**31
_UNSEEDED = (87654321, 0)  # what TensorFlow tells if nobody set a seed


class ArraysAdapter(keras_private.DataAdapter):
    """Has Keras iterate over `ArrayEpoch`s.

    Attributes:
      data: structure of tensors `[rows, ...]`, or None: x, y, sample weight.
      rows: int.
      bytes_a_row: int.
      epochs: int, how many have begun.
      complete: function of the data to those of the epoch that begins; it may
        add to them what it takes time to find out.
    """

    complete = staticmethod(lambda data: data)

    def __init__(self, adapter, data, shuffle):
        """Of Keras's adapter of the same arrays."""
        self._adapter, self.data = adapter, data
        leaves = _leaves(data)
        self.rows = int(leaves[0].shape[0])
        self.bytes_a_row = sum(map(_bytes, leaves)) // max(1, self.rows)
        self._orders = _orders(self.rows) if shuffle else None
        self._in_order = tf.range(self.rows)
        self.epochs = 0

    def get_tf_dataset(self):
        return self

    def __iter__(self):
        order = next(self._orders) if self._orders else self._in_order
        return ArrayEpoch(self, order)

    def on_epoch_begin(self):
        self.epochs += 1

    def rows_in_order(self, data, first, size):
        """Some rows of data like its own, as they come without shuffling."""
        return batch(data, self._in_order, first, size)

    @property
    def element_spec(self):
        """The spec of a batch of the data."""
        return _specs(self.data)

    @property
    def num_batches(self):
        return math.ceil(self.rows / self.batch_size)

    @property
    def batch_size(self):
        return self._adapter.batch_size

    @property
    def has_partial_batch(self):
        return bool(self.partial_batch_size)

    @property
    def partial_batch_size(self):
        return self.rows % self.batch_size


class ArrayEpoch:
    """What is left of an epoch: of one pass over the rows.

    Attributes:
      order: `[rows]` integers, which row comes when.
    """

    def __init__(self, adapter, order):
        self._adapter, self.order = adapter, order
        self._data = self._spec = self._completed_in = None
        self._size, self._rows = adapter.batch_size, adapter.rows
        self._first = 0

    @property
    def data(self):
        """Structure of tensors `[rows, ...]`, or None."""
        return self._completed()[0]

    @property
    def element_spec(self):
        """The spec of a batch of it."""
        return self._completed()[1]

    def _completed(self):
        """Data and spec, found out in each of Keras's epochs.

        With `steps_per_epoch` a pass is begun before the callbacks between two
        epochs, or goes on after them, and they may change a teacher.
        """
        if self._completed_in != self._adapter.epochs:
            self._data = self._adapter.complete(self._adapter.data)
            self._spec = _specs(self._data)
            self._completed_in = self._adapter.epochs
        return self._data, self._spec

    def __next__(self):
        """The next batch."""

        return self.run(
            lambda data, order, first, count, size, most: batch(
                data, order, first, size
            ),
            1,
        )

    def run(self, run_part, steps):
        """Runs steps on the next batches.

        Args:
          run_part: function of the data, the order and four ints: the place of
            the first row, how many batches to run, the size of all of them, and
            how many they are at most.
          steps: int, how many batches to run if there are as many.

        Returns:
          What the function returned for the last of them.

        Raises:
          StopIteration: if no batch is left.
        """
        left = self._rows - self._first
        if not left:
            raise StopIteration
        whole = min(steps, left // self._size)
        parts = [(whole, self._size, steps)] if whole else []
        if whole < steps and left % self._size:
            parts.append((1, left % self._size, 1))
        for count, size, most in parts:
            found = run_part(
                self.data, self.order, self._first, count, size, most
            )
            self._first += count * size
        return found


def adapter_of(adapter, shuffle):
    """An `ArraysAdapter` in place of Keras's, or that if it has to be.

    Args:
      adapter: Keras's data adapter of what was given to `fit` or `evaluate`.
      shuffle: whether each epoch has another order of the rows.
    """
    data = keras_private.arrays_of(adapter)
    leaves = _leaves(data)
    if not leaves or shuffle not in (True, False):
        return adapter
    if not all(_is_numeric(leaf) for leaf in leaves):
        return adapter
    if sum(_bytes(leaf) for leaf in leaves) > BYTES:
        return adapter
    return ArraysAdapter(adapter, _map(_on_device, data), shuffle)


def batch(data, order, first, size):
    """A batch: the rows of the data that come at these places of an order.

    Args:
      data: structure of tensors `[rows, ...]`, or None.
      order: `[rows]` integers.
      first: int, or a tensor.
      size: int, or a tensor.
    """
    rows = tf.slice(order, [first], [size])
    return _map(lambda leaf: tf.gather(leaf, rows), data)


def stacked_batches(data, order, first, size, most):
    """As many batches, `[most, size, ...]`; beyond the epoch's end any rows."""
    places = first + tf.range(most * size)
    rows = tf.gather(order, tf.minimum(places, tf.shape(order)[0] - 1))

    def stack(leaf):
        shape = [most, size, *leaf.shape[1:]]
        return tf.reshape(tf.gather(leaf, rows), shape)

    return _map(stack, data)


def _map(function, data):
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else function(leaf), data
    )


def _specs(data):
    return _map(
        lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), data
    )


def _leaves(data):
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None]


def _is_numeric(leaf):
    """Whether it is a dense array of numbers, which any device holds."""
    if not isinstance(leaf, (np.ndarray, tf.Tensor)):
        return False
    dtype = tf.as_dtype(leaf.dtype)
    return dtype.is_floating or dtype.is_integer or dtype.is_bool


def _bytes(leaf):
    return math.prod(leaf.shape) * tf.as_dtype(leaf.dtype).size


def _on_device(leaf):
    device = "/GPU:0" if compile_policy.on_gpu() else "/CPU:0"
    with tf.device(device):
        return tf.identity(leaf)


def _orders(rows):
    """Yields the orders that Keras's own pipeline draws for its epochs.

    With a seed that is one order for all of them: each epoch is a new iterator
    over a data set, which begins anew with its seed.
    """

    @tf.function(autograph=False)
    def draw(_):  # of an argument, as there: the seed depends on it
        return tf.random.shuffle(tf.range(rows, dtype=tf.int64))

    seeded = tf.compat.v1.get_seed(0) != _UNSEEDED
    order = draw(tf.constant(0))
    while True:
        yield order
        if not seeded:
            order = draw(tf.constant(0))

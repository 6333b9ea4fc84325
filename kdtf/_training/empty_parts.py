"""Parts of a batch that have no row.

The last batch of an epoch may have fewer rows than there are replicas. Some of
them then train on nothing, and must: all replicas add up their gradients.
"""

import contextlib

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import replicas


@contextlib.contextmanager
def with_a_row(x, student=None):
    """Yields a batch for a model, and a function of what it returns for it.

    Many layers need a row, and a BatchNormalization takes the mean of its rows:
    where there is none the model sees one of zeros, which the function takes
    off again, and whose mean is forgotten.

    Args:
      x: structure of tensors `[batch, ...]`.
      student: the model, if it is one that trains.
    """
    leaves = tf.nest.flatten(x)
    may_be_empty = replicas.several() and all(
        _may_be_empty(leaf) for leaf in leaves
    )
    if not may_be_empty or (student and _adds_up_rows(student)):
        yield x, lambda logits: logits
        return
    has_rows = tf.shape(leaves[0])[0] > 0
    variables = [v.value for v in _statistics(student)] if student else []
    before = [tf.identity(variable) for variable in variables]
    filled = tf.nest.map_structure(lambda leaf: _filled(leaf, has_rows), x)
    yield filled, lambda logits: _emptied(logits, has_rows)

    def put_back():
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        return tf.constant(0)

    if variables:
        tf.cond(has_rows, lambda: tf.constant(0), put_back)


def _may_be_empty(leaf):
    """Whether it is a tensor that may have no row, of a rank that is known."""
    dense = isinstance(leaf, tf.Tensor) and leaf.shape.rank
    return bool(dense) and not leaf.shape[0]


def _filled(leaf, has_rows):
    """A tensor, or a row of zeros."""
    shape = tf.concat([[1], tf.shape(leaf)[1:]], axis=0)
    filled = tf.cond(
        has_rows, lambda: leaf, lambda: tf.zeros(shape, leaf.dtype)
    )
    filled.set_shape([None, *leaf.shape[1:]])
    return filled


def _emptied(logits, has_rows):
    """Logits, and their mask, without the row that was filled in."""

    def cut(tensor):
        found = tf.cond(has_rows, lambda: tensor, lambda: tensor[:0])
        found.set_shape([None, *tensor.shape[1:]])
        return found

    mask = keras_private.mask_of(logits)
    logits = cut(logits)
    if mask is not None:
        keras_private.set_mask(logits, cut(mask))
    return logits


def _batch_normalizations(model):
    kind = keras.layers.BatchNormalization
    found = keras_private.all_layers(model)
    return [layer for layer in found if isinstance(layer, kind)]


def _adds_up_rows(model):
    """Whether layers take the mean of all replicas' rows."""
    return any(each.synchronized for each in _batch_normalizations(model))


def _statistics(model):
    """The variables that change with what a model sees, without a gradient."""
    return [
        variable
        for each in _batch_normalizations(model)
        for variable in each.non_trainable_variables
    ]

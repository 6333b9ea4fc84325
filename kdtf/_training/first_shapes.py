"""A student without `keras.Input`, built by what `fit` or `evaluate` is given.

Keras builds it of the first batch, once its steps are made: too late to choose
how they are compiled.
"""

import keras
import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._training import compile_policy


def build(student, x):
    """Builds a `keras.Sequential` that XLA may train, if x tells its input.

    Others are left to Keras: they gain nothing, and a layer of one's own, or
    one with a state, may need to know how large a batch is.

    Args:
      student: `keras.Model`.
      x: as in `keras.Model.fit`; arrays and data sets of one input of known
        shape tell it, generators do not.
    """
    if student.built or type(student) is not keras.Sequential:
        return
    if not compile_policy.has_fast_layers(student):
        return
    shape = _shape(x)
    if shape is None or not shape.is_fully_defined():
        return
    layers = keras_private.all_layers(student)
    if not any(getattr(each, "stateful", False) for each in layers):
        student.build((None, *shape))


def _shape(x):
    """`tf.TensorShape` of an example of numbers, or None."""
    if isinstance(x, tf.data.Dataset):
        x = x.element_spec
        x = x[0] if isinstance(x, tuple) else x
    elif hasattr(x, "__array__") and len(getattr(x, "shape", ())):
        x = tf.TensorSpec(x.shape, np.asarray(x[:1]).dtype)
    if not isinstance(x, tf.TensorSpec) or not x.shape.rank:
        return None
    return x.shape[1:] if x.dtype.is_floating or x.dtype.is_integer else None

"""Names for the types that public functions take and return.

TensorFlow and Keras ship no type information, so to a type checker their
classes are `Any`; the names still tell a reader what belongs where.
"""

from typing import TypeAlias

import numpy.typing as npt
import tensorflow as tf

Tensor: TypeAlias = tf.Tensor
TensorLike: TypeAlias = tf.Tensor | tf.Variable | npt.ArrayLike
Scalar: TypeAlias = float | tf.Tensor | tf.Variable

"""Dropout that XLA compiles well for a CPU."""

import keras
import tensorflow as tf


class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, with random words compared as integers.

    Under XLA on a CPU Keras's own draws floats so slowly that the MNIST teacher
    takes three times as long; with these it is faster than without XLA
    (`benchmarks/teacher_step.py`).
    """

    def call(self, inputs, training=False):
        """Inputs over 1 - rate, or 0 for a share of `rate` of them."""
        if not (training and self.rate):
            return inputs
        words = _random_words(inputs, self.seed_generator.next())
        threshold = tf.constant(round(self.rate * 2**32), tf.uint32)
        kept = inputs / (1.0 - self.rate)
        return tf.where(words >= threshold, kept, tf.zeros_like(inputs))


# Compiled, whatever calls it: TensorFlow has threefry for XLA alone.
@tf.function(jit_compile=True)
def _random_words(like, seed):
    """uint32 in the shape of `like`, from a seed of two integers."""
    return tf.random.stateless_uniform(
        tf.shape(like),
        tf.cast(seed, tf.int32),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg="threefry",
    )

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
        words = _own_words(inputs, self.seed_generator.next())
        threshold = tf.constant(round(self.rate * 2**32), tf.uint32)
        kept = inputs / (1.0 - self.rate)
        return tf.where(words >= threshold, kept, tf.zeros_like(inputs))


def _own_words(like, seed):
    """uint32 in the shape of `like`; a replica's are its part of a batch's.

    All replicas have the same seed: each would drop the same units of its rows.
    Where they have equally many rows, they drop together what one device would.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if context else 1
    words = _random_words(like, seed, replicas)
    if replicas == 1:
        return words
    rows = tf.shape(like)[0]
    first = context.replica_id_in_sync_group * rows
    return words[first : first + rows]


# Compiled, whatever calls it: TensorFlow has threefry for XLA alone.
@tf.function(jit_compile=True)
def _random_words(like, seed, parts):
    """uint32 in the shape of `like`, with `parts` as many rows."""
    shape = tf.shape(like)
    return tf.random.stateless_uniform(
        tf.concat([shape[:1] * parts, shape[1:]], 0) if parts > 1 else shape,
        tf.cast(seed, tf.int32),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg="threefry",
    )

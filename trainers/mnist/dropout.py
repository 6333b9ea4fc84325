"""Dropout that XLA compiles well for a CPU."""

import keras
import tensorflow as tf


class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, with random words compared as integers.

    Under XLA on a CPU Keras's own draws floats so slowly that the MNIST teacher
    takes three times as long; with these it is faster than without XLA
    (`benchmarks/teacher_step.py`).
    """

    def __init__(self, rate, seed=None, batch_size=None, name=None):
        """Builds the layer.

        Args:
          rate: float, the share that is dropped.
          seed: int, or None for a random one.
          batch_size: int, the rows of a whole batch, of which several replicas
            then drop what one device would; None where there is but one.
          name: str, or None for one of Keras's.
        """
        super().__init__(rate, seed=seed, name=name)
        self._batch_size = batch_size

    def call(self, inputs, training=False):
        """Inputs over 1 - rate, or 0 for a share of `rate` of them."""
        if not (training and self.rate):
            return inputs
        words = self._words(inputs, self.seed_generator.next())
        threshold = tf.constant(round(self.rate * 2**32), tf.uint32)
        kept = inputs / (1.0 - self.rate)
        return tf.where(words >= threshold, kept, tf.zeros_like(inputs))

    def _words(self, inputs, seed):
        """uint32 in the shape of `inputs`; a replica's are part of a batch's.

        All replicas have the same seed, with which each would drop the same.
        """
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return _random_words(inputs, seed)
        words = _random_words(inputs, seed, self._batch_size)
        # As tf.distribute divides a batch that `tf.data` did not make of rows.
        first = _part(context) * -(
            -self._batch_size // context.num_replicas_in_sync
        )
        return words[first : first + tf.shape(inputs)[0]]


def _part(context):
    """Which part of a batch a replica has: workers take turns."""
    own = len(context.strategy.extended.worker_devices)
    workers = context.num_replicas_in_sync // own
    number = context.replica_id_in_sync_group
    return number % own * workers + number // own


# Compiled, whatever calls it: TensorFlow has threefry for XLA alone.
@tf.function(jit_compile=True)
def _random_words(like, seed, rows=None):
    """uint32 in the shape of `like`, or with that many rows."""
    shape = tf.shape(like)
    return tf.random.stateless_uniform(
        shape if rows is None else tf.concat([[rows], shape[1:]], 0),
        tf.cast(seed, tf.int32),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg="threefry",
    )

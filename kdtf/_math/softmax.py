"""Softmax arithmetic in log space: pure functions on tensors.

Everything here works from logits, in float32 or better whatever the dtype of
the input, and never takes the logarithm of a probability that was already
rounded.
"""

import tensorflow as tf


def at_least_float32(values):
    """Casts half precision to float32; float32 and float64 pass unchanged.

    Args:
      values: `[...]` tensor of any floating dtype, or array-like.

    Returns:
      `[...]` float32 or float64 tensor.
    """
    values = tf.convert_to_tensor(values)
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)


def tempered_log_softmax(logits, temperature):
    """log q with q_i = exp(z_i / T) / sum_j exp(z_j / T) (paper, section 2).

    The row maximum is subtracted before the division by T, so that no digit of
    the differences between logits is lost however large the logits are.

    Args:
      logits: `[..., classes]` tensor of any floating dtype.
      temperature: scalar T > 0; a Python float, tensor or variable.

    Returns:
      `[..., classes]` float32 (or float64) log-probabilities.
    """
    logits = at_least_float32(logits)
    temperature = tf.cast(temperature, logits.dtype)
    peak = tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
    scaled = (logits - peak) / temperature
    return scaled - tf.math.log(
        tf.reduce_sum(tf.exp(scaled), axis=-1, keepdims=True)
    )


def log_weighted_mean_exp(values, weights):
    """log(sum_m weights_m exp(values_m)): a mean of probabilities in log space.

    Args:
      values: list of M tensors `[...]`, the log-probabilities of each member.
      weights: `[M]` sequence of positive floats that sum to 1.

    Returns:
      `[...]` tensor of the dtype of `values`. Minus infinity where every
      member is minus infinity, never NaN.
    """
    stacked = tf.stack(values)
    shape = [len(values)] + [1] * (stacked.shape.rank - 1)
    log_weights = tf.reshape(
        tf.math.log(tf.cast(weights, stacked.dtype)), shape
    )
    return tf.reduce_logsumexp(stacked + log_weights, axis=0)

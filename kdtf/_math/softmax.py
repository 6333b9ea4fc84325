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


def entry_weights(logits, sample_weight):
    """The weight of every entry: sample weights times the Keras mask.

    Args:
      logits: `[..., classes]` tensor, perhaps with a Keras mask `[...]` on it.
      sample_weight: None, `[batch]`, or `[...]` (with or without a trailing
        axis of 1).

    Returns:
      `[...]` float32 weights, or None where every entry weighs 1.

    Raises:
      ValueError: where the sample weights have more axes than the entries.
    """
    mask = _keras_mask(logits)
    if sample_weight is None and mask is None:
        return None
    entries = tf.shape(logits)[:-1]
    weights = tf.ones(entries)
    if sample_weight is not None:
        weights *= _align(sample_weight, logits.shape.rank - 1)
    if mask is not None:
        weights *= tf.cast(mask, tf.float32)
    return weights


def mean_over_entries(values, weights, logits):
    """sum(weights * values) / number of entries, as Keras reduces a loss.

    Under a Keras mask the divisor is the number of valid entries, else all
    entries count, whatever their weight (`sum_over_batch_size`).

    Args:
      values: `[...]` losses.
      weights: `[...]` from `entry_weights`, or None.
      logits: `[..., classes]`, the tensor that may carry the mask.

    Returns:
      Scalar of the dtype of `values`; 0 where there is no entry.
    """
    if weights is not None:
        values *= tf.cast(weights, values.dtype)
    mask = _keras_mask(logits)
    count = tf.size(values) if mask is None else tf.math.count_nonzero(mask)
    return tf.math.divide_no_nan(
        tf.reduce_sum(values), tf.cast(count, values.dtype)
    )


def class_count(model):
    """The last axis of a model's one output, where that is known."""
    try:
        return model.output_shape[-1]
    except (AttributeError, TypeError):
        return None  # a callable, or a model that was never called


def _keras_mask(tensor):
    return getattr(tensor, "_keras_mask", None)


def _align(sample_weight, rank):
    """Sample weights with their axes lined up with entries of that rank."""
    weights = tf.cast(sample_weight, tf.float32)
    if weights.shape.rank == rank + 1 and weights.shape[-1] == 1:
        weights = tf.squeeze(weights, axis=-1)
    if weights.shape.rank > rank:
        raise ValueError(
            f"`sample_weight` must have at most {rank} axes here: one weight "
            "an example or one an entry. Received: sample_weight of shape "
            f"{weights.shape}"
        )
    while weights.shape.rank < rank:
        weights = weights[..., None]
    return weights

"""What an entry of a batch is: labelled or not, dense or sparse, how heavy.

An entry is one prediction: an example, or one frame of one. Whatever asks
"has this a label?", "is this a distribution?" or "what does this weigh?" asks
here, so that losses, metrics and checks never disagree.
"""

import tensorflow as tf

from kdtf import _keras_private as keras_private


def is_dense(labels, logits):
    """Whether labels are distributions `[..., classes]`, not classes `[...]`.

    The rank decides; where it is unknown, the dtype does.

    Args:
      labels: tensor, as `fit_labels` returns it.
      logits: `[..., classes]` tensor.

    Returns:
      bool.
    """
    if labels.shape.rank is None or logits.shape.rank is None:
        return labels.dtype.is_floating
    return labels.shape.rank == logits.shape.rank


def has_class(labels):
    """Which sparse labels `[...]` name a class: all that are not negative."""
    return labels >= 0


def has_distribution(labels):
    """`[...]`: which rows of dense labels `[..., classes]` have any mass.

    A row that is all 0 or all -1 is unlabelled.
    """
    return tf.reduce_sum(labels, axis=-1) > 0


def is_labelled(labels, logits):
    """`[...]` bool: which entries have a label, dense or sparse."""
    if is_dense(labels, logits):
        return has_distribution(labels)
    return has_class(labels)


def fit_labels(labels, logits):
    """Labels as a tensor, without a trailing axis of 1 beside the logits.

    Keras's own losses allow labels `[..., 1]`; two or more classes make it
    plain that such labels are no distributions.

    Args:
      labels: None, or array-like `[...]`, `[..., 1]` or `[..., classes]`.
      logits: `[..., classes]` tensor.

    Returns:
      None, or a tensor `[...]` or `[..., classes]`.
    """
    if labels is None:
        return None
    labels = tf.convert_to_tensor(labels)
    same_rank = labels.shape.rank == logits.shape.rank
    if same_rank and labels.shape[-1] == 1 and logits.shape[-1] != 1:
        labels = tf.squeeze(labels, axis=-1)
    return labels


def entry_weights(logits, sample_weight):
    """The weight of every entry: its sample weight times the Keras mask.

    Args:
      logits: `[..., classes]` tensor, perhaps with a Keras mask `[...]` on it.
      sample_weight: None, `[batch]`, or `[...]` (with or without a trailing
        axis of 1).

    Returns:
      `[...]` float32 weights, or None if every entry weighs 1.

    Raises:
      ValueError: if the sample weights have more axes than the entries.
    """
    mask = keras_private.mask_of(logits)
    if sample_weight is None and mask is None:
        return None
    weights = tf.ones(tf.shape(logits)[:-1])
    if sample_weight is not None:
        weights *= _align(sample_weight, logits.shape.rank - 1)
    if mask is not None:
        weights *= tf.cast(mask, tf.float32)
    return weights


def labelled_weights(weights, labels, logits):
    """`weights` with 0 on unlabelled entries.

    Args:
      weights: `[...]` float32 from `entry_weights`, or None.
      labels: tensor `[...]` or `[..., classes]`.
      logits: `[..., classes]` tensor.

    Returns:
      `[...]` float32, never None.
    """
    labelled = tf.cast(is_labelled(labels, logits), tf.float32)
    return labelled if weights is None else weights * labelled


def mean_over_entries(values, weights, logits):
    """sum(weights * values) / number of entries, as Keras reduces a loss.

    Under a Keras mask the divisor is the number of valid entries; otherwise
    all entries count, whatever their weight (`sum_over_batch_size`).

    Args:
      values: `[...]` losses.
      weights: `[...]` from `entry_weights`, or None.
      logits: `[..., classes]`, the tensor that may carry the mask.

    Returns:
      Scalar of the dtype of `values`; 0 if there is no entry.
    """
    if weights is not None:
        values *= tf.cast(weights, values.dtype)
    mask = keras_private.mask_of(logits)
    count = tf.size(values) if mask is None else tf.math.count_nonzero(mask)
    return tf.math.divide_no_nan(
        tf.reduce_sum(values), tf.cast(count, values.dtype)
    )


def _align(sample_weight, rank):
    """Sample weights whose axes line up with entries of that rank."""
    weights = tf.cast(sample_weight, tf.float32)
    if weights.shape.rank == rank + 1 and weights.shape[-1] == 1:
        weights = tf.squeeze(weights, axis=-1)
    if weights.shape.rank > rank:
        raise ValueError(
            f"`sample_weight` must have at most {rank} axes here: one weight "
            "per example or one per entry. Received: sample_weight of shape "
            f"{weights.shape}"
        )
    while weights.shape.rank < rank:
        weights = weights[..., None]
    return weights

"""What an entry of a batch is: labelled or not, dense or sparse, how heavy.

An entry is one prediction: an example, or one frame of one. Whatever asks
"has this a label?", "is this a distribution?" or "what does this weigh?" asks
here, so that losses, metrics and checks never disagree.
"""

import math

import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._math import arguments, dynamic_shapes, softmax


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

    A row that is all 0 or all -1 is unlabelled. One with a NaN is not: it
    shows in the loss.
    """
    mass = tf.reduce_sum(labels, axis=-1)
    # Not `~(mass <= 0)`: graphs turn it into `mass > 0`, as if NaN were none.
    return (mass > 0) | tf.math.is_nan(mass)


def has_truth(labels):
    """Which labels of a sigmoid head are known: all that are not negative.

    NaN counts as known, here too.
    """
    return (labels >= 0) | tf.math.is_nan(labels)


def is_labelled(labels, logits):
    """`[...]` bool: which entries have a label, dense or sparse."""
    if is_dense(labels, logits):
        return has_distribution(labels)
    return has_class(labels)


def fit_labels(labels, logits):
    """Labels of classes in the one form that everything here takes.

    Keras's own losses allow labels `[..., 1]`; two or more classes make it
    plain that such labels are no distributions.

    Args:
      labels: None, or array-like `[...]`, `[..., 1]` or `[..., classes]` of
        any dtype of numbers, or bool.
      logits: `[..., classes]` tensor.

    Returns:
      None; or int32 or int64 `[...]`, at least `classes` where a label is no
      whole number; or floating `[..., classes]`.

    Raises:
      ValueError: if labels are not numeric, or their shape does not fit.
    """
    if labels is None:
        return None
    labels = _numbers(labels)
    if labels.shape.rank is None and logits.shape.rank is not None:
        # `tf.function` forgets the rank of what came in two of them.
        shape = dynamic_shape(logits)
        dense = labels.dtype.is_floating
        labels = tf.reshape(labels, shape if dense else shape[:-1])
        labels.set_shape(logits.shape if dense else logits.shape[:-1])
    same_rank = labels.shape.rank == logits.shape.rank
    if same_rank and labels.shape[-1] == 1 and logits.shape[-1] != 1:
        labels = tf.squeeze(labels, axis=-1)
    arguments.check_labels_shape(logits, labels)
    dense = is_dense(labels, logits)
    labels = in_shape(labels, logits, "labels", dense=dense)
    return softmax.at_least_float32(labels) if dense else _whole(labels)


def fit_binary_labels(labels, logits):
    """Labels of a sigmoid head in the one form that everything here takes.

    Args:
      labels: None, or array-like `[..., labels]`, or `[...]` where there is
        one label; any dtype of numbers, or bool.
      logits: `[..., labels]` tensor.

    Returns:
      None, or floating `[..., labels]`.

    Raises:
      ValueError: if labels are not numeric, or their shape does not fit.
    """
    if labels is None:
        return None
    labels = _numbers(labels)
    if labels.shape.rank is None:
        labels = tf.reshape(labels, tf.shape(logits))
    elif labels.shape.rank + 1 == logits.shape.rank and logits.shape[-1] == 1:
        labels = labels[..., None]
    arguments.check_binary_labels_shape(logits, labels)
    labels = in_shape(labels, logits, "labels")
    return softmax.at_least_float32(labels)


def same_shape(student_logits, teacher_logits):
    """Teacher logits, of the shape of the student's.

    Raises:
      ValueError: if the static shapes cannot be the same.
    """
    arguments.check_same_shape(student_logits, teacher_logits)
    return in_shape(teacher_logits, student_logits, "teacher_logits")


def in_shape(values, logits, argument, *, dense=True):
    """What belongs to logits, and has their shape in each batch, too.

    Args:
      values: tensor, whose static shape fits.
      logits: `[..., classes]` tensor.
      argument: str, what errors call the values.
      dense: whether they are `[..., classes]`, and not `[...]`.
    """
    if None in (values.shape.rank, logits.shape.rank):
        return values
    axes = slice(None if dense else -1)
    return dynamic_shapes.require(
        values,
        logits.shape[axes],
        lambda: dynamic_shape(logits)[axes],
        argument,
    )


def dense_labels(labels, logits):
    """Labels as distributions.

    Args:
      labels: `[...]` or `[..., classes]`, as `fit_labels` gives them.
      logits: `[..., classes]` float32 or float64.

    Returns:
      `[..., classes]` of the dtype of `logits`; 0 in unlabelled rows, NaN in
      those whose label is no class.
    """
    if is_dense(labels, logits):
        labels = tf.cast(labels, logits.dtype)
        labelled = has_distribution(labels)[..., None]
        return tf.where(labelled, labels, tf.zeros_like(labels))
    classes = logits.shape[-1] or tf.shape(logits)[-1]
    in_range = labels < tf.cast(classes, labels.dtype)
    one_hot = tf.one_hot(labels, classes, dtype=logits.dtype)
    return tf.where(in_range[..., None], one_hot, one_hot * math.nan)


def mass_at(labels, classes, logits):
    """How much of each label lies on one class.

    Args:
      labels: `[...]` or `[..., classes]`, as `fit_labels` gives them.
      classes: `[...]` int64, a class for each entry.
      logits: `[..., classes]` float32 or float64.

    Returns:
      `[...]` of the dtype of `logits`; NaN where a label is no class.
    """
    if is_dense(labels, logits):
        rank = classes.shape.rank
        mass = tf.gather(labels, classes, axis=-1, batch_dims=rank)
        return tf.cast(mass, logits.dtype)
    width = tf.shape(logits, tf.int64)[-1]
    labels = tf.cast(labels, tf.int64)
    same = tf.cast(tf.equal(labels, classes), logits.dtype)
    return tf.where(labels < width, same, tf.constant(math.nan, logits.dtype))


def _numbers(values, argument="labels"):
    """Labels or weights as a tensor of numbers, or of bools."""
    values = tf.convert_to_tensor(values)
    dtype = values.dtype
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise no_numbers(argument, dtype.name)
    return values


def no_numbers(argument, dtype):
    """The ValueError that says so of an argument of that dtype."""
    return ValueError(
        f"`{argument}` must be numbers: keras.layers.StringLookup and "
        "numpy.unique(names, return_inverse=True) turn names into classes. "
        f"Received: {argument} of dtype {dtype}"
    )


def _whole(labels):
    """Classes as int32 or int64.

    Narrow or unsigned integers would wrap around where they are compared with
    the number of classes.
    """
    dtype = labels.dtype
    if dtype in (tf.int32, tf.int64):
        return labels
    if dtype.is_floating:
        whole = tf.equal(tf.floor(labels), labels) & (tf.abs(labels) < 2**31)
        labels = tf.where(whole, labels, tf.zeros_like(labels))
        return tf.where(whole, tf.cast(labels, tf.int32), tf.int32.max)
    if dtype == tf.uint64:  # the upper half would become negative
        labels = tf.minimum(labels, tf.constant(2**63 - 1, tf.uint64))
    wide = dtype in (tf.uint32, tf.uint64)
    return tf.cast(labels, tf.int64 if wide else tf.int32)


def entry_weights(logits, sample_weight):
    """The weight of every entry: its sample weight times the Keras mask.

    Args:
      logits: `[..., classes]` tensor, perhaps with a Keras mask `[...]` on it.
      sample_weight: None, `[batch]`, or `[...]` (with or without a trailing
        axis of 1).

    Returns:
      `[...]` float32 weights, or None if every entry weighs 1.

    Raises:
      ValueError: if the sample weights are no numbers, or they or the mask
        have not the shape of the entries.
    """
    mask = keras_private.mask_of(logits)
    if sample_weight is None and mask is None:
        return None
    shape = logits.shape[:-1]
    weights = tf.ones(dynamic_shape(logits)[:-1])
    if sample_weight is not None:
        weights *= fit_weights(sample_weight, shape, "sample_weight")
    if mask is not None:
        if not shape.is_compatible_with(mask.shape):
            raise ValueError(
                "`logits` must have a Keras mask of their shape without the "
                "last axis: a layer that pools masked entries must return None "
                f"from `compute_mask`. Received: a mask of shape {mask.shape} "
                f"on logits of shape {logits.shape}"
            )
        weights *= tf.cast(mask, tf.float32)
    return weights


def labelled_weights(weights, labelled):
    """`weights`, less on what is not labelled.

    Args:
      weights: `[...]` float32 from `entry_weights`, or None.
      labelled: `[...]` float32 from 0 to 1; see `heads`.

    Returns:
      `[...]` float32, never None.
    """
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
    return tf.math.divide_no_nan(
        tf.reduce_sum(values), tf.cast(entry_count(logits), values.dtype)
    )


def entry_count(logits):
    """How many entries count: all, or those that a Keras mask leaves.

    Args:
      logits: `[..., classes]`, the tensor that may carry the mask.

    Returns:
      Scalar of an integer dtype.
    """
    mask = keras_private.mask_of(logits)
    if mask is not None:
        return tf.math.count_nonzero(mask)
    return tf.reduce_prod(dynamic_shape(logits)[:-1])


def fit_weights(weights, shape, argument):
    """Weights whose axes line up with entries of that shape.

    Args:
      weights: array-like, `[...]` or of the first axes of it.
      shape: `tf.TensorShape` of known rank, of the entries.
      argument: str, what errors call them.

    Returns:
      float32 of as many axes.

    Raises:
      ValueError: if they are no numbers, or do not fit.
    """
    weights = tf.cast(_numbers(weights, argument), tf.float32)
    rank = shape.rank
    if weights.shape.rank == rank + 1 and weights.shape[-1] == 1:
        weights = tf.squeeze(weights, axis=-1)
    fits = weights.shape.rank <= rank and all(
        given in (size, None) or size is None or (axis and given == 1)
        for axis, (given, size) in enumerate(
            zip(weights.shape, shape, strict=False)
        )
    )
    if not fits:
        raise ValueError(
            f"`{argument}` must have at most {rank} axes here: one weight "
            f"per example or one per entry, of which there are {shape}. "
            f"Received: {argument} of shape {weights.shape}"
        )
    while weights.shape.rank < rank:
        weights = weights[..., None]
    return weights


def dynamic_shape(logits):
    """The shape of logits, a tensor; also of `linear_logits.Unmade`."""
    known = getattr(logits, "dynamic_shape", None)
    return tf.shape(logits) if known is None else known()

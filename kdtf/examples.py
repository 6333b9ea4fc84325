"""Data sets as a store of soft targets sees them: x, its order, its checksums.

An element is `x`, `(x, y)` or `(x, y, sample_weight)`, as everywhere in Keras;
x is a tensor or a structure of tensors.
"""

import keras
import tensorflow as tf


def inputs(element):
    """The x of an element, or of an element spec."""
    return keras.utils.unpack_x_y_sample_weight(element)[0]


def signature(dataset):
    """What one example looks like, for a batched data set: a list of strings.

    Raises:
      ValueError: where x holds anything but dense tensors with a batch axis.
    """
    return [_describe(s, s.shape[1:]) for s in _specs(dataset)]


def is_batched(dataset, examples):
    """Whether a data set holds batches of such examples, or single ones.

    Args:
      dataset: a `tf.data.Dataset`.
      examples: what `signature` returned.

    Raises:
      ValueError: where it holds neither.
    """
    specs = _specs(dataset)
    if [_describe(s, s.shape[1:]) for s in specs] == examples:
        return True
    received = [_describe(s, s.shape) for s in specs]
    if received == examples:
        return False
    raise ValueError(
        "`dataset` must hold the examples that the soft targets were written "
        f"for, {examples}, alone or in batches. Received: a data set of "
        f"{received}"
    )


def checksums(x):
    """32 bits of every example's bytes.

    Args:
      x: a batch: a tensor `[batch, ...]`, or a structure of them.

    Returns:
      `[batch]` int32.
    """
    parts = [tf.fingerprint(tensor) for tensor in tf.nest.flatten(x)]
    if len(parts) > 1:
        parts = [tf.fingerprint(tf.concat(parts, axis=1))]
    return tf.bitcast(parts[0][:, :4], tf.int32)


def view(dataset, index, augment):
    """The data set as view `index` of `augment` shows it.

    Args:
      dataset: a batched `tf.data.Dataset`.
      index: int.
      augment: function (x, seed) -> x of one example, with an int32 seed `[2]`
        that is made of the example's position and of `index`; or None.

    Returns:
      A `tf.data.Dataset` of the same elements with another x.
    """
    if augment is None:
        return dataset

    def count(position, element):
        return position + _size(inputs(element)), (position, element)

    def show(position, element):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(element)
        positions = position + tf.range(_size(x))
        seeds = tf.stack([positions, tf.fill([_size(x)], index)], axis=1)
        x = _each(augment, x, seeds)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    return dataset.scan(tf.constant(0), count).map(
        show, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def batch_size(dataset):
    """How many examples the first batch of a data set has."""
    static = _specs(dataset)[0].shape[0]
    if static is not None:
        return static
    return int(_size(inputs(next(iter(dataset.take(1))))))


def in_batches(dataset, size):
    """An unbatched data set in batches; of 1 where examples differ in shape."""
    specs = tf.nest.flatten(dataset.element_spec)
    alike = all(
        isinstance(s, tf.TensorSpec) and s.shape.is_fully_defined()
        for s in specs
    )
    return dataset.batch(size if alike else 1)


def _size(x):
    return tf.shape(tf.nest.flatten(x)[0])[0]


def _each(augment, x, seeds):
    """`augment` of every example of a batch."""
    one = tf.nest.map_structure(
        lambda t: tf.TensorSpec(t.shape[1:], t.dtype), (x, seeds)
    )
    shown = tf.function(augment).get_concrete_function(*one).structured_outputs
    return tf.map_fn(
        lambda example: augment(*example),
        (x, seeds),
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype), shown
        ),
    )


def _specs(dataset):
    specs = tf.nest.flatten(inputs(dataset.element_spec))
    if not all(isinstance(s, tf.TensorSpec) and s.shape.rank for s in specs):
        raise ValueError(
            "`dataset` must hold dense tensors of known rank as x. "
            f"Received: a data set of {dataset.element_spec}"
        )
    return specs


def _describe(spec, shape):
    return f"{spec.dtype.name} {list(shape)}"

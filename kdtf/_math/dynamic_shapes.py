"""Shapes that only a running graph knows.

Where static shapes leave an axis open, as a data set's of variable length do,
tensors that do not belong together would broadcast.
"""

import tensorflow as tf


def require(values, static, dynamic, argument):
    """A tensor that has a shape, or fails where the graph is run.

    Args:
      values: tensor, whose static shape is compatible with that one.
      static: `tf.TensorShape` of known rank, as far as it is known.
      dynamic: function without arguments to the shape, a tensor.
      argument: str, what errors call the tensor.

    Returns:
      The tensor; of that shape.
    """
    if not _is_open(values.shape, static):
        return values
    shape = dynamic()
    same = tf.reduce_all(tf.equal(tf.shape(values), shape))
    said = (
        f"`{argument}` must have the shape {static} of what the student gives "
        "in each batch: others would be broadcast. Received: "
        f"{argument} of another shape"
    )
    checked = tf.debugging.Assert(same, [said], name=f"shape_of_{argument}")
    with tf.control_dependencies([checked]):
        # XLA leaves the assertion out, but makes no values into none. Were it
        # the shape alone, TensorFlow would take the reshape's word for it, and
        # leave out both.
        shape = tf.where(same, shape, tf.zeros_like(shape))
        values = tf.reshape(values, shape)
    values.set_shape(static)
    return values


def _is_open(ours, theirs):
    """Whether shapes that are compatible may differ, and so broadcast.

    Batches are taken to be of one size where nothing tells it of either.
    """
    pairs = list(zip(ours, theirs, strict=True))
    return any(None in pair for pair in pairs[1:]) or pairs[:1] in (
        [(1, None)],
        [(None, 1)],
    )

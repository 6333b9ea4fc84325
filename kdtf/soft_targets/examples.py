"""A data set from the store's point of view: x, its order, its checksums.

An element is `x`, `(x, y)` or `(x, y, sample_weight)`, as everywhere in Keras;
x is a tensor or a structure of tensors.
"""

import hashlib

import keras
import tensorflow as tf

from kdtf.soft_targets import format as store_format

EXAMPLES_OF_START = 64

# Launching an operation costs more than what it does to a small batch.
_EXAMPLES_AT_ONCE = 4096
_BYTES_AT_ONCE = 2**22


def inputs(element):
    """The x of an element, or of an element spec."""
    return keras.utils.unpack_x_y_sample_weight(element)[0]


def signature(dataset):
    """Dtype and shape of one example, for a batched data set: list of strings.

    Raises:
      ValueError: if x holds anything but dense tensors with a batch axis.
    """
    return [_describe(s, s.shape[1:]) for s in _specs(dataset, axes=1)]


def is_batched(dataset, examples):
    """Whether a data set holds batches of such examples, or single ones.

    Args:
      dataset: a `tf.data.Dataset`.
      examples: what `signature` returned.

    Raises:
      ValueError: if it holds neither.
    """
    specs = _specs(dataset)
    may_be = all(s.shape.rank > 0 for s in specs)
    if may_be and [_describe(s, s.shape[1:]) for s in specs] == examples:
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


def view(dataset, index, augment, *, first=0, skip=0):
    """View `index` of the data set, augmented.

    Args:
      dataset: a batched `tf.data.Dataset`.
      index: int.
      augment: function (x, seed) -> x of one example, with an int32 seed `[2]`
        made of the example's position and `index`; or None.
      first: int, or scalar int64 tensor, the position of the data set's first
        example.
      skip: int, how many batches to leave out at the start: they are counted,
        and not augmented.

    Returns:
      A `tf.data.Dataset` of the same elements with another x.
    """
    if augment is None:
        return dataset.skip(skip)

    @tf.autograph.experimental.do_not_convert
    def count(position, element):
        rows = tf.cast(_size(inputs(element)), tf.int64)
        return position + rows, (position, element)

    def show(position, element):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(element)
        x = augmented(augment, x, seeds(position, _size(x), index))
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    placed = dataset.scan(tf.cast(first, tf.int64), count)
    return placed.skip(skip).map(
        show, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def seeds(position, rows, view):
    """What `augment` gets for each of a batch's examples: `[rows, 2]` int32.

    The position and the view. A position takes 64 bits: the upper ones count
    in the upper half of the view's number, where they are 0 below 2^32, so
    that no two examples and views share a seed.

    Args:
      position: scalar int64 tensor below 2^47, of the first example.
      rows: int, or scalar int32 tensor.
      view: int below `format.MAX_VIEWS`.
    """
    positions = position + tf.range(tf.cast(rows, tf.int64))
    low, high = tf.unstack(tf.bitcast(positions, tf.int32), axis=1)
    return tf.stack([low, view + high * store_format.MAX_VIEWS], axis=1)


def prompt(dataset):
    """The data set without the thread that tunes its buffers.

    It sleeps for up to half a second at a time, and an iterator that ends waits
    for it to wake up.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def size(x):
    """How many examples a batch of values has: int."""
    return int(_size(x))


def start(dataset):
    """The x of a data set's first batch, and a hash of its first examples.

    Of some more than the first batch, if that is small: a data set that is
    shuffled may begin with the same few examples again.

    Returns:
      x, None if there is no batch; str.
    """
    first, count, digest = None, 0, hashlib.sha256()
    for element in prompt(dataset):
        x = inputs(element)
        first = x if first is None else first
        digest.update(checksums(x).numpy().tobytes())
        count += size(x)
        if count >= EXAMPLES_OF_START:
            break
    return first, digest.hexdigest()


def checksums_of(dataset):
    """The checksums of all examples of a batched data set: list of int."""
    return [
        checksum
        for element in prompt(dataset)
        for checksum in checksums(inputs(element)).numpy().tolist()
    ]


def batch_size(dataset):
    """How many examples the first batch of a data set has."""
    static = _specs(dataset)[0].shape[0]
    if static is not None:
        return static
    for element in prompt(dataset.take(1)):
        return size(inputs(element))
    raise ValueError("`dataset` must not be empty. Received: no batch")


def at_once(dataset, *, batched, beside=0):
    """How many examples one operation should handle.

    Args:
      dataset: a `tf.data.Dataset`.
      batched: whether it holds batches.
      beside: int, bytes of what there is of an example beside the data set.

    Returns:
      int; 1 if examples may differ in shape, and so cannot be stacked.
    """
    bytes_an_example = 1 + beside
    for spec in tf.nest.flatten(dataset.element_spec):
        # Of None; TensorFlow 2.20 has no public name for it.
        if type(spec).__name__ == "NoneTensorSpec":
            continue
        shape = getattr(spec, "shape", tf.TensorShape(None))
        shape = shape[1:] if batched else shape
        if not (isinstance(spec, tf.TensorSpec) and shape.is_fully_defined()):
            return 1
        bytes_an_example += shape.num_elements() * (spec.dtype.size or 1)
    return max(1, min(_EXAMPLES_AT_ONCE, _BYTES_AT_ONCE // bytes_an_example))


def _size(x):
    return tf.shape(tf.nest.flatten(x)[0])[0]


def augmented(augment, x, seeds):
    """`augment` of every example of a batch."""
    one = tf.nest.map_structure(
        lambda t: tf.TensorSpec(t.shape[1:], t.dtype), (x, seeds)
    )
    try:
        traced = tf.function(augment).get_concrete_function(*one)
    except (TypeError, AttributeError, NotImplementedError) as error:
        # Also what Python and NumPy say of a tensor of a graph.
        raise ValueError(
            "`augment` must be a function (x, seed) of one example and an "
            "int32 seed of shape [2], made of TensorFlow's operations, not "
            f"NumPy's. Received: {augment!r}, which raised "
            f"{type(error).__name__}: {error}"
        ) from error
    shown = traced.structured_outputs
    if not all(map(tf.is_tensor, tf.nest.flatten(shown))):
        raise ValueError(
            "`augment` must return the example, a tensor or a structure of "
            f"them. Received: {augment!r}, which returned {shown!r}"
        )
    return tf.map_fn(
        lambda example: augment(*example),
        (x, seeds),
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype), shown
        ),
    )


def _specs(dataset, axes=0):
    """The specs of x, each with so many axes at least."""
    specs = tf.nest.flatten(inputs(dataset.element_spec))
    if not all(
        isinstance(s, tf.TensorSpec)
        and s.shape.rank is not None
        and s.shape.rank >= axes
        for s in specs
    ):
        raise ValueError(
            "`dataset` must hold dense tensors of known rank as x. "
            f"Received: a data set of {dataset.element_spec}"
        )
    return specs


def _describe(spec, shape):
    return f"{spec.dtype.name} {list(shape)}"

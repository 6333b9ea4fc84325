"""LinearLogits: what makes logits, in place of the logits.

The logits of a large vocabulary are hidden states times a kernel, and much
larger than both. `linear_loss` makes them a few rows at a time.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from kdtf._math import arguments
from kdtf._math.top_logits import TopLogits


class LinearLogits(NamedTuple):
    """Logits `[..., classes]` that are hidden @ kernel + bias, not yet made.

    Attributes:
      hidden: `[..., d]` floating; the products are in its dtype.
      kernel: `[d, classes]` floating, or `[classes, d]` if `transposed`.
      bias: `[classes]` floating, or None.
      transposed: bool, whether the kernel is an embedding, `[classes, d]`,
        that the hidden states are multiplied with; it is not copied.

    Example:
      >>> teacher = kdtf.losses.LinearLogits([[1.0, 2.0]], np.eye(2, 3))
      >>> loss = kdtf.losses.linear_distillation_loss(
      ...     [[1.0]], [[1.0, 2.0, 0.0]], teacher,
      ...     temperature=1.0, soft_weight=1.0, hard_weight=0.0)
      >>> loss.numpy().round(4)
      np.float32(0.0)
    """

    hidden: Any
    kernel: Any
    bias: Any = None
    transposed: bool = False


def as_tensors(logits, prefix=""):
    """`LinearLogits` of tensors whose shapes are known to fit.

    Args:
      logits: `LinearLogits` of anything that becomes a tensor.
      prefix: str, put before the names of its parts in errors.

    Returns:
      `LinearLogits`, kernel and bias as they are and not in the dtype of the
      hidden states.

    Raises:
      ValueError: if shapes or dtypes do not fit, or are not known.
    """
    if not isinstance(logits.transposed, bool):
        raise ValueError(
            f"`{prefix}transposed` must be True or False. "
            f"Received: transposed={logits.transposed!r}"
        )
    hidden, kernel, bias = (
        None if part is None else tf.convert_to_tensor(part)
        for part in logits[:3]
    )
    _require_floats(f"{prefix}hidden", hidden, "[..., d]")
    _require_floats(f"{prefix}kernel", kernel, "[d, classes]")
    known = hidden.shape.rank and kernel.shape.rank == 2
    width, classes = kernel.shape if known else (None, None)
    if logits.transposed:
        width, classes = classes, width
    if None in (width, classes) or hidden.shape[-1] not in (width, None):
        raise ValueError(
            f"`{prefix}kernel` must be of shape [d, classes], or [classes, d] "
            f"with transposed=True, for {prefix}hidden of shape [..., d], and "
            "the shape must be known. Received: kernel of shape "
            f"{kernel.shape}, transposed={logits.transposed}, hidden of shape "
            f"{hidden.shape}"
        )
    arguments.check_class_count(classes, f"{prefix}kernel")
    if bias is not None:
        _require_floats(f"{prefix}bias", bias, "[classes]")
        if not bias.shape.is_compatible_with([classes]):
            raise ValueError(
                f"`{prefix}bias` must be of shape [classes]. Received: bias of "
                f"shape {bias.shape} for {classes} classes"
            )
    return LinearLogits(hidden, kernel, bias, logits.transposed)


def _require_floats(argument, tensor, shape):
    if not tensor.dtype.is_floating:
        raise ValueError(
            f"`{argument}` must be floating numbers of shape {shape}. "
            f"Received: {tensor.dtype.name} of shape {tensor.shape}"
        )


class Unmade:
    """Logits `[..., classes]` that are known by what they are made of.

    Stands for them where only their shape and mask are asked for.

    Attributes:
      parts: the `LinearLogits`, of tensors.
      shape: `tf.TensorShape`.
      dtype: of the hidden states.
      rows_at_a_time: int, or None where no loss is asked for.
      training: whether gradients are.
      rows: None, and what is known of each row once there is a loss of them.
    """

    def __init__(self, parts, rows_at_a_time=None, training=False):
        self.parts = parts
        self.rows_at_a_time, self.training = rows_at_a_time, training
        classes = parts.kernel.shape[0 if parts.transposed else -1]
        self.shape = parts.hidden.shape[:-1].concatenate([classes])
        self.dtype = parts.hidden.dtype
        self.rows = None

    def dynamic_shape(self):
        """The shape as a tensor; see `entries.dynamic_shape`."""
        hidden = tf.shape(self.parts.hidden)
        return tf.concat([hidden[:-1], self.shape[-1:]], 0)


def made(logits):
    """The logits `[rows, classes]` of what `flat` returned."""
    hidden, kernel, bias, transposed = logits
    product = tf.matmul(hidden, kernel, transpose_b=transposed)
    return product if bias is None else product + bias


def flat(values, rows):
    """Values, or logits of any kind, with one axis of rows.

    Args:
      values: `[..., n]`, `LinearLogits` or `TopLogits`.
      rows: int or scalar, how many there must be.
    """
    if isinstance(values, LinearLogits):
        hidden, kernel, bias, transposed = values
        # Cast here, once, and not in every pass.
        kernel = tf.cast(kernel, hidden.dtype)
        bias = None if bias is None else tf.cast(bias, hidden.dtype)
        return LinearLogits(flat(hidden, rows), kernel, bias, transposed)
    if isinstance(values, TopLogits):
        logits, classes, tail = values
        return TopLogits(
            flat(logits, rows), flat(classes, rows), tf.reshape(tail, [rows])
        )
    width = values.shape[-1]
    return tf.reshape(
        values, [rows, tf.shape(values)[-1] if width is None else width]
    )


class Division(NamedTuple):
    """How rows are divided into passes of one size.

    The last pass ends with the last row, and so may go over a few rows again:
    all that a compiler has to know is one size, and nothing is padded.

    Attributes:
      rows: int or scalar int32, how many rows there are.
      number: likewise, of passes; 1 if there is no row.
      size: likewise, the rows of a pass.
    """

    rows: Any
    number: Any
    size: Any

    @classmethod
    def of(cls, hidden, rows_at_a_time):
        """The division of `[..., d]` hidden states; ints where they do."""
        rows = hidden.shape[:-1].num_elements()
        larger = max
        if rows is None:
            rows, larger = tf.reduce_prod(tf.shape(hidden)[:-1]), tf.maximum
        number = larger(1, -(-rows // rows_at_a_time))
        return cls(rows, number, -(-rows // number))

    def first(self, i):
        """The first row of pass i."""
        return tf.minimum(i * self.size, self.rows - self.size)

    def is_new(self, i):
        """`[size]` bool: which rows of pass i no pass before has gone over."""
        return self.first(i) + tf.range(self.size) >= i * self.size

    def cut(self, values, i):
        """What pass i goes over, `[size, ...]`.

        Args:
          values: `[rows, ...]`, or flat logits of any kind.
          i: scalar int32.
        """
        if isinstance(values, LinearLogits):
            return values._replace(hidden=self.cut(values.hidden, i))
        if isinstance(values, TopLogits):
            return TopLogits(*(self.cut(part, i) for part in values))
        # Sizes are given: XLA pads what it slices to the end of an axis.
        sizes = [
            tf.shape(values)[axis] if size is None else size
            for axis, size in enumerate(values.shape)
        ][1:]
        found = tf.slice(
            values,
            tf.stack([self.first(i), *(0 for _ in sizes)]),
            tf.stack([self.size, *sizes]),
        )
        return tf.ensure_shape(found, [self.static_size, *values.shape[1:]])

    @property
    def static_size(self):
        """The rows of a pass, an int, or None where that is not known."""
        return self.size if isinstance(self.size, int) else None

    def loop(self, one, kinds, state):
        """Calls a function for every pass, and joins what it finds of rows.

        Args:
          one: function of i and a state to `(found, state)`, with a dict of
            `[size, ...]`.
          kinds: dict from the names of what is found to dtype and shape of a
            row.
          state: list of tensors.

        Returns:
          `(found, state)`: a dict of `[rows, ...]`, and the last state.
        """
        arrays = {
            name: tf.TensorArray(
                dtype, self.number, element_shape=[self.static_size, *shape]
            )
            for name, (dtype, shape) in kinds.items()
        }

        def body(i, arrays, state):
            found, state = one(i, state)
            written = {n: a.write(i, found[n]) for n, a in arrays.items()}
            return i + 1, written, state

        _, arrays, state = tf.while_loop(
            lambda i, *_: i < self.number,
            body,
            (tf.constant(0), arrays, state),
            parallel_iterations=1,
        )
        return {n: self._joined(a.stack()) for n, a in arrays.items()}, state

    def _joined(self, found):
        """`[rows, ...]` of `[number, size, ...]`, what each pass has found."""
        shape = tf.concat([[self.number * self.size], tf.shape(found)[2:]], 0)
        found = tf.reshape(found, shape)
        if self.static_size and self.number * self.size == self.rows:
            return found  # not a copy
        before = self.rows - self.size
        return tf.concat([found[:before], found[before - self.rows :]], axis=0)

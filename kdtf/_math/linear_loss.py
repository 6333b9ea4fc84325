"""The last linear layer and the loss as one: logits are never there as a whole.

Rows are taken a few at a time. A pass over them makes their logits, the values
of the loss, and at once what they add to the gradients by hidden states, kernel
and bias, which are all that is kept for the backward pass. So the loss is one
number: what each row is multiplied with must be known in the forward pass.

The kernel's gradient is a sum over all passes. It is accumulated in float32 or
better and rounded once: in bfloat16 its error would grow with their number.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from kdtf._math import (
    arguments,
    entries,
    heads,
    linear_logits,
    loss_kernels,
    terms,
)
from kdtf._math.linear_logits import LinearLogits
from kdtf._math.top_logits import TopLogits

_HEAD = heads.of("softmax")
# In float16 slopes are multiplied with what makes the largest this, about: far
# from its largest number, 65,504, and as far from where its digits end.
_HALF = 256.0
_BLOCK = 2**20  # logits, of which a dozen copies are small beside a pass


class Settings(NamedTuple):
    """The scalars that a loss depends on; see `losses.distillation_loss`."""

    temperature: Any
    soft_weight: Any
    hard_weight: Any


class Batch(NamedTuple):
    """What the rows of a student's logits are compared with.

    Attributes:
      teacher: logits `[..., classes]`, `LinearLogits` or `TopLogits`, of
        tensors; or None.
      labels: `[...]` or `[..., classes]`, of `entries.fit_labels`; or None.
      weights: `[...]` floating.
    """

    teacher: Any
    labels: Any
    weights: Any


class Rows(NamedTuple):
    """What is known of every row, `[rows]` each; no gradient flows to them.

    Attributes:
      total: the loss, in float32 or better.
      soft: KL(teacher || student) at T, or None without a teacher.
      hard: cross-entropy with the labels, or None without labels.
      choice: int64, the student's most probable class, if asked for.
      teacher_choice: int64, the teacher's; None without one.
    """

    total: Any
    soft: Any = None
    hard: Any = None
    choice: Any = None
    teacher_choice: Any = None


def weighted_sum(
    student, batch, settings, rows_at_a_time, *, slopes=True, choices=False
):
    """sum(weights * losses) over all rows, and what is known of each row.

    Args:
      student: `LinearLogits` of tensors, hidden `[..., d]`.
      batch: `Batch`; teacher and labels not both None.
      settings: `Settings`.
      rows_at_a_time: int, the most rows whose logits are there at once.
      slopes: bool, whether gradients will be asked for.
      choices: bool, whether the `Rows` tell what classes are chosen.

    Returns:
      `(sum, Rows)`: a scalar of float32 or float64, which can be differentiated
      once, by hidden states, kernel and bias of the student; and the `Rows`.
    """
    parts = [part for part in student[:3] if part is not None]
    names: list = []

    @tf.custom_gradient
    def values(*parts):
        passes = _Passes(
            LinearLogits(*parts, *student[len(parts) :]),
            batch,
            settings,
            rows_at_a_time,
            choices,
        )
        # A tape around a function that was traced would try to get through
        # the loop, whose gradients are made already.
        rows, sums = tf.nest.map_structure(tf.stop_gradient, passes.run(slopes))
        names[:] = rows
        total = tf.reduce_sum(passes.weights * rows["total"])

        def gradient(upstream, *_):
            by_hidden, *others = passes.gradients(sums, upstream)
            # The shape of what is there, and not of what was: handed over as
            # numbers it would be no constant to XLA.
            by_hidden = tf.reshape(by_hidden, tf.shape(parts[0]))
            return _once([by_hidden, *others], upstream, *parts)

        return (total, *rows.values()), gradient

    total, *rows = values(*parts)
    return total, Rows(**dict(zip(names, rows, strict=True)))


def _once(gradients, *arguments):
    """Gradients that say so where they are differentiated themselves."""

    @tf.custom_gradient
    def first_order(*arguments):
        del arguments

        def second(*_):
            raise ValueError(
                "The loss of a linear layer that is fused with it must be "
                "differentiated once: its logits are gone by then. Take "
                "`kdtf.losses.distillation_loss` of logits where second "
                "derivatives are needed. Received: a gradient of a gradient"
            )

        return gradients, second

    return first_order(*arguments)


class _Passes:
    """The passes over the rows of a batch.

    Attributes:
      weights: `[rows]` float32 or float64.
    """

    def __init__(self, student, batch, settings, rows_at_a_time, choices):
        self._dtypes = [p.dtype for p in student[:3] if p is not None]
        self._division = linear_logits.Division.of(
            student.hidden, rows_at_a_time
        )
        self._student = linear_logits.flat(student, self._division.rows)
        self._teacher, self._labels, weights = _flat(
            batch, student, self._division.rows
        )
        half = student.hidden.dtype.size == 2
        self._exact = tf.float32 if half else student.hidden.dtype
        self.weights = tf.cast(weights, self._exact)
        self._settings = [
            loss_kernels.scalar(each, self.weights) for each in settings
        ]
        self._choices = choices
        self._scale = self._scale_of_slopes()

    def run(self, slopes):
        """Goes over all rows.

        Args:
          slopes: bool, whether to add them up.

        Returns:
          `(rows, sums)`: dict of what `Rows` holds; and a list of the slopes
          by hidden states, kernel and, if there is one, bias; or [].
        """

        def one(i, sums):
            found = self._pass(i, slopes)
            if slopes:
                slope = found.pop("slope")
                found["hidden"] = self._by_hidden(slope)
                sums = self._added(sums, slope, i)
            return found, sums

        kinds = self._kinds()
        if slopes:
            hidden = self._student.hidden
            kinds["hidden"] = hidden.dtype, hidden.shape[1:]
        zeros = self._zeros() if slopes else []
        rows, sums = self._division.loop(one, kinds, zeros)
        if slopes:
            sums = [rows.pop("hidden"), *sums]
        return rows, sums

    def _pass(self, i, slopes):
        """What `Rows` holds of pass i, and "slope" by its logits if asked for.

        Logits are made, and slopes multiplied, of all rows of a pass. What is
        between is done block by block, so that a compiler which keeps what is
        between as well, XLA on a CPU, keeps it of a block.
        """
        student, teacher, labels, weights = (
            None if each is None else self._division.cut(each, i)
            for each in (
                self._student,
                self._teacher,
                self._labels,
                self.weights,
            )
        )
        logits = linear_logits.made(student)
        if isinstance(teacher, LinearLogits):
            teacher = linear_logits.made(teacher)
        blocks = linear_logits.Division.of(
            logits, _rows_of_block(logits.shape[-1])
        )

        def one(j, nothing):
            z, v, y, w = (
                None if each is None else blocks.cut(each, j)
                for each in (logits, teacher, labels, weights)
            )
            found, terms_ = self._losses(z, v, y)
            if slopes:
                upstreams = self._upstreams(w * self._scale)
                found["slope"] = terms.slope(terms_, upstreams, z.dtype)
            return found, nothing

        kinds = self._kinds()
        if slopes:
            kinds["slope"] = logits.dtype, logits.shape[1:]
        return blocks.loop(one, kinds, [])[0]

    def gradients(self, sums, upstream):
        """Of the weighted sum of all losses, in the dtypes of the parts.

        Args:
          sums: of `run`.
          upstream: scalar.
        """
        factor = upstream / self._scale
        return [
            tf.cast(factor * tf.cast(each, self._exact), dtype)
            for each, dtype in zip(sums, self._dtypes, strict=True)
        ]

    def _scale_of_slopes(self):
        """What slopes are multiplied with while they are in half precision.

        What the whole loss is multiplied with comes after them, and with it
        what optimizers choose for float16 to lose no digits.
        """
        scale = tf.constant(1.0, self._exact)
        if self._student.hidden.dtype != tf.float16:
            return scale
        # No slope of the soft term is larger than 1 / T, of the hard one 1.
        bound = self._mean(scale / self._settings[0], scale)
        bound *= tf.reduce_max(tf.abs(self.weights))
        return tf.where(bound > 0, _HALF / bound, scale)

    def _losses(self, z, teacher, labels):
        """Dict of what `Rows` holds of some rows, and the terms of the loss."""
        found, terms_ = {}, []
        if teacher is not None:
            kernel = heads.soft_kernel(
                z, teacher, temperature=self._settings[0], head=_HEAD.name
            )
            terms_.append(kernel(z))
            found["soft"] = terms_[-1].value
            if self._choices:
                found["teacher_choice"] = _HEAD.choices(teacher)
        if labels is not None:
            kernel = heads.hard_kernel(z, labels, head=_HEAD.name)
            terms_.append(kernel(z))
            found["hard"] = terms_[-1].value
        if self._choices:
            found["choice"] = _HEAD.choices(z)
        found["total"] = self._mean(found.get("soft"), found.get("hard"))
        return found, terms_

    def _mean(self, soft, hard):
        """The loss, of what there is of its two terms; see `losses`."""
        if soft is None:
            return hard
        hard = tf.zeros_like(soft) if hard is None else hard
        return loss_kernels.weighted_mean(soft, hard, *self._settings)

    def _upstreams(self, weights):
        """What the slopes of the terms are multiplied with, `[size]` each."""
        zeros, found = tf.zeros_like(weights), []
        if self._teacher is not None:
            found.append(self._mean(weights, zeros))
        if self._labels is not None:
            soft = None if self._teacher is None else zeros
            found.append(self._mean(soft, weights))
        return found

    def _by_hidden(self, slope):
        """`[size, d]`: the gradient by hidden states of rows."""
        _, kernel, _, transposed = self._student
        return tf.matmul(slope, kernel, transpose_b=not transposed)

    def _added(self, sums, slope, i):
        """The sums by kernel and bias, with what new rows of pass i add."""
        new = self._division.is_new(i)[:, None]
        hidden = self._division.cut(self._student.hidden, i)
        # In float32 before the product, which then is added up in it.
        hidden = tf.cast(tf.where(new, hidden, 0), self._exact)
        slope = tf.cast(slope, self._exact)
        left, right = hidden, slope
        if self._student.transposed:
            left, right = slope, hidden
        by_kernel, *by_bias = sums
        by_kernel += tf.matmul(left, right, transpose_a=True)
        if by_bias:
            by_bias = [by_bias[0] + tf.reduce_sum(tf.where(new, slope, 0), 0)]
        return [by_kernel, *by_bias]

    def _zeros(self):
        """Where the sums by kernel and bias begin."""
        parts = [part for part in self._student[1:3] if part is not None]
        return [tf.zeros(part.shape, self._exact) for part in parts]

    def _kinds(self):
        """Dtype and shape of what is known of a row, by its name in `Rows`."""
        exact, choice = (self._exact, []), (tf.int64, [])
        kinds = {"total": exact}
        if self._teacher is not None:
            kinds["soft"] = exact
        if self._labels is not None:
            kinds["hard"] = exact
        if self._choices:
            kinds["choice"] = choice
            if self._teacher is not None:
                kinds["teacher_choice"] = choice
        return kinds


def _rows_of_block(classes):
    """How many rows to take at once for all but the products."""
    if tf.config.list_physical_devices("GPU"):
        return tf.int32.max  # all: nothing but slopes is stored there
    return max(8, _BLOCK // classes)


def _flat(batch, student, rows):
    """A `Batch` with one axis of rows."""
    teacher, labels, weights = batch
    if teacher is not None:
        teacher = linear_logits.flat(teacher, rows)
    if labels is not None:
        one_hot = entries.is_dense(labels, linear_logits.Unmade(student))
        shape = [rows, *labels.shape[-1:]] if one_hot else [rows]
        labels = tf.reshape(labels, shape)
    return teacher, labels, tf.reshape(weights, [rows])


def batch_for(student, teacher, labels, weights):
    """The `Batch` of what a user gave for a student's logits.

    Args:
      student: `LinearLogits` of tensors.
      teacher: as in `losses.linear_distillation_loss`, as the others are.
      labels: likewise.
      weights: likewise.

    Raises:
      ValueError: if they do not fit.
    """
    logits = linear_logits.Unmade(student)
    if labels is not None:
        labels = _HEAD.fit_labels(labels, logits)
    shape = entries.dynamic_shape(logits)[:-1]
    if weights is None:
        weights = tf.ones(shape)
    else:
        weights = entries.fit_weights(weights, logits.shape[:-1], "weights")
        weights = tf.broadcast_to(weights, shape)
    return Batch(_teacher_for(logits, teacher), labels, weights)


def _teacher_for(logits, teacher):
    """The teacher's logits of any kind, as tensors of shapes that fit."""
    if isinstance(teacher, TopLogits):
        teacher = TopLogits(*map(tf.convert_to_tensor, teacher))
        arguments.check_top_logits(logits, *teacher, argument="teacher")
        return teacher
    if isinstance(teacher, LinearLogits):
        teacher = linear_logits.as_tensors(teacher, "teacher.")
        shape = linear_logits.Unmade(teacher).shape
    else:
        teacher = tf.convert_to_tensor(teacher)
        arguments.check_logits(teacher, "teacher")
        shape = teacher.shape
    if not logits.shape.is_compatible_with(shape):
        raise ValueError(
            "`teacher` must be logits of the shape of hidden @ kernel, or "
            "LinearLogits of such, or TopLogits. Received: logits of shape "
            f"{shape}, where hidden @ kernel is of shape {logits.shape}"
        )
    return teacher

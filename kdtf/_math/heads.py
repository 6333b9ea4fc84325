"""What a model's logits stand for, and everything that depends on it.

A softmax head chooses one of several classes, which exclude each other; a
sigmoid head answers yes or no to each of its labels. Losses, metrics, teachers
and exports ask here, so that they never disagree.
"""

import functools

import tensorflow as tf

from kdtf._math import (
    arguments,
    bernoulli_kernels,
    entries,
    loss_kernels,
    softmax,
)
from kdtf._math import top_logits as tops
from kdtf._math.top_logits import TopLogits

NAMES = ("softmax", "sigmoid")


def of(name):
    """The head of that name.

    Raises:
      ValueError: if there is none.
    """
    if isinstance(name, str) and name in NAMES:
        return _HEADS[name]
    raise ValueError(
        '`head` must be "softmax" (classes that exclude each other) or '
        '"sigmoid" (labels that are there or not, each for itself). '
        f"Received: head={name!r}"
    )


class SoftmaxHead:
    """Logits `[..., classes]` of one distribution over all classes."""

    name = "softmax"

    def check_count(self, count, argument):
        """Raises ValueError if logits cannot be of that many classes.

        Args:
          count: int, or None if it is not known.
          argument: str, whose logits they are.
        """
        arguments.check_class_count(count, argument)

    def count_of_classes(self, count):
        """How many values `choices` may take, for that many logits."""
        return count

    def check_logits(self, logits, argument):
        """Raises ValueError if a tensor cannot be such logits."""
        arguments.check_logits(logits, argument)
        known = logits.shape.rank is not None
        self.check_count(logits.shape[-1] if known else None, argument)

    def fit_labels(self, labels, logits):
        """Classes `[...]` or distributions `[..., classes]`, or None."""
        return entries.fit_labels(labels, logits)

    def labelled(self, labels, logits):
        """`[...]` float32: 1 where an entry has a label, else 0."""
        return tf.cast(entries.is_labelled(labels, logits), tf.float32)

    def divergence(self, student_logits, teacher_logits, temperature):
        """Kernel of KL(teacher || student) at T; see `terms.evaluate`."""
        if isinstance(teacher_logits, TopLogits):
            top = TopLogits(*map(tf.stop_gradient, teacher_logits))
            arguments.check_top_logits(student_logits, *top)
            return functools.partial(
                tops.divergence, top=top, temperature=temperature
            )
        teacher_logits = tf.stop_gradient(teacher_logits)
        teacher_logits = entries.same_shape(student_logits, teacher_logits)
        return functools.partial(
            loss_kernels.divergence,
            teacher_logits=teacher_logits,
            temperature=temperature,
        )

    def cross_entropy(self, student_logits, labels):
        """Kernel of the cross-entropy with labels as `fit_labels` gives them.

        See `terms.evaluate`.
        """
        kernel = loss_kernels.sparse_cross_entropy
        if entries.is_dense(labels, student_logits):
            kernel = loss_kernels.dense_cross_entropy
        return functools.partial(kernel, labels=labels)

    def agreement(self, teacher_logits, logits):
        """`[...]` float32: 1 where both choose the same class.

        Args:
          teacher_logits: `[..., classes]`, or `TopLogits`.
          logits: `[..., classes]`.
        """
        # `==` would forget the shape where one of the two knows more of it.
        same = tf.equal(self.choices(teacher_logits), self.choices(logits))
        return tf.cast(same, tf.float32)

    def as_distributions(self, labels, logits):
        """Labels and logits of the distributions that metrics look at.

        Args:
          labels: as `fit_labels` gives them.
          logits: `[..., classes]`.

        Returns:
          `(labels, logits)`, the same labels.
        """
        return labels, softmax.at_least_float32(logits)

    def mean_of_members(self, logits, weights, temperature):
        """u with softmax(u / T) the mean of the members' distributions at T.

        Args:
          logits: list of `[..., classes]`, of the members.
          weights: list of floats that sum to 1.
          temperature: scalar tensor.
        """
        return temperature * softmax.log_weighted_mean_exp(
            [softmax.tempered_log_softmax(z, temperature) for z in logits],
            weights,
        )

    def classes(self, labels, logits):
        """The class of every entry, `[...]`, and the number of classes.

        Of distributions the most probable class, of unlabelled entries and
        labels that are no class any.
        """
        count = logits.shape[-1]
        if count is None:
            raise ValueError(
                "`class_weight` must be None where the logits do not tell "
                "their number of classes: weigh entries by `sample_weight`, or "
                "let the student's last layer tell it. "
                f"Received: class_weight for logits of shape {logits.shape}"
            )
        if entries.is_dense(labels, logits):
            return tf.argmax(labels, axis=-1), count
        return tf.clip_by_value(tf.cast(labels, tf.int32), 0, count - 1), count

    def probabilities(self, logits):
        """`[..., classes]` at T = 1."""
        return tf.nn.softmax(logits)

    def to_be_stored(self, logits):
        """Logits of the same softmax, of which half precision keeps more."""
        return logits - tf.reduce_max(logits, axis=-1, keepdims=True)

    def predictions(self, logits):
        """What Keras's own metrics get: logits, whose order is enough."""
        return logits

    def placeholder_labels(self, logits):
        """Labels that stand in for those that a batch does not have."""
        return tf.zeros(tf.shape(logits)[:-1], tf.int32)

    def logits_from_probabilities(self, p, floor):
        """Logits `[..., classes]` of probabilities of at least `floor`."""
        return tf.math.log(tf.maximum(p, floor))

    def choices(self, logits):
        """`[...]` int64: the most probable class; also of `TopLogits`."""
        if isinstance(logits, TopLogits):
            return tf.cast(logits.classes[..., 0], tf.int64)
        return tf.argmax(logits, axis=-1)


class SigmoidHead:
    """Logits `[..., labels]`, of which each is a distribution of its own.

    What is one number an entry is the mean over its labels.
    """

    name = "sigmoid"

    def check_count(self, count, argument):
        """Any number of labels will do."""

    def count_of_classes(self, count):
        """How many values `choices` may take: no and yes."""
        del count
        return 2

    def check_logits(self, logits, argument):
        """Raises ValueError if a tensor cannot be such logits."""
        arguments.check_logits(logits, argument)

    def fit_labels(self, labels, logits):
        """0, 1 or a probability for every label, `[..., labels]`, or None."""
        return entries.fit_binary_labels(labels, logits)

    def labelled(self, labels, logits):
        """`[...]` float32: the share of an entry's labels that are known."""
        del logits
        known = tf.cast(entries.has_truth(labels), tf.float32)
        return tf.reduce_mean(known, axis=-1)

    def divergence(self, student_logits, teacher_logits, temperature):
        """Kernel of KL(teacher || student) at T; see `terms.evaluate`."""
        if isinstance(teacher_logits, TopLogits):
            raise ValueError(
                "`teacher_logits` must be logits of all labels for a sigmoid "
                "head: the labels that TopLogits leave out are not the rest "
                "of one distribution. Received: TopLogits"
            )
        teacher_logits = tf.stop_gradient(teacher_logits)
        teacher_logits = entries.same_shape(student_logits, teacher_logits)
        return functools.partial(
            bernoulli_kernels.divergence,
            teacher_logits=teacher_logits,
            temperature=temperature,
        )

    def cross_entropy(self, student_logits, labels):
        """Kernel of the mean cross-entropy; unknown labels count as 0."""
        del student_logits
        return functools.partial(bernoulli_kernels.cross_entropy, labels=labels)

    def agreement(self, teacher_logits, logits):
        """`[...]` float32: the share of labels on which both agree."""
        same = tf.equal(self.choices(teacher_logits), self.choices(logits))
        return tf.reduce_mean(tf.cast(same, tf.float32), axis=-1)

    def as_distributions(self, labels, logits):
        """As that of a softmax head: a softmax over (0, z) for every label.

        Returns:
          `(labels, logits)` of `[..., labels, 2]` each.
        """
        z = softmax.at_least_float32(logits)
        y = tf.cast(labels, z.dtype)
        no = tf.where(y < 0, y, 1.0 - y)  # both negative: unlabelled
        pairs = tf.stack([no, y], axis=-1)
        return pairs, tf.stack([tf.zeros_like(z), z], axis=-1)

    def mean_of_members(self, logits, weights, temperature):
        """u with sigmoid(u / T) the mean of the members' sigmoids at T."""
        scaled = [z / temperature for z in logits]
        yes, no = (
            softmax.log_weighted_mean_exp(
                [-tf.math.softplus(-sign * z) for z in scaled], weights
            )
            for sign in (1.0, -1.0)
        )
        return temperature * (yes - no)

    def classes(self, labels, logits):
        """As that of a softmax head: 0 or 1 of the one label."""
        if logits.shape[-1] != 1:
            raise ValueError(
                "`class_weight` must be None for a sigmoid head of several "
                "labels: an entry has no one class. Weigh entries by "
                "`sample_weight`, or labels in an own `compute_loss`. "
                f"Received: class_weight for {logits.shape[-1]} labels"
            )
        return tf.cast(labels[..., 0] >= 0.5, tf.int32), 2

    def probabilities(self, logits):
        """`[..., labels]` at T = 1."""
        return tf.sigmoid(logits)

    def to_be_stored(self, logits):
        """Logits as they are: a sigmoid depends on each."""
        return logits

    def predictions(self, logits):
        """What Keras's own metrics get: probabilities, as they expect."""
        return tf.sigmoid(softmax.at_least_float32(logits))

    def placeholder_labels(self, logits):
        """Labels that stand in for those that a batch does not have."""
        return tf.zeros_like(softmax.at_least_float32(logits))

    def logits_from_probabilities(self, p, floor):
        """Logits `[..., labels]`, each probability `floor` from 0 and 1."""
        return tf.math.log(tf.maximum(p, floor)) - tf.math.log(
            tf.maximum(1.0 - p, floor)
        )

    def choices(self, logits):
        """`[..., labels]` int64: 1 where a label is likelier than not."""
        return tf.cast(tf.convert_to_tensor(logits) > 0, tf.int64)


def soft_kernel(student_logits, teacher_logits, *, temperature, head):
    """Checks the arguments of `kdtf.losses.soft_loss` and returns its kernel.

    Args:
      student_logits: tensor `[..., classes]`.
      teacher_logits: as in `kdtf.losses.soft_loss`.
      temperature: scalar.
      head: str.

    Returns:
      A kernel of `terms.evaluate`.
    """
    kind = of(head)
    kind.check_logits(student_logits, "student_logits")
    arguments.check_temperature(temperature)
    temperature = loss_kernels.scalar(temperature, student_logits)
    return kind.divergence(student_logits, teacher_logits, temperature)


def hard_kernel(student_logits, labels, *, head):
    """Checks the arguments of `kdtf.losses.hard_loss` and returns its kernel.

    Args:
      student_logits: tensor `[..., classes]`.
      labels: as in `kdtf.losses.hard_loss`.
      head: str.

    Returns:
      A kernel of `terms.evaluate`.
    """
    kind = of(head)
    kind.check_logits(student_logits, "student_logits")
    labels = tf.stop_gradient(kind.fit_labels(labels, student_logits))
    return kind.cross_entropy(student_logits, labels)


_HEADS = {"softmax": SoftmaxHead(), "sigmoid": SigmoidHead()}

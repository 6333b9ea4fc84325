"""A student without its last layer, which is fused with the loss.

The last layer of a model of many classes is a product with a kernel. Where
`rows_at_a_time` is given, a step runs the model up to that layer, and the loss
makes the logits a few rows at a time (`_math.linear_loss`).
"""

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf._math import arguments, entries, linear_loss
from kdtf._math.linear_logits import LinearLogits, Unmade
from kdtf._training import compile_policy, objective

_ACCURACIES = (
    keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseCategoricalAccuracy,
)


def of(student, outputs, hints, check_inputs, rows_at_a_time):
    """The `LinearHead` of a Distiller's constructor, or None.

    Args:
      student: the `keras.Model`.
      outputs: its `outputs.Outputs`.
      hints: as given.
      check_inputs: as given.
      rows_at_a_time: as given.

    Raises:
      ValueError: if the loss cannot be fused with the student's last layer.
    """
    if rows_at_a_time is None:
        return None
    arguments.check_rows_at_a_time(rows_at_a_time)
    rule = None
    if outputs.several:
        rule = "there are several outputs"
    elif outputs.head != "softmax":
        rule = f'the head is "{outputs.head}", and not "softmax"'
    elif hints:
        rule = "there are hints"
    elif check_inputs:
        rule = "check_inputs=True: it looks at logits"
    elif compile_policy.several_replicas():
        rule = "a strategy has several replicas"
    if rule:
        raise ValueError(
            f"`rows_at_a_time` must be None where {rule}. "
            f"Received: rows_at_a_time={rows_at_a_time}"
        )
    return LinearHead(student, rows_at_a_time)


def require_own_steps(distiller, rows_at_a_time):
    """Raises if a subclass needs logits, where there are none.

    Raises:
      ValueError: names what it overrides.
    """
    for step in ("compute_loss", "compute_metrics"):
        if rows_at_a_time is not None and not distiller._runs_own(step):
            raise ValueError(
                "`rows_at_a_time` must be None for a subclass that "
                f"overrides {step}, which gets logits. "
                f"Received: {type(distiller).__name__} with "
                f"rows_at_a_time={rows_at_a_time}"
            )


class SplitModel:
    """A model as what its last layer gets, and that layer.

    No attribute of a Distiller may lead to it but through a plain object: to
    Keras these layers would be there twice.

    Attributes:
      features: `keras.Model` from the same inputs to hidden states.
      layer: the last layer.
    """

    def __init__(self, model, argument):
        """Splits a model.

        Args:
          model: a `keras.Model`.
          argument: str, what errors call it.

        Raises:
          ValueError: if its last layer is not linear, or cannot be seen.
        """
        self._argument = argument
        output = _models.output(model)
        if output is None or not keras_private.runs_as_graph(model):
            raise _refusal(argument, f"{model!r}, which shows no layers")
        call = keras_private.call_of(output)
        while _passes(call.operation) and len(call.inputs) == 1:
            call = keras_private.call_of(call.inputs[0])
        self.layer = call.operation
        fault = _fault(call)
        if fault:
            raise _refusal(
                argument, f"{model.name!r}, which ends in {self.layer!r}{fault}"
            )
        self.features = keras.Model(_models.inputs(model), call.inputs[0])

    def hidden(self, x, *, training):
        """What the last layer gets, `[..., d]`, in the dtype it computes in."""
        found = _models.call(self.features, x, training=training)
        mask = keras_private.mask_of(found)
        masked = self.layer.supports_masking
        mask = self.layer.compute_mask(found, mask) if masked else None
        dtype = getattr(self.layer, "reverse_dtype", None)
        found = tf.cast(found, dtype or self.layer.compute_dtype)
        found = tf.identity(found)
        if mask is not None:
            keras_private.set_mask(found, mask)
        return found

    def logits(self, hidden):
        """The `LinearLogits` of hidden states.

        Raises:
          ValueError: if the last layer has been quantized in the meantime.
        """
        if getattr(self.layer, "quantization_mode", None):
            raise _refusal(
                self._argument,
                f"one whose {self.layer!r} was quantized after it was given",
            )
        bias = getattr(self.layer, "bias", None)
        kernel, transposed = _kernel(self.layer)
        return LinearLogits(
            hidden,
            tf.convert_to_tensor(kernel),
            None if bias is None else tf.convert_to_tensor(bias),
            transposed,
        )


class LinearHead:
    """What a Distiller does where the last layer is fused with the loss.

    Attributes:
      student: the `SplitModel` of the student.
      rows_at_a_time: int.
    """

    def __init__(self, student, rows_at_a_time):
        self.student = SplitModel(student, "student")
        self.rows_at_a_time = rows_at_a_time
        self._teacher = None

    def take_teacher(self, teacher):
        """What is run as the teacher: it without its last layer, if it can be.

        Args:
          teacher: what a Distiller was given, checked.
        """
        self._teacher = None
        if not isinstance(teacher, keras.Model):
            return teacher
        try:
            self._teacher = SplitModel(teacher, "teacher")
        except ValueError:
            return teacher  # its logits are made as a whole
        return lambda x: self._teacher.hidden(x, training=False)

    def unmade(self, hidden, batch, *, training):
        """`Unmade` logits of the student, and targets that go with them.

        Args:
          hidden: `[..., d]`, of the student.
          batch: a `targets.Targets`, with hidden states where the teacher that
            was split has logits.
          training: whether gradients are asked for.
        """
        logits = Unmade(
            self.student.logits(hidden), self.rows_at_a_time, training
        )
        mask = keras_private.mask_of(hidden)
        if mask is not None:
            keras_private.set_mask(logits, mask)
        if self._teacher is not None and batch.tempered_logits is not None:
            theirs = self._teacher.logits(batch.tempered_logits)
            batch = batch._replace(
                teacher_logits=theirs, tempered_logits=theirs
            )
        return logits, batch


def entry_losses(logits, batch, weights, settings):
    """The loss of a batch, and those of its entries, all at once.

    Notes in `logits` which classes student and teacher choose.

    Args:
      logits: `Unmade`.
      batch: a `targets.Targets`, with a teacher, labels or both.
      weights: `[...]` float32, or None.
      settings: list of scalar tensors; see `linear_loss.Settings`.

    Returns:
      `(loss, losses)`: a scalar, and the `objective.EntryLosses`.
    """
    shape = entries.dynamic_shape(logits)[:-1]
    if weights is None:
        weights = tf.ones(shape)
    compute = _weighted_sum
    if compile_policy.compiles_loss(logits):
        compute = _compiled_weighted_sum
    total, rows = compute(
        logits.parts,
        linear_loss.Batch(batch.tempered_logits, batch.labels, weights),
        linear_loss.Settings(*settings),
        logits.rows_at_a_time,
        logits.training,
    )
    count = tf.cast(entries.entry_count(logits), total.dtype)
    logits.rows = tf.nest.map_structure(
        lambda each: None if each is None else _shaped(each, logits, shape),
        rows,
    )
    return tf.math.divide_no_nan(total, count), objective.EntryLosses(
        logits.rows.total, logits.rows.soft, logits.rows.hard
    )


def _shaped(values, logits, shape):
    """`[...]` of `[rows]` values."""
    return tf.ensure_shape(tf.reshape(values, shape), logits.shape[:-1])


def _weighted_sum(student, batch, settings, rows_at_a_time, training):
    return linear_loss.weighted_sum(
        student,
        batch,
        settings,
        rows_at_a_time,
        slopes=training,
        choices=True,
    )


# For steps that are not compiled as a whole.
_compiled_weighted_sum = tf.function(
    _weighted_sum, jit_compile=True, autograph=False
)


def agreement(batch, logits):
    """`[...]` float32: 1 where both choose the same class.

    Args:
      batch: a `targets.Targets` with soft targets.
      logits: `Unmade`, of which `entry_losses` are known.
    """
    theirs = logits.rows.teacher_choice
    # An Ensemble's logits at T and at 1 may differ in their largest.
    if batch.teacher_logits is not batch.tempered_logits and tf.is_tensor(
        batch.teacher_logits
    ):
        theirs = tf.argmax(batch.teacher_logits, axis=-1)
    return tf.cast(tf.equal(theirs, logits.rows.choice), tf.float32)


def require_servable(metrics):
    """Raises if a metric given to `compile` needs the logits themselves.

    Raises:
      ValueError: names it.
    """
    for metric in keras.tree.flatten(metrics):
        if metric is not None and not (
            metric in ("accuracy", "acc") or type(metric) in _ACCURACIES
        ):
            raise ValueError(
                '`metrics` must be "accuracy", SparseCategoricalAccuracy or '
                "CategoricalAccuracy with rows_at_a_time, where no metric gets "
                "logits: evaluate others by a Distiller of the same student "
                "with rows_at_a_time=None. "
                f"Received: {getattr(metric, 'name', metric)!r}"
            )


def update_accuracy(metric, labels, logits, weights):
    """Updates a metric of `require_servable`.

    Args:
      metric: of Keras.
      labels: as `entries.fit_labels` gives them.
      logits: `Unmade`, of which `entry_losses` are known.
      weights: `[...]` float32, 0 where there is no label.
    """
    if entries.is_dense(labels, logits):
        labels = tf.argmax(labels, axis=-1)
    right = tf.equal(tf.cast(labels, tf.int64), logits.rows.choice)
    keras.metrics.Mean.update_state(metric, tf.cast(right, tf.float32), weights)


def _refusal(argument, received):
    return ValueError(
        f"`{argument}` must be a functional or Sequential model, built, that "
        "ends in a linear layer (Dense or EinsumDense without activation, or "
        "ReversibleEmbedding without soft cap) for rows_at_a_time. "
        f"Leave rows_at_a_time=None for others. Received: {received}"
    )


def _passes(operation):
    """Whether an operation leaves logits as they are."""
    layers = keras.layers
    return isinstance(operation, layers.Identity) or (
        isinstance(operation, layers.Activation)
        and operation.activation is keras.activations.linear
    )


def _kernel(layer):
    """The kernel of a last layer, and whether it is transposed."""
    if not _is_reversible(layer):
        return layer.kernel, False
    if layer.tie_weights:
        return layer.embeddings, True
    return layer.reverse_embeddings, False


def _is_reversible(layer):
    """Whether it is that layer, which not every Keras 3 has."""
    kind = getattr(keras.layers, "ReversibleEmbedding", ())
    return isinstance(layer, kind)


def _fault(call):
    """Why a last layer is not linear: "", or words that follow its name."""
    layer = call.operation
    if _is_reversible(layer):
        if not call.keywords.get("reverse"):
            return ", which looks up"
        if layer.logit_soft_cap is not None:
            return f" with logit_soft_cap={layer.logit_soft_cap}"
    elif type(layer) in (keras.layers.Dense, keras.layers.EinsumDense):
        if layer.activation not in (None, keras.activations.linear):
            return " with an activation"
        if not _multiplies_last_axis(layer):
            return f" of the equation {layer.equation!r}"
    else:
        return ", which is none of them"
    if getattr(layer, "lora_enabled", False):
        return " with LoRA: merge it, or give rows_at_a_time=None"
    if getattr(layer, "quantization_mode", None):
        return ", which is quantized"
    if layer.activity_regularizer is not None:
        return " with an activity regulariser"
    return ""


def _multiplies_last_axis(layer):
    """Whether a layer is hidden @ kernel + bias of the last axis."""
    if not isinstance(layer, keras.layers.EinsumDense):
        return True
    operands, _, result = layer.equation.replace(" ", "").partition("->")
    left, _, right = operands.partition(",")
    bias = layer.bias is None or len(layer.bias.shape) == 1
    return bias and right == left[-1] + result[-1] and left[:-1] == result[:-1]

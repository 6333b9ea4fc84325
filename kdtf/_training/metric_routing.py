"""Feeds the metrics given to `Distiller.compile` what each of them takes."""

import contextlib
import copy
import inspect

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf._math import entries
from kdtf._math.linear_logits import Unmade
from kdtf._training import linear_head
from kdtf.metrics import (
    ExpectedCalibrationError,
    LabelMetric,
    TeacherMetric,
)

_METRICS = keras.metrics
# Of Keras's metrics those that make nothing of logits: they compare them with a
# threshold, or take logarithms.
_ON_PROBABILITIES = (
    _METRICS.BinaryAccuracy,
    _METRICS.FalseNegatives,
    _METRICS.FalsePositives,
    _METRICS.KLDivergence,
    _METRICS.Poisson,
    _METRICS.Precision,
    _METRICS.PrecisionAtRecall,
    _METRICS.Recall,
    _METRICS.RecallAtPrecision,
    _METRICS.SensitivityAtSpecificity,
    _METRICS.SpecificityAtSensitivity,
    _METRICS.TrueNegatives,
    _METRICS.TruePositives,
)
_FUNCTIONS_ON_PROBABILITIES = (
    _METRICS.binary_accuracy,
    _METRICS.kl_divergence,
    _METRICS.poisson,
)
_OF_WHOLE_BATCHES = (keras.losses.dice, keras.losses.tversky)
_ON_RANKS = (_METRICS.Precision, _METRICS.Recall)  # if they have a `top_k`
_MAKEABLE = (_METRICS.Metric, keras.losses.Loss)
_OF_KDTF = (TeacherMetric, LabelMetric, ExpectedCalibrationError)


def resolve(metrics, head):
    """The metrics given to `compile`, with names that depend on the head.

    Keras would take `[batch, labels]` of 0 and 1 for one class of several.

    Args:
      metrics: structure of what was given to `compile`.
      head: one of `_math.heads`.

    Returns:
      The structure, fit for Keras.

    Raises:
      ValueError: if a metric of kdtf is for the other head, or one of Keras
        is set up for logits where it gets probabilities, or vice versa.
    """
    metrics = keras.tree.map_structure(_as_metric, metrics)
    for metric in keras.tree.flatten(metrics):
        _require_comparable(metric, head)
        if isinstance(metric, _OF_KDTF):
            if metric.head != head.name:
                raise ValueError(
                    "`metrics` must be for the head of the Distiller: build "
                    f'{type(metric).__name__} with head="{head.name}". '
                    f'Received: one with head="{metric.head}"'
                )
        elif head.name == "softmax":
            _require_logits(metric)
        else:
            _require_probabilities(metric)
    if head.name == "softmax":
        return metrics
    return keras.tree.map_structure(_of_labels, metrics)


def _as_metric(metric):
    """What was given as a metric, or one that Keras would make of it.

    Of a loss Keras would take the mean of a batch, without weights, for a
    result; what is made here has one for every entry.
    """
    if isinstance(metric, type) and issubclass(metric, _MAKEABLE):
        metric = metric()
    if not isinstance(metric, keras.losses.Loss):
        return metric
    function, arguments = keras_private.function_of_loss(metric), {}
    if function is not None:
        arguments = keras_private.arguments_of_loss(metric)
    else:  # it has a `call` of its own
        function = copy.copy(metric)
        function.reduction = None
    return keras.metrics.MeanMetricWrapper(
        function, name=metric.name, **arguments
    )


def _of_labels(metric):
    """A metric of labels for a name that stands for one, or the metric."""
    if _is_accuracy(metric):
        return keras.metrics.BinaryAccuracy(name=metric)
    if metric in ("crossentropy", "ce"):
        return keras.metrics.BinaryCrossentropy(name=metric)
    return metric


def _require_comparable(metric, head):
    """Raises if a metric of Keras takes predictions, or labels, for classes.

    Of a softmax head predictions are logits, and labels may be classes; of a
    sigmoid head both are a number for each label.
    """
    instead = _instead(_named(metric), head)
    if instead is not None:
        raise ValueError(
            "`metrics` get a number for each class or label, and not the class "
            f"that is chosen: give {instead}. "
            f"Received: {getattr(metric, 'name', metric)!r}"
        )


def _instead(metric, head):
    """What to give for a metric of classes that would misread, or None."""
    if type(metric) is _METRICS.Accuracy:  # whether numbers are equal
        return '"accuracy", the name'
    config = _config(metric)
    if head.name == "softmax":
        if config.get("sparse_y_pred"):
            return f"{type(metric).__name__} with sparse_y_pred=False"
        return None
    if config.get("sparse_y_pred") or config.get("sparse_y_true"):
        return "keras.metrics.BinaryIoU()"
    if _name_of_function(metric).startswith("sparse_"):
        return 'one of labels, such as "accuracy" or "binary_crossentropy"'
    return None


def _named(metric):
    """What a name stands for; the metric itself if it is none."""
    if isinstance(metric, str) and not _is_accuracy(metric):
        with contextlib.suppress(ValueError):  # Keras says so in `compile`
            return keras.metrics.get(metric)
    return metric


def _is_accuracy(metric):
    """Whether it is a name by which Keras chooses among its accuracies."""
    return isinstance(metric, str) and metric.lower() in ("accuracy", "acc")


def _require_logits(metric):
    if _takes_probabilities(metric):
        raise ValueError(
            "`metrics` get the student's logits: build those that can take "
            "them with from_logits=True, as in "
            "keras.metrics.SparseCategoricalCrossentropy(from_logits=True), "
            "and others as a function that applies tf.nn.softmax first. "
            f"Received: {getattr(metric, 'name', metric)!r}, which takes "
            "probabilities"
        )


def _takes_probabilities(metric):
    """Whether a metric of Keras, or its name, says that it takes no logits."""
    if metric in ("crossentropy", "ce"):  # of which Keras makes one
        return True
    metric = _named(metric)
    if isinstance(metric, _ON_RANKS) and metric.top_k is not None:
        return False
    if isinstance(metric, keras.metrics.Metric):
        config = _config(metric)
        return (
            type(metric) in _ON_PROBABILITIES
            or config.get("from_logits") is False
            or config.get("threshold") is not None
            or keras_private.metric_function(metric)
            in _FUNCTIONS_ON_PROBABILITIES
        )
    if metric in _FUNCTIONS_ON_PROBABILITIES:
        return True
    if not (callable(metric) and _is_of_keras(metric)):
        return False
    parameter = inspect.signature(metric).parameters.get("from_logits")
    return parameter is not None and parameter.default is False


def _require_probabilities(metric):
    config = _config(metric)
    thresholds = keras.tree.flatten(
        [config.get("threshold"), config.get("thresholds")]
    )
    if config.get("from_logits") or 0.0 in thresholds:
        raise ValueError(
            "`metrics` of a sigmoid head get probabilities, as from a last "
            "layer with a sigmoid: build them without from_logits=True and "
            "with thresholds of probabilities. "
            f"Received: {metric.name!r}, which takes logits"
        )


def _config(metric):
    """What a metric of Keras was built with; {} of any other thing."""
    is_metric = isinstance(metric, keras.metrics.Metric)
    return metric.get_config() if is_metric and _is_of_keras(metric) else {}


def _is_of_keras(thing):
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return module.partition(".")[0] == "keras"


def build(compiled_metrics, outputs, batch, logits):
    """Makes the metrics of their names, once.

    Args:
      compiled_metrics: Keras's collection of the metrics given to `compile`.
      outputs: the `outputs.Outputs`.
      batch: for each output a `targets.Targets`.
      logits: for each output `[..., classes]`, the student's.
    """
    if compiled_metrics.built:
        return

    def labels_of(output, batch, logits):
        if batch.labels is None:
            return output.head.placeholder_labels(logits)
        return batch.labels

    compiled_metrics.build(
        outputs.each(labels_of, batch, logits),
        outputs.each(lambda output, z: output.head.predictions(z), logits),
    )


def update(metrics, output, batch, logits, weights):
    """Updates those metrics of an output whose argument the batch holds.

    Args:
      metrics: list of `(name of an output, metric, whether it is weighted)`.
      output: the `Output`.
      batch: a `targets.Targets`.
      logits: `[..., classes]`, the student's.
      weights: `[...]` or None.

    Returns:
      List of the names of its metrics about which the batch tells nothing.
    """
    head = output.head
    predictions = head.predictions(logits)
    without_data = []
    for of, metric, weighted in metrics:
        if of not in (None, output.name):
            continue
        if not _is_fed(metric, batch):
            without_data.append(output.prefix + metric.name)
            continue
        metric_weights = weights if weighted else None
        if isinstance(logits, Unmade):
            labelled = _counted(head, batch.labels, logits)
            linear_head.update_accuracy(
                metric,
                batch.labels,
                logits,
                entries.labelled_weights(metric_weights, labelled),
            )
        elif isinstance(metric, TeacherMetric):
            metric.update_state(batch.teacher_logits, logits, metric_weights)
        elif isinstance(metric, _OF_KDTF):
            metric.update_state(batch.labels, logits, metric_weights)
        else:
            labelled = _counted(head, batch.labels, logits)
            labels = batch.labels
            if head.name == "softmax":
                labels = _in_form(metric, labels, predictions)
            elif predictions.shape[-1] == 1:
                _require_no_choice(metric)
            _update_on_labelled(
                metric, labels, predictions, metric_weights, labelled
            )
    return without_data


def _counted(head, labels, logits):
    """`[...]` float32 from 0 to 1: what is labelled, and not masked.

    Few metrics look for a mask, and none finds that of logits on probabilities.
    """
    labelled = head.labelled(labels, logits)
    mask = keras_private.mask_of(logits)
    return labelled if mask is None else labelled * tf.cast(mask, tf.float32)


def _is_fed(metric, batch):
    if isinstance(metric, TeacherMetric):
        return batch.teacher_logits is not None
    return batch.labels is not None


def _require_no_choice(metric):
    """Raises if a metric of Keras looks for the largest of one prediction.

    Raises:
      ValueError: says which metric to take.
    """
    name = _name_of_function(metric).removeprefix("top_k_")
    if name.startswith("categorical_"):
        raise ValueError(
            "`metrics` must be of yes or no where there is one label, which "
            'is always the largest: give "accuracy" or "binary_crossentropy". '
            f"Received: {metric.name!r}"
        )


def _name_of_function(metric):
    """Of the function of Keras that a metric is the mean of, or ""."""
    function = keras_private.metric_function(metric) or metric
    return getattr(function, "__name__", "") if _is_of_keras(function) else ""


def _in_form(metric, labels, logits):
    """Labels as a metric of Keras takes them: classes or distributions.

    Keras makes one of a name for the first batch, and later ones may have
    labels of the other form. Metrics of others get labels as they are.

    Raises:
      ValueError: if it is a cross-entropy of classes, and labels are none.
    """
    function = keras_private.metric_function(metric) or metric.update_state
    if not (_is_of_keras(metric.update_state) and _is_of_keras(function)):
        return labels
    name = getattr(function, "__name__", "")
    of_classes = getattr(metric, "sparse_y_true", name.startswith("sparse_"))
    if of_classes != entries.is_dense(labels, logits):
        return labels
    if not of_classes:
        return entries.dense_labels(labels, logits)
    if function is keras.losses.sparse_categorical_crossentropy:
        raise ValueError(
            "`metrics` must take labels that are distributions: build "
            "keras.metrics.CategoricalCrossentropy(from_logits=True), which "
            f"is fed classes, too. Received: {metric.name!r}, which takes "
            "classes"
        )
    return tf.argmax(labels, axis=-1)


def _update_on_labelled(metric, labels, predictions, weights, labelled):
    """Updates a metric of (labels, predictions) on what is labelled.

    Entries count if all of their labels are known. Others weigh 0, and the
    metric sees their label as 0, since many metrics fail on negative ones. A
    metric without weights, or with one result a batch, does not see them.
    """
    labelled = tf.cast(labelled >= 1, tf.float32)
    shown = tf.maximum(labels, tf.zeros_like(labels))
    if not _takes_weights(metric, shown, predictions):
        kept = tf.cast(labelled, tf.bool)
        metric.update_state(
            tf.boolean_mask(shown, kept), tf.boolean_mask(predictions, kept)
        )
        return
    weights = entries.labelled_weights(weights, labelled)
    if isinstance(metric, keras.metrics.BinaryIoU):
        # It counts labels one by one, and wants a weight for each.
        weights = tf.broadcast_to(weights[..., None], tf.shape(shown))
    metric.update_state(shown, predictions, sample_weight=weights)


def _takes_weights(metric, labels, predictions):
    """Whether a metric has a result for every entry, and weighs it."""
    takes = inspect.signature(metric.update_state).parameters
    if "sample_weight" not in takes:
        return False
    function = keras_private.metric_function(metric)
    if function is None:
        return True
    if _is_of_keras(function) and function not in _OF_WHOLE_BATCHES:
        return True
    arguments = keras_private.arguments_of_loss(metric)
    result = tf.convert_to_tensor(function(labels, predictions, **arguments))
    return result.shape.rank != 0

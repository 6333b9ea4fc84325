"""Feeds the metrics given to `Distiller.compile` what each of them takes."""

import inspect

import tensorflow as tf

from kdtf._math import entries
from kdtf.metrics import TeacherMetric


def update(compiled_metrics, unweighted, batch, logits, weights):
    """Updates every metric whose argument the batch holds.

    Args:
      compiled_metrics: Keras's collection of the metrics given to `compile`.
      unweighted: int, how many of them (the first) ignore sample weights.
      batch: a `targets.Targets`.
      logits: `[..., classes]`, the student's.
      weights: `[...]` or None.
    """
    if not compiled_metrics.built:
        absent = tf.zeros(tf.shape(logits)[:-1], tf.int32)
        labels = absent if batch.labels is None else batch.labels
        with tf.init_scope():  # a step that makes variables is traced twice
            compiled_metrics.build(labels, logits)
    for i, metric in enumerate(compiled_metrics.metrics):
        if not _is_fed(metric, batch):
            continue
        metric_weights = weights if i >= unweighted else None
        if isinstance(metric, TeacherMetric):
            metric.update_state(batch.teacher_logits, logits, metric_weights)
        else:
            _update_on_labelled(metric, batch.labels, logits, metric_weights)


def names_without_data(compiled_metrics, batch):
    """Names of the metrics that such a batch says nothing about."""
    return [m.name for m in compiled_metrics.metrics if not _is_fed(m, batch)]


def _is_fed(metric, batch):
    if isinstance(metric, TeacherMetric):
        return batch.teacher_logits is not None
    return batch.labels is not None


def _update_on_labelled(metric, labels, logits, weights):
    """Updates a metric of (labels, predictions); unlabelled rows weigh 0.

    The metric sees their label as 0, since many metrics fail on negative ones.
    """
    if "sample_weight" not in inspect.signature(metric.update_state).parameters:
        metric.update_state(labels, logits)
        return
    metric.update_state(
        tf.maximum(labels, tf.zeros_like(labels)),
        logits,
        sample_weight=entries.labelled_weights(weights, labels, logits),
    )

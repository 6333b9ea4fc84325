"""What `tf.distribute` needs of a Distiller, refused where it is missing.

TensorFlow's own errors of these name nodes of graphs; some of the faults give
other numbers without an error.
"""

import warnings

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _workers


def require_scope(distiller):
    """Raises unless a Distiller and its student are of one strategy's scope.

    Args:
      distiller: a `Distiller` with its student, which may not be built yet.

    Raises:
      ValueError: if a strategy can't train it, or would train something else.
    """
    strategy = distiller.distribute_strategy
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise ValueError(
            "`student` must be trained under MirroredStrategy or "
            "MultiWorkerMirroredStrategy: Keras 3 cannot `fit` with parameter "
            "servers. Received: a ParameterServerStrategy"
        )
    outside = _outside(strategy, distiller.student.variables)
    if outside is not None:
        raise ValueError(
            "`student` must be built in the scope of the strategy that trains "
            "it, and the Distiller in the same: do both, and `compile`, under "
            "`with strategy.scope():`, or all of it outside. Received: a "
            f"Distiller of {_name(strategy)} and a student whose "
            f"{outside.path!r} is of {_name(_strategy_of(outside))}"
        )


def require_compiled(distiller, metrics):
    """Raises if what `compile` was given does not fit the strategy.

    Args:
      distiller: a compiled `Distiller`.
      metrics: structure of the metrics that it was given, or their names.

    Raises:
      ValueError: names the argument.
    """
    strategy, optimizer = distiller.distribute_strategy, distiller.optimizer
    if _outside(strategy, [optimizer.iterations]) is not None:
        raise ValueError(
            "`optimizer` must be made in the scope of the Distiller's "
            "strategy: make it under `with strategy.scope():`. Received: "
            f"{type(optimizer).__name__}, made outside of it"
        )
    for metric in keras.tree.flatten(metrics):
        is_made = isinstance(metric, keras.metrics.Metric)
        if is_made and _outside(strategy, metric.variables) is not None:
            raise ValueError(
                "`metrics` must be made in the scope of the Distiller's "
                "strategy: make them under `with strategy.scope():`. "
                f"Received: {metric.name!r}, made outside of it"
            )
    if strategy.num_replicas_in_sync == 1:
        return
    if distiller.jit_compile:
        raise ValueError(
            '`jit_compile` must be False or "auto" where there are several '
            "replicas: XLA cannot compile what they send each other. "
            f"Received: jit_compile=True and {_name(strategy)}"
        )
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.gradient_accumulation_steps:
        raise ValueError(
            "`optimizer` must not accumulate gradients where there are several "
            "replicas, which Keras cannot do: give a larger batch. Received: "
            f"gradient_accumulation_steps={inner.gradient_accumulation_steps}"
        )


def warn(distiller):
    """Warns of what trains, but not as one would expect.

    Args:
      distiller: a compiled `Distiller`.
    """
    strategy = distiller.distribute_strategy
    multi_worker = tf.distribute.MultiWorkerMirroredStrategy
    if isinstance(strategy, multi_worker) and not _workers.spans(strategy):
        warnings.warn(
            "MultiWorkerMirroredStrategy has found one worker, this one: if "
            "there are more, set TF_CONFIG before the strategy is made.",
            stacklevel=4,
        )
    if strategy.num_replicas_in_sync == 1:
        return
    alone = [
        layer.name
        for layer in keras_private.all_layers(distiller.student)
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        and not layer.synchronized
    ]
    if alone:
        warnings.warn(
            f"`student` has BatchNormalization layers, such as {alone[0]!r}, "
            "in which each replica takes the mean of its own rows, and keeps "
            "its own moving statistics: those of the first replica are saved "
            "and exported. Build them with synchronized=True to train as one "
            "process does.",
            stacklevel=4,
        )


def _outside(strategy, variables):
    """The first of Keras's variables that is not of a strategy, or None."""
    in_scope = strategy.extended.variable_created_in_scope
    for variable in variables:
        # Variables of TensorFlow may be among those of a student.
        value = getattr(variable, "value", variable)
        if isinstance(value, tf.Variable) and not in_scope(value):
            return variable
    return None


def _strategy_of(variable):
    return getattr(variable.value, "distribute_strategy", None)


def _name(strategy):
    default = strategy is None or strategy.num_replicas_in_sync == 1
    return "no strategy" if default else type(strategy).__name__

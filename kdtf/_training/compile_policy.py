"""Where XLA pays, as `benchmarks/jit_compile.py` and `loss.py` measured it.

On a GPU Keras decides. On a CPU XLA saves up to two thirds of a step, since it
fuses the operations around matrix products; but it draws random numbers slowly,
runs the two directions of a recurrent layer one after the other, is slow in
bfloat16 but for dense layers and, inside a loop, convolves thirty times slower
than TensorFlow.

The rule does not ask how long a run is, though XLA takes seconds to compile:
training that is resumed, or done in several calls of `fit`, must round as that
in one does.
"""

import keras
import tensorflow as tf

from kdtf import _keras_private as keras_private

_MANY_CLASSES = 256
_PACKAGES = ("keras", "kdtf")
_LAYERS = keras.layers
_FASTER = {
    _LAYERS.BatchNormalization,
    _LAYERS.Dense,
    _LAYERS.Embedding,
    _LAYERS.LayerNormalization,
}
_FASTER_IN_BFLOAT16 = {_LAYERS.Dense}
_AS_FAST = {  # shapes and simple arithmetic only
    _LAYERS.Activation,
    _LAYERS.Add,
    _LAYERS.Concatenate,
    _LAYERS.ELU,
    _LAYERS.Flatten,
    _LAYERS.GlobalAveragePooling1D,
    _LAYERS.InputLayer,
    _LAYERS.LeakyReLU,
    _LAYERS.Normalization,
    _LAYERS.ReLU,
    _LAYERS.Rescaling,
    _LAYERS.Reshape,
    _LAYERS.TimeDistributed,
}
_CONVOLUTIONS = (
    _LAYERS.Conv1D,
    _LAYERS.Conv1DTranspose,
    _LAYERS.Conv2D,
    _LAYERS.Conv2DTranspose,
    _LAYERS.Conv3D,
    _LAYERS.Conv3DTranspose,
    _LAYERS.DepthwiseConv1D,
    _LAYERS.DepthwiseConv2D,
    _LAYERS.SeparableConv1D,
    _LAYERS.SeparableConv2D,
)


def resolve(distiller, jit_compile="auto", **given):
    """The `jit_compile` that `compile` passes on to Keras.

    Args:
      distiller: a `Distiller`.
      jit_compile: bool or "auto".
      **given: the other arguments of `compile`.

    Returns:
      `jit_compile` as given, or True for "auto" if `is_faster`.
    """
    if jit_compile == "auto" and is_faster(distiller, **given):
        return True
    return jit_compile


def is_faster(
    distiller, metrics=None, weighted_metrics=None, run_eagerly=False, **_
):
    """Whether XLA is known to train a Distiller faster on a CPU.

    Args:
      distiller: a `Distiller`.
      metrics: what its `compile` was given.
      weighted_metrics: what its `compile` was given.
      run_eagerly: what its `compile` was given.

    Returns:
      bool. True if all layers of the student are of kinds that were measured,
      in the dtype that it computes in, its input's shape is known but for the
      batch (each shape is compiled anew), and steps and metrics are Keras's or
      kdtf's own (others may do what XLA cannot).
    """
    student = distiller.student
    if not _is_known(distiller):
        return False
    inputs = getattr(student, "inputs", None)
    if on_gpu() or run_eagerly or has_strategy(distiller):
        return False
    if not inputs or any(None in each.shape[1:] for each in inputs):
        return False
    given = keras.tree.flatten([metrics, weighted_metrics])
    if not all(map(_is_known_metric, given)):
        return False
    return has_fast_layers(student)


def has_fast_layers(student):
    """Whether all layers of a student, built or not, are no slower by XLA."""
    layers = _layers(student)
    return layers is not None and all(map(_is_fast, layers))


def loops_fast(student):
    """Whether many steps of a student in one program are as fast as apart."""
    if on_gpu():
        return True
    layers = _layers(student)
    return layers is not None and not any(
        isinstance(layer, _CONVOLUTIONS) for layer in layers
    )


def compiles_loss(logits):
    """Whether the loss is compiled although the step around it may not be.

    On a GPU, since the fused loss needs no full-size temporary there; and for
    many classes, if only the batch's size may change.
    """
    known = logits.shape[1:].is_fully_defined()
    return on_gpu() or (known and logits.shape[-1] >= _MANY_CLASSES)


def on_gpu():
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def has_strategy(distiller):
    """Whether a strategy distributes the training."""
    return (
        tf.distribute.has_strategy()
        or distiller.distribute_strategy is not tf.distribute.get_strategy()
    )


def several_replicas():
    """Whether the strategy of this scope has several replicas."""
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def _layers(student):
    """All layers of a student, without itself; None if Keras hides them."""
    try:
        layers = keras_private.all_layers(student)
    except RuntimeError:
        return None
    return [layer for layer in layers if layer is not student]


def _is_fast(layer):
    """Whether a layer, apart from those that it holds, is no slower by XLA."""
    if isinstance(layer, keras.Model):
        return _is_known(layer)
    kind, dtype = type(layer), layer.compute_dtype
    if kind in _AS_FAST:
        return True
    if dtype == "bfloat16":
        return kind in _FASTER_IN_BFLOAT16
    if kind in (_LAYERS.GRU, _LAYERS.GRUCell):
        # Unrolled, it takes minutes to compile.
        unrolled = getattr(layer, "unroll", False)
        drops_out = layer.dropout or layer.recurrent_dropout
        return dtype == "float32" and not (unrolled or drops_out)
    return dtype == "float32" and kind in _FASTER


def _is_known_metric(metric):
    """As `_is_known`, of a metric and the function that it is the mean of."""
    function = keras_private.metric_function(metric)
    module = getattr(function, "__module__", "keras")
    return _is_known(metric) and module.partition(".")[0] in _PACKAGES


def _is_known(thing):
    """Whether it is of Keras or kdtf, or a name, which stands for such."""
    package = type(thing).__module__.partition(".")[0]
    return thing is None or isinstance(thing, str) or package in _PACKAGES

"""Where XLA pays, by `benchmarks/jit_compile.py` and `benchmarks/loss.py`.

On a GPU Keras's rule stands. On a CPU XLA gains up to two thirds of a step,
since it fuses what stands around matrix products; but it draws random numbers
slowly and, inside of a loop, convolves thirty times slower than TensorFlow.
"""

import keras
import tensorflow as tf

_MANY_CLASSES = 256
_PACKAGES = ("keras", "kdtf")
_LAYERS = keras.layers
_FASTER = {
    _LAYERS.BatchNormalization,
    _LAYERS.Dense,
    _LAYERS.Embedding,
    _LAYERS.LayerNormalization,
}
_AS_FAST = {  # nothing but shapes and simple arithmetic
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
    """What `compile` is to tell Keras of `jit_compile`.

    Args:
      distiller: a `Distiller`.
      jit_compile: bool or "auto".
      **given: the other arguments of `compile`.

    Returns:
      `jit_compile` as it is, or True for an "auto" where `is_faster`.
    """
    if jit_compile == "auto" and is_faster(distiller, **given):
        return True
    return jit_compile


def is_faster(
    distiller, metrics=None, weighted_metrics=None, run_eagerly=False, **_
):
    """Whether XLA trains a Distiller faster on a CPU, as far as was measured.

    Args:
      distiller: a `Distiller`.
      metrics, weighted_metrics, run_eagerly: as its `compile` is given them.

    Returns:
      Bool: True where it is known to: the student computes in float32, all of
      its layers are of kinds that were measured, the shapes of its inputs are
      known but for the batch (every shape is compiled anew), and the metrics
      are Keras's or kdtf's own (others may do what XLA cannot).
    """
    student = distiller.student
    inputs = getattr(student, "inputs", None)
    if on_gpu() or run_eagerly or has_strategy(distiller):
        return False
    if not inputs or any(None in each.shape[1:] for each in inputs):
        return False
    given = keras.tree.flatten([metrics, weighted_metrics])
    if not all(_is_known(metric) for metric in given):
        return False
    kinds = {type(layer) for layer in _layers(student) if not layer._layers}
    return student.compute_dtype == "float32" and kinds <= _FASTER | _AS_FAST


def loops_fast(student):
    """Whether many steps of a student in one program are as fast as apart."""
    return on_gpu() or not any(
        isinstance(layer, _CONVOLUTIONS) for layer in _layers(student)
    )


def compiles_loss(logits):
    """Whether the loss is compiled where the step around it is not.

    On a GPU, for the fused loss needs no full-size temporary there; and where
    there are many classes, of a shape that only the batch's size may change.
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


def _is_known(metric):
    package = type(metric).__module__.partition(".")[0]
    return metric is None or isinstance(metric, str) or package in _PACKAGES


def _layers(student):
    return student._flatten_layers(include_self=False)

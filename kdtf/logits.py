"""Logits of models and services that give probabilities.

Everything in kdtf works from logits: at a temperature T the probabilities
softmax(z / T) follow from the logits z, but not from rounded probabilities.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf._math import heads, softmax
from kdtf._math.probabilities import check_no_probabilities
from kdtf._types import Tensor, TensorLike


def logits_of(model: keras.Model) -> keras.Model:
    """The same model, cut before its last softmax or sigmoid.

    Of a model with several outputs each is cut that ends in one. A sparsemax or
    hard sigmoid is cut, too; what it got is taken for logits.

    All layers are the model's own, with their weights, except for a last layer
    that has the activation built in, of which a copy without it is made. So
    use the model that is returned in place of the other one; training both
    would be at cross purposes.

    Args:
      model: a functional or Sequential `keras.Model`, such as those of
        `keras.applications`, that ends in a softmax or sigmoid: an activation
        of its last layer, a layer of its own or a function of `keras.ops`,
        also within nested models and `TimeDistributed`.

    Returns:
      A `keras.Model` from the same inputs to logits, not compiled.

    Raises:
      ValueError: if the model does not end in a softmax or sigmoid, calls it
        more than once, or does not tell, as subclasses of `keras.Model` do not;
        if the softmax has a mask, or its classes are not in the last axis; or
        if it is within a layer, as that of a recurrent one.

    Example:
      >>> classifier = keras.Sequential([
      ...     keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
      >>> teacher = kdtf.logits_of(classifier)
      >>> inputs = np.ones((1, 8))
      >>> bool(np.allclose(tf.nn.softmax(teacher(inputs)), classifier(inputs)))
      True
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a keras.Model. Received: model={model!r}"
        )
    copies: list = []
    cut = _cut(model, copies)
    cut.compiled = False  # its loss was one of probabilities
    for original, copy in copies:
        if original.built:
            copy.set_weights(original.get_weights())
        if getattr(original, "lora_enabled", False):  # Keras leaves it out
            copy.lora_alpha = original.lora_alpha
        _check_copy(original, copy)
    return cut


def _cut(layer: Any, copies: list) -> Any:
    """A layer, wrapper or model without the activation that it ends in.

    Args:
      layer: what `_models.probability_operation` returned, or a model.
      copies: list, to which pairs of a layer and its copy are added.
    """
    if isinstance(layer, keras.Model):
        last = _probability_operations(layer)
        if not last:
            raise ValueError(
                "`model` must be a functional or Sequential model that ends "
                "in a softmax or sigmoid; a subclass of keras.Model must "
                "return logits from its `call`. "
                f"Received: {layer.name!r}, which shows neither"
            )
        for each in last:
            if keras_private.uses_of(layer, each) > 1:
                raise ValueError(
                    "`model` must call its last softmax or sigmoid once: give "
                    "the other uses a layer of their own. "
                    f"Received: {layer.name!r}, which calls {each.name!r} again"
                )
        is_sequential = isinstance(layer, keras.Sequential)
        return keras.models.clone_model(
            layer,
            clone_function=lambda each: (
                _cut(each, copies) if each in last else each
            ),
            call_function=None if is_sequential else _call,
        )
    if isinstance(layer, keras.layers.TimeDistributed):
        inner = _cut(layer.layer, copies)
        return keras.layers.TimeDistributed(inner, name=layer.name)
    function = getattr(layer, "activation", None)
    _check_axis(layer, getattr(function or layer, "axis", -1))
    if isinstance(layer, keras.layers.Activation) or function is None:
        policy = getattr(layer, "dtype_policy", None)
        dtype = None if policy is None else policy.name
        return keras.layers.Identity(name=layer.name, dtype=dtype)
    if isinstance(layer, keras.layers.RNN):
        raise _activation_within(layer)
    copy = type(layer).from_config(
        {**layer.get_config(), "activation": "linear"}
    )
    copies.append((layer, copy))
    return copy


def _check_copy(layer: Any, copy: Any) -> None:
    """Raises unless a layer of one's own is its copy and then an activation.

    It may have an attribute of that name for one that it applies elsewhere.
    """
    given: Any = getattr(layer, "input", None)  # None within a wrapper
    package = type(layer).__module__.partition(".")[0]
    is_own = package not in ("keras", "keras_hub")
    is_one = isinstance(given, keras.KerasTensor)
    if not (is_own and is_one and tf.as_dtype(given.dtype).is_floating):
        return
    shape = [size or 2 for size in given.shape]
    x = tf.cast(np.random.default_rng(0).normal(size=shape), given.dtype)
    try:
        expected = _float64(layer(x, training=False))
    except Exception:  # of sizes that are not known it may not take so small
        return
    found = _float64(layer.activation(copy(x, training=False)))
    if not np.allclose(found, expected, atol=1e-2):
        raise _activation_within(layer)


def _float64(values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values), np.float64)


def _activation_within(layer: Any) -> ValueError:
    return ValueError(
        "`model` must apply its last softmax or sigmoid to what is returned, "
        "and use it for nothing else, as recurrent layers do, which feed it "
        "back: end it in a keras.layers.Dense, and cut or train that model. "
        f"Received: {layer.name!r}, a {type(layer).__name__} whose activation "
        "is within it"
    )


def _call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
    """Calls a layer; in place of a softmax without its mask, which is None."""
    is_cut = isinstance(layer, keras.layers.Identity)
    if is_cut and keywords.pop("mask", None) is not None:
        raise ValueError(
            "`model` must call its last softmax without a mask, which logits "
            "have none of: apply it to the logits before. "
            f"Received: {layer.name!r}, which is called with one"
        )
    return layer(*arguments, **keywords)


def _probability_operations(model: keras.Model) -> list:
    """The layers or operations by which outputs become probabilities."""
    outputs = [None]
    if _models.output_names(model) is not None:
        outputs = keras.tree.flatten(_models.output(model))
    for each in outputs:
        if _models.last_activation(model, each) in ("softmax", "sparsemax"):
            _check_classes_stay(model, each)
    found = (_models.probability_operation(model, each) for each in outputs)
    return [operation for operation in found if operation is not None]


def _check_axis(layer: Any, axis: Any) -> None:
    """Raises unless the axis of a softmax is the last one."""
    output = getattr(layer, "output", None)  # None within a wrapper
    last = -1 if output is None else output.ndim - 1
    if keras.tree.flatten(axis) not in ([-1], [last]):
        raise ValueError(
            "`model` must end in a softmax over its last axis, as that of its "
            "logits is. "
            f"Received: {layer.name!r}, whose softmax is over axis {axis}"
        )


def _check_classes_stay(model: keras.Model, output: Any) -> None:
    """Raises if what follows a softmax moves or merges the axis of classes."""
    for each in keras_private.operations_from_the_end(model, output):
        if not _models.passes(each):
            return
        if _moves_classes(each):
            raise ValueError(
                "`model` must keep the classes of its last softmax in the last "
                "axis, where those of logits are: cut it before that layer. "
                f"Received: {model.name!r}, in which {each.name!r} moves them"
            )


def _moves_classes(layer: Any) -> bool:
    """Whether a layer moves the last axis, or merges it with others."""
    if isinstance(layer, keras.layers.Permute):
        return layer.dims[-1] != len(layer.dims)
    if not isinstance(layer, keras.layers.Flatten | keras.layers.Reshape):
        return False
    try:
        return layer.input.shape[-1] != layer.output.shape[-1]
    except AttributeError:  # it was never called, and nobody knows its shapes
        return False


def logits_from_probabilities(
    probabilities: TensorLike, *, floor: float = 1e-7, head: str = "softmax"
) -> Tensor | npt.NDArray:
    """Logits whose softmax, or sigmoid, are the given probabilities.

    For teachers that give nothing else: scikit-learn's `predict_proba`,
    gradient boosting, remote services. Where a model can give logits, take
    those: at T = 4 they tell apart what probabilities rounded to 0 or 1 do not.

    Args:
      probabilities: `[..., classes]`, not negative, with rows that sum to 1;
        with a sigmoid head `[..., labels]`, from 0 to 1.
      floor: float in (0, 0.5), to which smaller probabilities (and with a
        sigmoid head those within it of 1) are raised. At 1e-7, what float32
        resolves near 1, a class that got 0 is 16 below one that got 1.
      head: "softmax" or "sigmoid".

    Returns:
      float32 (or float64) logits of the same shape: a tensor for a tensor, and
      otherwise a numpy array.

    Raises:
      ValueError: if `floor` is out of range, or the values are known and are
        not probabilities.

    Example:
      >>> logits = kdtf.logits_from_probabilities([[0.5, 0.5, 0.0]])
      >>> tf.nn.softmax(logits).numpy().round(6)
      array([[0.5, 0.5, 0. ]], dtype=float32)
    """
    kind = heads.of(head)
    if not 0 < floor < 0.5:
        raise ValueError(
            f"`floor` must be between 0 and 0.5. Received: floor={floor}"
        )
    p = softmax.at_least_float32(probabilities)
    if hasattr(p, "numpy"):  # not within a function that is being traced
        _check_probabilities(p.numpy(), head)
    logits = kind.logits_from_probabilities(p, floor)
    return logits if tf.is_tensor(probabilities) else logits.numpy()


def _check_probabilities(p: np.ndarray, head: str) -> None:
    good = bool((p >= -1e-6).all() and (p <= 1 + 1e-6).all())
    rule = "be from 0 to 1"
    if head == "softmax":
        good &= p.ndim > 0 and np.allclose(p.sum(-1), 1, atol=1e-2)
        rule += " and sum to 1 over the classes"
    if not good:
        sums = p.sum(-1) if p.ndim else p
        raise ValueError(
            f"`probabilities` must {rule}. Received: probabilities from "
            f"{p.min()} to {p.max()}, with sums from {sums.min()} to "
            f"{sums.max()}"
        )


def numpy_teacher(
    function: Callable[[Any], npt.ArrayLike], *, shape: Sequence[int | None]
) -> Callable[[Any], Tensor]:
    """A teacher that is a function of numpy arrays, outside of TensorFlow.

    It is called once a batch, in Python: a scikit-learn model, gradient
    boosting, a remote service. Such a teacher is slow and cannot be saved in a
    program, so store its soft targets with `kdtf.SoftTargets` where several
    epochs or students use them.

    Args:
      function: from x, a numpy array `[batch, ...]` or a structure of them, to
        logits `[batch, *shape]`, or `[batch]` for one label; see
        `logits_from_probabilities`.
      shape: of the logits of one example: `(classes,)`, or `(None, classes)`
        for time frames.

    Returns:
      A function from x to float32 logits, to be the `teacher` of a Distiller.

    Raises:
      ValueError: if `shape` has no classes; when it is called, if the logits
        have another shape, or are probabilities that sum to 1.

    Example:
      >>> def predict_proba(x):
      ...     return np.full((len(x), 3), 1 / 3)
      >>> teacher = kdtf.numpy_teacher(
      ...     lambda x: kdtf.logits_from_probabilities(predict_proba(x)),
      ...     shape=(3,))
      >>> distiller = kdtf.Distiller(student, teacher, temperature=2.0)
    """
    classes = None
    if isinstance(shape, list | tuple) and shape:
        classes = shape[-1]
    if not isinstance(classes, int):
        raise ValueError(
            "`shape` must be that of one example's logits, with the number of "
            f"classes at its end. Received: shape={shape}"
        )

    def teacher(x: Any) -> Tensor:
        leaves = tf.nest.flatten(x)

        def run(*arrays: np.ndarray) -> np.ndarray:
            logits = function(tf.nest.pack_sequence_as(x, arrays))
            return _checked_logits(logits, (len(arrays[0]), *shape))

        if all(hasattr(leaf, "numpy") for leaf in leaves):
            return tf.constant(run(*(leaf.numpy() for leaf in leaves)))
        logits = tf.numpy_function(run, leaves, tf.float32)
        return tf.ensure_shape(logits, [leaves[0].shape[0], *shape])

    return teacher


def _checked_logits(
    logits: npt.ArrayLike, shape: tuple[int | None, ...]
) -> np.ndarray:
    """float32 logits of that shape; of one label `[batch]` will do."""
    found = np.asarray(logits, np.float32)
    if shape[1:] == (1,) and found.ndim == 1:  # of a decision function
        found = found[:, None]
    expected = tf.TensorShape(shape)
    if not expected.is_compatible_with(found.shape):
        raise ValueError(
            f"`function` must return logits of shape {expected}. "
            f"Received: an array of shape {found.shape}"
        )
    if found.shape[-1] > 1:
        check_no_probabilities(found, "function", "softmax")
    return found

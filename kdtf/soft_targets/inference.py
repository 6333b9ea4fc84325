"""A teacher from the store's point of view: what names it, what it says."""

import contextlib
import functools
import hashlib

import keras
import numpy as np
import tensorflow as tf

from kdtf import _keras_private as keras_private
from kdtf import _models
from kdtf._math import arguments, heads, probabilities, softmax
from kdtf._math.top_logits import TopLogits
from kdtf._training import teachers
from kdtf.ensemble import Ensemble
from kdtf.soft_targets import examples


def require_teacher(teacher, fingerprint, temperature, top_k, head):
    """Raises ValueError if a teacher, its name or temperature cannot be right.

    Args:
      teacher: a Keras model or layer, or another callable.
      fingerprint: str that names it, or None.
      temperature: float or None.
      top_k: int or None.
      head: str.
    """
    kind = heads.of(head)
    teachers.check_alone(teacher, kind)
    _require_name(teacher, fingerprint)
    if top_k is not None and head != "softmax":
        raise ValueError(
            "`top_k` must be None for a sigmoid head: the labels that it "
            "leaves out are not the rest of one distribution. "
            f"Received: top_k={top_k}"
        )
    if temperature is not None:
        arguments.check_temperature(temperature)
    elif depends_on_temperature(teacher, top_k):
        raise ValueError(
            "`temperature` must be given: the soft targets of an arithmetic "
            "ensemble, and those of `top_k`, depend on it. Received: "
            "temperature=None"
        )


def depends_on_temperature(teacher, top_k):
    """Whether the soft targets hold for the one temperature they are made at.

    Those of an arithmetic ensemble do, and so does the tail of `top_k`.
    """
    if isinstance(teacher, Ensemble) and teacher.combine == "arithmetic":
        return True
    return top_k is not None


def identify(teacher, fingerprint):
    """Hash of all that tells one teacher from another.

    Of its weights, of how models in it combine others, and of the name that
    the caller gave it.
    """
    digest = hashlib.sha256()
    if fingerprint is not None:
        digest.update(f"fingerprint {fingerprint}".encode())
    for layer in _layers(teacher):
        if isinstance(layer, _models.MadeOfModels):
            digest.update(layer.combination.encode())
    _models.hash_weights(digest, _weights(teacher))
    return digest.hexdigest()


def output_shape(teacher, x, head):
    """The number of classes, and of the axes between batch and classes.

    Raises:
      ValueError: if the teacher does not return logits for x, a batch, or
        what looks like probabilities.
    """
    try:
        output = teachers.call(teacher, x)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        shapes = tf.nest.map_structure(lambda t: tuple(t.shape), x)
        raise ValueError(
            "`teacher` must take the batches of `dataset`: batch it first, as "
            "in dataset.batch(256), if it is not. Received: a first batch of "
            f"shape {shapes}, at which the teacher raised "
            f"{type(error).__name__}: {error}"
        ) from error
    logits = _as_logits(output, examples.size(x))
    kind = heads.of(head)
    kind.check_logits(logits, "teacher")
    probabilities.check_teacher(logits.numpy(), head)
    return logits.shape[-1], logits.shape.rank - 2


def function(teacher, fields, classes, *, temperature, top_k, head):
    """Function from x and the batch's number to the arrays of a record.

    A Keras model is traced. Any other callable runs eagerly, so that it may be
    Python, and all that it returns is checked.

    Args:
      teacher: see `require_teacher`.
      fields: what `format.fields` returned.
      classes: int.
      temperature: float or None.
      top_k: int or None.
      head: str.
    """
    temperature = 1.0 if temperature is None else temperature
    targets = _targets(fields, temperature, top_k, heads.of(head))
    if isinstance(teacher, keras.Layer):
        logits_of = teachers.logits_function(teacher)
        run = _in_graph(lambda x: targets(x, logits_of(x, temperature)[1]))
    else:
        finish = _in_graph(targets)
        rank = len(fields["logits"][1]) + 1

        def run(x):
            logits = _as_logits(teacher(x), examples.size(x))
            if (logits.shape.rank, logits.shape[-1]) != (rank, classes):
                raise ValueError(
                    "`teacher` must return logits of the same classes for "
                    f"every batch. Received: {classes} classes at first, later "
                    f"logits of shape {logits.shape}"
                )
            return finish(x, logits)

    def infer(x, batch):
        arrays = {n: value.numpy() for n, value in run(x).items()}
        _require_finite(arrays.pop("finite"), batch, fields["logits"][0].name)
        return arrays

    return infer


def _in_graph(function):
    """The function as a graph, of structures of tensors.

    Batches like the first one, which is most of them, go to its own trace:
    that TensorFlow finds the trace of a batch takes it as long as to read
    100 kB.
    """
    # As a partial, which has no code of its own: TensorFlow counts traces by
    # it, and warns at the fifth store that a process writes.
    traced = tf.function(
        functools.partial(function), autograph=False, reduce_retracing=True
    )
    first = []  # shapes and dtypes, the trace

    def run(*parts):
        leaves = tf.nest.flatten(parts)
        kind = [(tuple(leaf.shape), leaf.dtype) for leaf in leaves]
        if not first:
            first.extend([kind, traced.get_concrete_function(*parts)])
        return (first[1] if kind == first[0] else traced)(*parts)

    return run


def _targets(fields, temperature, top_k, head):
    """Function from x and logits to a record's arrays, "finite" `[batch]`."""

    def targets(x, logits):
        logits = head.to_be_stored(softmax.at_least_float32(logits))
        values = {"checksum": examples.checksums(x), "logits": logits}
        if top_k is not None:
            values |= TopLogits.of(logits, top_k, temperature)._asdict()
        values = {n: tf.cast(values[n], fields[n][0]) for n in fields}
        axes = list(range(1, logits.shape.rank))
        finite = tf.reduce_all(tf.math.is_finite(logits), axes)
        finite &= tf.reduce_all(tf.math.is_finite(values["logits"]), axes)
        return {**values, "finite": finite}

    return targets


def _layers(teacher):
    is_layer = isinstance(teacher, keras.Layer)
    return keras_private.all_layers(teacher) if is_layer else []


def _weights(teacher):
    return teacher.weights if isinstance(teacher, keras.Layer) else []


def _require_name(teacher, fingerprint):
    if fingerprint is None and not _weights(teacher):
        raise ValueError(
            "`fingerprint` must be given for a teacher without weights of "
            "Keras: a string that names it, and changes when it does. "
            f"Received: fingerprint=None, teacher={teacher!r}"
        )
    if fingerprint is not None and not (
        isinstance(fingerprint, str) and fingerprint
    ):
        raise ValueError(
            "`fingerprint` must be a string that is not empty. "
            f"Received: fingerprint={fingerprint!r}"
        )


def _as_logits(output, rows):
    """What a teacher returned for a batch, as a tensor, if it is logits."""
    logits = None
    if not isinstance(output, list | tuple | dict):
        with contextlib.suppress(TypeError, ValueError):
            logits = tf.convert_to_tensor(output)
    good = (
        logits is not None
        and logits.dtype.is_floating
        and logits.shape.rank >= 2
        and logits.shape[0] == rows
    )
    if not good:
        raise ValueError(
            "`teacher` must return logits [batch, ..., classes], a tensor or "
            f"array of floats. Received: {_kind(output)} for a batch of {rows}"
        )
    return logits


def _kind(output):
    if isinstance(output, list | tuple | dict):
        parts = tf.nest.map_structure(_kind, output)
        return f"a {type(output).__name__}, {parts}"
    if hasattr(output, "dtype") and hasattr(output, "shape"):
        dtype = getattr(output.dtype, "name", output.dtype)
        return f"{dtype} of shape {tuple(output.shape)}"
    return f"a {type(output).__name__}"


def _require_finite(finite, batch, dtype):
    if not finite.all():
        raise ValueError(
            "`teacher` must return finite logits, whose distance from the "
            f"largest of their row {dtype} can hold. Received: logits that are "
            f"not, first in batch {batch}, row {int(np.argmin(finite))}"
        )

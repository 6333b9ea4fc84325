"""The student alone, as a SavedModel that needs neither Keras nor kdtf."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from kdtf import _atomic, _disk, _models
from kdtf import _keras_private as keras_private
from kdtf._math import heads
from kdtf._types import Tensor
from kdtf.distiller import Distiller

_SIGNATURE = "serving_default"
_TABLES = (
    tf.lookup.StaticHashTable,
    tf.lookup.StaticVocabularyTable,
    tf.lookup.experimental.DenseHashTable,
    tf.lookup.experimental.MutableHashTable,
)


def export_student(
    distiller_or_student: Distiller | keras.Model,
    directory: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    head: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the student as a SavedModel for serving.

    Its signature `serving_default` takes the input of the student, with any
    batch size, and returns

    - `logits`: `[..., classes]` float32;
    - `probabilities`: `[..., classes]` float32, at T = 1 (paper, section 2: the
      trained student is used at a temperature of 1);
    - `class`: `[...]` int64, the most probable class;
    - `class_name`: `[...]` strings, if `class_names` are given.

    With a sigmoid head all of them are `[..., labels]`: each label has its
    probability, and its class is 1 where that is above 0.5, with one of two
    names.

    The SavedModel contains the variables of the student, and nothing of the
    teacher or the optimizer. `tf.saved_model.load` is enough to load it.

    Args:
      distiller_or_student: a `kdtf.Distiller`, or a built `keras.Model` that
        returns logits. If it is a subclass of `keras.Model`, for which Keras
        records no input dtype, the SavedModel takes float32. Of a
        `kdtf.Ensemble` the combined logits at T = 1 are served, on the input of
        its first member.
      directory: path of the folder to write, on a local or mounted disk; its
        parents are created. A symbolic link stays, and what it points to is
        written.
      class_names: one string per class, or None; for a sigmoid head two, for no
        and yes.
      head: "softmax" or "sigmoid"; None for that of the Distiller or ensemble,
        and for "softmax" of any other model.
      overwrite: if True, a SavedModel at `directory` is replaced. On failure it
        is left as it was.

    Raises:
      ValueError: if the student is not a built `keras.Model`, ends in a softmax
        or sigmoid, has one class or another head, `class_names` is not one
        string per class, or `directory` is no path on a disk, exists (unless it
        is a SavedModel and `overwrite` is True), cannot be written, or the disk
        is full.

    Example:
      >>> student = keras.Sequential(
      ...     [keras.Input((3,), name="x"), keras.layers.Dense(2)])
      >>> kdtf.export_student(student, "export", class_names=["cat", "dog"])
      >>> served = tf.saved_model.load("export").signatures["serving_default"]
      >>> outputs = served(x=tf.zeros([5, 3]))
      >>> sorted(outputs)
      ['class', 'class_name', 'logits', 'probabilities']
      >>> outputs["probabilities"].shape
      TensorShape([5, 2])
    """
    kind = _head_of(distiller_or_student, head)
    student = distiller_or_student
    if isinstance(student, Distiller):
        student = student.student
    directory = _disk.local(directory, "directory")
    specs = _input_specs(student)
    _models.check_logits(student, "distiller_or_student", kind)
    count = kind.count_of_classes(_models.class_count(student))
    _check_class_names(class_names, count)
    _check_directory(directory, overwrite)
    serve = tf.function(
        _serving_function(student, class_names, kind),
        input_signature=[specs],
        autograph=False,
    )
    # `keras.export.ExportArchive` would write every variable twice.
    module = tf.Module()
    module.serve = serve
    traced = serve.get_concrete_function()
    module.student_variables = traced.variables
    module.tables = _tables(student)
    # A subclass or an ensemble tells its number of classes only here.
    logits = traced.structured_outputs["logits"]
    _check_class_names(class_names, kind.count_of_classes(logits.shape[-1]))
    with (
        _named_failures(directory),
        _atomic.whole_directory(directory, replace=overwrite) as scratch,
    ):
        tf.saved_model.save(module, str(scratch), {_SIGNATURE: serve})


@contextlib.contextmanager
def _named_failures(directory: pathlib.Path) -> Iterator[None]:
    """Says what a folder that could not be written lacks."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow has one error for a full disk and for full memory.
        if _disk.lacks_room(error):
            rule = (
                "must be on a disk with room for a SavedModel: make room and "
                "export again; what was there is as it was"
            )
        else:
            rule = "must be writable"
        raise ValueError(
            f"`directory` {rule}. "
            f"Received: directory={str(directory)!r} ({_disk.reason(error)})"
        ) from error


def _head_of(model: Any, name: str | None) -> Any:
    """The head that was given, which must be the model's if that has one."""
    own = getattr(model, "head", None)
    has_one = isinstance(model, (Distiller, _models.MadeOfModels))
    own = own if has_one else None
    if None not in (own, name) and own != name:
        raise ValueError(
            "`head` must be None, or that of the Distiller or ensemble, "
            f'"{own}". Received: head={name!r}'
        )
    return heads.of(own or name or "softmax")


def _tables(student: keras.Model) -> list:
    """The lookup tables of a student's layers, which a SavedModel must hold."""
    return [
        value
        for layer in keras_private.all_layers(student)
        for value in vars(layer).values()
        if isinstance(value, _TABLES)
    ]


def _serving_function(
    student: keras.Model, class_names: Sequence[str] | None, head: Any
) -> Callable[[Any], dict[str, Tensor]]:
    def serve(inputs: Any) -> dict[str, Tensor]:
        logits = tf.cast(student(inputs, training=False), tf.float32)
        head.check_logits(logits, "distiller_or_student")
        outputs = {
            "logits": logits,
            "probabilities": head.probabilities(logits),
            "class": head.choices(logits),
        }
        if class_names is not None:
            names = tf.constant(list(class_names))
            outputs["class_name"] = tf.gather(names, outputs["class"])
        return outputs

    return serve


def _input_specs(student: keras.Model) -> Any:
    """Returns `tf.TensorSpec`s in the structure of the student's input."""
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`distiller_or_student` must be a Distiller or a built "
            "keras.Model: call it on data, or give it a keras.Input, first. "
            f"Received: {student!r}"
        )
    if isinstance(student, _models.MadeOfModels):
        return _input_specs(student.input_model)
    if not hasattr(student, "inputs"):  # a subclass only records shapes
        shapes = student.get_build_config()["input_shape"]
        return keras.tree.map_shape_structure(_input_spec, shapes)
    # A Sequential has one input, without a structure around it.
    structure = getattr(student, "input", student.inputs[0])
    return keras.tree.map_structure(
        lambda tensor: _input_spec(tensor.shape, tensor.dtype, tensor.name),
        structure,
    )


def _input_spec(
    shape: Sequence[int | None],
    dtype: str = "float32",
    name: str | None = None,
) -> tf.TensorSpec:
    return tf.TensorSpec((None, *shape[1:]), dtype, name)


def _check_class_names(
    class_names: Sequence[str] | None, classes: int | None
) -> None:
    if class_names is None:
        return
    good = not isinstance(class_names, str) and all(
        isinstance(name, str) for name in class_names
    )
    if not good or classes not in (None, len(class_names)):
        count = "" if classes is None else f"{classes} "
        raise ValueError(
            f"`class_names` must be {count}strings, one per class. "
            f"Received: class_names={class_names!r}"
        )


def _check_directory(directory: pathlib.Path, overwrite: bool) -> None:
    if not directory.exists():
        return
    if not overwrite:
        raise ValueError(
            "`directory` must not exist, or `overwrite` must be True. "
            f"Received: directory={str(directory)!r}, which exists"
        )
    # A mistyped path must not delete another folder.
    if not (directory / "saved_model.pb").is_file():
        raise ValueError(
            "`directory` must be a SavedModel to be overwritten. Received: "
            f"directory={str(directory)!r}, which has no saved_model.pb"
        )

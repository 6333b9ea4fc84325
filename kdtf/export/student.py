"""The student alone, as a SavedModel that needs neither Keras nor kdtf."""

import contextlib
import os
import pathlib
from typing import Any

import keras
import tensorflow as tf

from kdtf import _atomic, _disk
from kdtf.distiller import Distiller
from kdtf.export import _files, _inputs, _outputs, _tracing
from kdtf.export._outputs import ClassNames, Heads

_SIGNATURE = "serving_default"


def export_student(
    distiller_or_student: Distiller | keras.Model,
    directory: str | os.PathLike[str],
    *,
    class_names: ClassNames = None,
    head: Heads = None,
    dtype: str | None = "float32",
    batch_size: int | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the student as a SavedModel for serving.

    Its signature `serving_default` takes the input of the student, with any
    batch size unless one is given, and returns

    - `logits`: `[..., classes]` float32;
    - `probabilities`: `[..., classes]` float32, at T = 1 (paper, section 2: the
      trained student is used at a temperature of 1);
    - `class`: `[...]` int64, the most probable class;
    - `class_name`: `[...]` strings, if `class_names` are given.

    With a sigmoid head all of them are `[..., labels]`: each label has its
    probability, and its class is 1 where that is above 0.5, with one of two
    names.

    Of a student with several outputs they are `NAME_logits`,
    `NAME_probabilities`, ... for each output: its key in a dict, or its name
    among `student.output_names` in a list. A subclass of `keras.Model` that
    returns a list does not tell names: those of a dict `head` are taken in
    order, else `output_0`, ... An output whose head is None is returned as it
    is, as `NAME`.

    The key of an input is its key in a dict, or the name that its `keras.Input`
    was given (other characters than letters, digits and `_` become `_`). Inputs
    without either are `x`, `x_1`, ... in the order of the student's inputs,
    however many layers the process has made before.

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
        and yes. Of several outputs a dict from output name to such strings;
        outputs may be missing in it.
      head: "softmax" or "sigmoid"; None for that of the Distiller or ensemble,
        and for "softmax" of any other model. Of several outputs also a dict
        from the name of every output to its head, or to None.
      dtype: "float32": layers that compute in float16 or bfloat16, as those of
        mixed precision do, compute in float32 in the SavedModel, and such an
        input is float32; nothing else changes, so a float32 student is
        exported as it is. None: all layers compute as they do. Layers that
        were quantised or have LoRA weights stay as they are.
      batch_size: int, a fixed batch size for converters that need one; None for
        any.
      overwrite: if True, a SavedModel at `directory` is replaced. On failure it
        is left as it was.

    Raises:
      ValueError: if the student is not a built `keras.Model`, ends in a softmax
        or sigmoid, has one class or another head, has other outputs than `head`
        or `class_names` name, has code of its own that asks for half precision
        (unless `dtype` is None), `class_names` is not one string per class,
        `batch_size` is not positive, or `directory` is no path on a disk,
        exists (unless it is a SavedModel and `overwrite` is True), cannot be
        written, or the disk is full.

    Example:
      >>> student = keras.Sequential(
      ...     [keras.Input((3,)), keras.layers.Dense(2)])
      >>> kdtf.export_student(student, "export", class_names=["cat", "dog"])
      >>> served = tf.saved_model.load("export").signatures["serving_default"]
      >>> outputs = served(x=tf.zeros([5, 3]))
      >>> sorted(outputs)
      ['class', 'class_name', 'logits', 'probabilities']
      >>> outputs["probabilities"].shape
      TensorShape([5, 2])
    """
    given = _outputs.head_of(distiller_or_student, head)
    student = distiller_or_student
    if isinstance(student, Distiller):
        student = student.student
    directory = _disk.local(directory, "directory")
    _check_dtype(dtype)
    _check_batch_size(batch_size)
    specs = _inputs.specs_of(student, batch_size)
    _outputs.check_ends(student, given)
    _check_directory(directory, overwrite)
    serve = _outputs.serving_function(student, given, class_names)
    precision: Any = contextlib.nullcontext()
    if dtype is None:
        program = _tracing.traced(serve, specs)
    else:
        program = _tracing.traced_in_float32(
            student, serve, _inputs.in_float32(specs)
        )
        precision = _tracing.in_float32(student)
    module = _tracing.module_of(student, program)
    with (
        precision,  # the gradients of custom functions are traced only here
        _files.named_failures(directory, "directory", "a SavedModel"),
        _atomic.whole_directory(directory, replace=overwrite) as scratch,
    ):
        tf.saved_model.save(module, str(scratch), {_SIGNATURE: program})


def _check_dtype(dtype: Any) -> None:
    if dtype is not None and dtype != "float32":
        raise ValueError(
            '`dtype` must be "float32", or None to keep the precision that the '
            f"student computes in. Received: dtype={dtype!r}"
        )


def _check_batch_size(batch_size: Any) -> None:
    is_int = isinstance(batch_size, int) and not isinstance(batch_size, bool)
    if batch_size is not None and not (is_int and batch_size > 0):
        raise ValueError(
            "`batch_size` must be a positive int, or None for any batch size. "
            f"Received: batch_size={batch_size!r}"
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

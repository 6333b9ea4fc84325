"""The student alone, as a SavedModel that needs neither Keras nor kdtf."""

import pathlib

import keras
import tensorflow as tf

from kdtf import _atomic, _models
from kdtf.distiller import Distiller

_SIGNATURE = "serving_default"


def export_student(
    distiller_or_student, directory, *, class_names=None, overwrite=False
):
    """Writes the student as a SavedModel for serving.

    Its signature `serving_default` takes the student's input, with any batch
    size, and gives

    - `logits`: `[..., classes]` float32;
    - `probabilities`: `[..., classes]` float32, at T = 1 (paper, section 2: the
      trained student is used at a temperature of 1);
    - `class`: `[...]` int64, the most probable class;
    - `class_name`: `[...]` strings, where `class_names` were given.

    It holds the student's variables and nothing of teacher or optimizer, and
    is loaded with `tf.saved_model.load` alone.

    Args:
      distiller_or_student: a `kdtf.Distiller` or a built `keras.Model` that
        returns logits. A student that is a subclass of `keras.Model`, whose
        input dtype Keras does not record, takes float32.
      directory: path of the folder to write; its parents are made.
      class_names: sequence of one string a class, or None.
      overwrite: whether a SavedModel in `directory` is replaced, whole or not
        at all.

    Raises:
      ValueError: where the student was never built, `class_names` are not one
        string a class, or `directory` exists (unless it is a SavedModel and
        `overwrite` is True) or cannot be written.

    Example:
      >>> kdtf.export_student(distiller, "export", class_names=["cat", "dog"])
      >>> serve = tf.saved_model.load("export").signatures["serving_default"]
      >>> serve(images)["class_name"]
    """
    student = distiller_or_student
    if isinstance(student, Distiller):
        student = student.student
    directory = pathlib.Path(directory)
    specs = _input_specs(student)
    _check_class_names(class_names, _models.class_count(student))
    _check_directory(directory, overwrite)
    serve = tf.function(
        _serving_function(student, class_names), input_signature=[specs]
    )
    # Not `keras.export.ExportArchive`, which writes every variable twice.
    module = tf.Module()
    module.serve = serve
    module.student_variables = serve.get_concrete_function().variables
    try:
        with _atomic.whole_directory(directory, replace=overwrite) as scratch:
            tf.saved_model.save(module, str(scratch), {_SIGNATURE: serve})
    except OSError as error:
        raise ValueError(
            "`directory` must be a place that can be written. "
            f"Received: directory={str(directory)!r} ({error.strerror})"
        ) from error


def _serving_function(student, class_names):
    def serve(inputs):
        logits = tf.cast(student(inputs, training=False), tf.float32)
        outputs = {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class": tf.argmax(logits, axis=-1),
        }
        if class_names is not None:
            names = tf.constant(list(class_names))
            outputs["class_name"] = tf.gather(names, outputs["class"])
        return outputs

    return serve


def _input_specs(student):
    """`tf.TensorSpec`s of the student's input, in the input's structure."""
    if not (isinstance(student, keras.Model) and student.built):
        raise ValueError(
            "`distiller_or_student` must be a Distiller or a keras.Model that "
            "was built: call it on data, or give it a keras.Input, first. "
            f"Received: {student!r}"
        )
    if not hasattr(student, "inputs"):  # a subclass, which records shapes alone
        shapes = student.get_build_config()["input_shape"]
        return keras.tree.map_shape_structure(_input_spec, shapes)
    # A Sequential has one input, and no structure around it.
    structure = getattr(student, "input", student.inputs[0])
    return keras.tree.map_structure(
        lambda tensor: _input_spec(tensor.shape, tensor.dtype, tensor.name),
        structure,
    )


def _input_spec(shape, dtype="float32", name=None):
    return tf.TensorSpec((None, *shape[1:]), dtype, name)


def _check_class_names(class_names, classes):
    if class_names is None:
        return
    good = not isinstance(class_names, str) and all(
        isinstance(name, str) for name in class_names
    )
    if not good or classes not in (None, len(class_names)):
        raise ValueError(
            f"`class_names` must be {classes} strings, one a class. "
            f"Received: class_names={class_names!r}"
        )


def _check_directory(directory, overwrite):
    if not directory.exists():
        return
    if not overwrite:
        raise ValueError(
            "`directory` must not exist, or `overwrite` be True. "
            f"Received: directory={str(directory)!r}, which exists"
        )
    # Whoever mistypes a path must not lose what lies there.
    if not (directory / "saved_model.pb").is_file():
        raise ValueError(
            "`directory` must be a SavedModel to be overwritten. Received: "
            f"directory={str(directory)!r}, which holds no saved_model.pb"
        )

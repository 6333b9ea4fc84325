"""The student alone, as a `.tflite` for LiteRT on phones and small devices."""

import dataclasses
import os
import pathlib
from typing import Any

import keras
import tensorflow as tf

from kdtf import _atomic, _disk
from kdtf import _keras_private as keras_private
from kdtf.distiller import Distiller
from kdtf.export import (
    _agreement,
    _conversion,
    _files,
    _inputs,
    _outputs,
    _samples,
    _tracing,
)
from kdtf.export._outputs import Heads

_QUANTIZE = (None, "dynamic", "int8")
_MARK = b"TFL3"  # bytes 4 to 7 of a `.tflite`


@dataclasses.dataclass(frozen=True)
class LiteRTReport:
    """What `kdtf.export_litert` wrote, and how close it is to the student.

    Attributes:
      size: bytes of the file.
      examples: number of examples that were compared, those of
        `representative_data`.
      agreement: share of the examples (of a sigmoid head, of their labels; of
        time frames, of the frames) for which the `.tflite` and the float
        student choose the same class. Of several outputs a dict from output
        name. None without `representative_data`.
      largest_difference: of a probability in the `.tflite` from that of the
        float student; a dict and None as for `agreement`.
    """

    size: int
    examples: int = 0
    agreement: float | dict[str, float] | None = None
    largest_difference: float | dict[str, float] | None = None


def export_litert(
    distiller_or_student: Distiller | keras.Model,
    path: str | os.PathLike[str],
    *,
    quantize: str | None = None,
    representative_data: Any = None,
    head: Heads = None,
    overwrite: bool = False,
) -> LiteRTReport:
    """Writes the student as a `.tflite`, which LiteRT runs on a device.

    LiteRT is the runtime that was called TensorFlow Lite. The file has one
    signature, `serving_default`, with the keys, heads and outputs of
    `kdtf.export_student`, without `class_name`, and takes one example at a
    time: the batch size is 1. It has LiteRT's own operations only ("built-in"
    ones), computes in float32 whatever the precision of the student's layers,
    and takes and returns float32, however it is quantised.

    `quantize` is

    - None: weights and activations are float32;
    - "dynamic": weights are 8-bit integers, activations float32. A quarter of
      the size; no data are needed;
    - "int8": weights and activations are 8-bit integers, as accelerators for
      integers need them. Their ranges are measured on `representative_data`,
      and probabilities are multiples of 1/256. The few operations that LiteRT
      has for floats only stay in float32, such as a sign in layer
      normalisation. Recurrent layers are unrolled, so the file grows with the
      number of time steps.

    Args:
      distiller_or_student: as of `kdtf.export_student`. All dimensions of its
        input must be known, except the batch size.
      path: path of the file to write, on a local or mounted disk; its parents
        are created.
      quantize: None, "dynamic" or "int8".
      representative_data: examples like those to come, some hundred: arrays
        `[examples, ...]` in the structure of the student's input, or a finite
        `tf.data.Dataset` of batches of x, (x, y) or (x, y, sample_weight).
        Needed for "int8", else optional. Where it is given, the `.tflite` is
        compared with the student on it, which needs `ai-edge-litert`
        (`pip install kdtf[litert]`).
      head: as of `kdtf.export_student`.
      overwrite: if True, a `.tflite` at `path` is replaced. On failure it is
        left as it was.

    Returns:
      A `LiteRTReport`: `size` in bytes, `examples`, `agreement` with the float
      student, and `largest_difference` of probabilities.

    Raises:
      ValueError: if the student is none that `kdtf.export_student` takes, has
        strings or unknown dimensions as input, or operations that LiteRT does
        not have (the error names them), `quantize` is none of the three,
        `representative_data` is missing for "int8", empty, infinite, not
        finite numbers, or not what the student takes, or `path` is no path on a
        disk, exists (unless it is a `.tflite` and `overwrite` is True), cannot
        be written, or the disk is full.
      ImportError: if `representative_data` is given and `ai-edge-litert` is
        not installed.

    Example:
      >>> report = kdtf.export_litert(
      ...     student, "student.tflite", quantize="int8", representative_data=x)
      >>> report.examples
      8
      >>> from ai_edge_litert.interpreter import Interpreter
      >>> run = Interpreter("student.tflite").get_signature_runner()
      >>> outputs = run(x=x[:1])
      >>> sorted(outputs)
      ['class', 'logits', 'probabilities']
    """
    given = _outputs.head_of(distiller_or_student, head)
    student = distiller_or_student
    if isinstance(student, Distiller):
        student = student.student
    path = _disk.local(path, "path")
    _check_quantize(quantize, representative_data)
    specs = _inputs.in_float32(_inputs.specs_of(student, batch_size=1))
    _check_inputs(specs)
    _check_layers(student)
    _outputs.check_ends(student, given)
    _check_path(path, overwrite)
    examples = []
    if representative_data is not None:
        _agreement.interpreter_class()
        examples = _samples.examples_of(representative_data, specs)
    content, report = _converted(student, given, specs, quantize, examples)
    with _files.named_failures(path, "path", "a .tflite"):
        path.parent.mkdir(parents=True, exist_ok=True)
        _atomic.write_whole(path, content)
    return report


def _converted(
    student: keras.Model,
    head: Heads,
    specs: Any,
    quantize: str | None,
    examples: list[_samples.Example],
) -> tuple[bytes, LiteRTReport]:
    """A `.tflite` and its report, from checked arguments."""
    serve = _outputs.serving_function(student, head, class_names=None)
    with _tracing.for_devices(student, unroll=quantize == "int8"):
        program = _tracing.traced_in_float32(student, serve, specs)
    module = _tracing.module_of(student, program)
    content = _conversion.converted(module, quantize, examples)
    if not examples:
        return content, LiteRTReport(len(content))
    agreement, difference = _agreement.compared(content, program, examples)
    return content, LiteRTReport(
        len(content), len(examples), agreement, difference
    )


def _check_quantize(quantize: Any, representative_data: Any) -> None:
    if quantize not in _QUANTIZE:
        raise ValueError(
            '`quantize` must be None, "dynamic" or "int8". '
            f"Received: quantize={quantize!r}"
        )
    if quantize == "int8" and representative_data is None:
        raise ValueError(
            "`representative_data` must be given for quantize='int8', which "
            "measures the ranges of activations on it: some hundred examples "
            "like those to come, such as x_train[:300]. "
            "Received: representative_data=None"
        )


def _check_inputs(specs: Any) -> None:
    """Raises ValueError on inputs that LiteRT cannot take."""
    for spec in keras.tree.flatten(specs):
        if spec.dtype == tf.string:
            raise ValueError(
                "`distiller_or_student` must take numbers: LiteRT has no "
                "look-ups of strings, so move those in front of the student. "
                f"Received: the input {spec.name!r} of strings"
            )
        if spec.shape.rank is None or None in spec.shape:
            raise ValueError(
                "`distiller_or_student` must have an input of known "
                "dimensions for a .tflite, all but the batch size: build it "
                "with keras.Input((steps, features)), say, and copy the "
                "weights with student.set_weights(...). Received: the input "
                f"{spec.name!r} of shape {(None, *spec.shape[1:])}"
            )


def _check_layers(student: keras.Model) -> None:
    """Raises ValueError on layers that are not for devices."""
    advice = {
        "float64": "compute in float32: build it so, and copy the weights",
        "quantized": "be exported before student.quantize(...): "
        'quantize="int8" of kdtf.export_litert does that here',
        "stateful": "keep no state between examples: build it with "
        "stateful=False, and copy the weights",
    }
    for layer in keras_private.all_layers(student):
        is_so = {
            "float64": layer.compute_dtype == "float64",
            "quantized": layer.quantization_mode is not None,
            "stateful": getattr(layer, "stateful", False),
        }
        for kind, rule in advice.items():
            if is_so[kind]:
                raise ValueError(
                    f"`distiller_or_student` must {rule}. "
                    f"Received: {student.name!r} with the {kind} layer "
                    f"{layer.name!r}"
                )


def _check_path(path: pathlib.Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise ValueError(
            "`path` must not exist, or `overwrite` must be True. "
            f"Received: path={str(path)!r}, which exists"
        )
    # A mistyped path must not delete another file.
    if not path.is_file() or path.read_bytes()[4:8] != _MARK:
        raise ValueError(
            "`path` must be a .tflite to be overwritten. Received: "
            f"path={str(path)!r}, which is something else"
        )

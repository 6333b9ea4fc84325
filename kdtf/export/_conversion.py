"""TensorFlow's converter to LiteRT: what it cannot do, and its noise."""

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from kdtf.export import _samples, _tracing

_LOOPS = ("While", "StatelessWhile", "If", "StatelessIf", "Case")
# How its errors name operations that are not LiteRT's.
_OPERATION = re.compile(r"\btf\.([A-Z]\w*)|\bFlex([A-Z]\w*)")


def converted(
    module: tf.Module,
    quantize: str | None,
    examples: Sequence[_samples.Example],
) -> bytes:
    """A `.tflite` of a student.

    Args:
      module: as `_tracing.module_of` makes it.
      quantize: None, "dynamic" or "int8".
      examples: what ranges of activations are measured on, for "int8".

    Raises:
      ValueError: names the operations that LiteRT does not have.
    """
    program = module.serve
    if quantize == "int8":
        _check_no_loops(program)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [program], module
    )
    if quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "int8":
        converter.representative_dataset = lambda: iter(examples)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
    try:
        with quiet():
            return converter.convert()
    except Exception as error:  # of several kinds
        raise _named(error, quantize) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps off the terminal what C++ and Python print there meanwhile."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        logger.setLevel(level)


def _check_no_loops(program: Any) -> None:
    """Raises on what ends the whole process when it is quantised."""
    found = sorted(
        {node.op for node in _tracing.nodes(program) if node.op in _LOOPS}
    )
    if found:
        raise ValueError(
            '`quantize` must be None or "dynamic" for a student with loops or '
            "branches in its code (recurrent layers of Keras are unrolled, and "
            "convert). Received: quantize='int8' and the operations "
            f"{', '.join(found)}"
        )


def _named(error: Exception, quantize: str | None) -> ValueError:
    """What the converter could not do, in a sentence."""
    said = str(error).strip()
    found = {one or other for one, other in _OPERATION.findall(said)}
    if found:
        return ValueError(
            "`distiller_or_student` must consist of operations that LiteRT has "
            "built in: replace the layers that need others, or move them in "
            "front of the student (text and look-ups of strings, say), or "
            "serve it by kdtf.export_student. Received: the operations "
            f"{', '.join(sorted(found))}"
        )
    return ValueError(
        "`distiller_or_student` must be a student that TensorFlow's converter "
        "can convert: try another `quantize`, or None, or serve it by "
        f"kdtf.export_student. Received: quantize={quantize!r}, for which the "
        f"converter fails ({said.partition(chr(10))[0] or repr(error)})"
    )

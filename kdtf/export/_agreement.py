"""How close a converted student is to the student."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kdtf.export import _conversion, _outputs
from kdtf.export._samples import Example

ByOutput = float | dict[str, float]


def interpreter_class() -> Any:
    """LiteRT's class Interpreter.

    Raises:
      ImportError: if its package is not installed.
    """
    try:
        return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError as error:
        raise ImportError(
            "kdtf.export_litert compares the converted student with the "
            "student on `representative_data`, by LiteRT's interpreter: "
            "pip install ai-edge-litert, which is the extra kdtf[litert]. "
            "Only quantize='int8' cannot do without these data."
        ) from error


def compared(
    content: bytes,
    program: Any,
    examples: Sequence[Example],
) -> tuple[ByOutput, ByOutput]:
    """Runs both on all examples, one at a time.

    Args:
      content: a `.tflite`.
      program: concrete function, the float student.
      examples: at least one.

    Returns:
      The share of classes that are the same, and the largest difference of
      probabilities. Of a student with several outputs a dict of each, from the
      name of an output that has classes.
    """
    found = _run(content, examples)
    expected = [program(**_tensors(example)) for example in examples]
    names = [
        key.removesuffix("probabilities").removesuffix("_")
        for key in sorted(expected[0])
        if key == "probabilities" or key.endswith("_probabilities")
    ]
    agreement, difference = {}, {}
    for name in names:
        same, gaps = [], []
        chosen = _outputs.key_of(name, "class")
        likely = _outputs.key_of(name, "probabilities")
        for one, other in zip(found, expected, strict=True):
            same.append(one[chosen] == np.asarray(other[chosen]))
            gaps.append(np.abs(one[likely] - np.asarray(other[likely])).max())
        agreement[name] = float(np.mean(same))
        difference[name] = float(np.max(gaps))
    if _outputs.ONE in names:
        return agreement[_outputs.ONE], difference[_outputs.ONE]
    return agreement, difference


def _tensors(example: Example) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in example.items()}


def _run(content: bytes, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """What a `.tflite` returns for each example."""
    try:
        with _conversion.quiet():
            interpreter = interpreter_class()(model_content=content)
            runner = interpreter.get_signature_runner()
            return [runner(**example) for example in examples]
    except RuntimeError as error:
        said = str(error).partition("\n")[0]
        raise ValueError(
            "`quantize` must be one under which LiteRT can run the student; "
            f"try another one, or None. Received: a .tflite that fails ({said})"
        ) from error

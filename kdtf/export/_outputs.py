"""What is served of each output of a student."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from kdtf import _models
from kdtf._math import heads
from kdtf._types import Tensor
from kdtf.distiller import Distiller

Heads: TypeAlias = str | Mapping[str, str | None] | None
ClassNames: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]] | None

ONE = ""  # the name of a student's one output
_HALVES = (tf.float16, tf.bfloat16)


def head_of(model: Any, given: Heads) -> Heads:
    """The head that was given, which must be the model's if that has one."""
    own: Heads = None
    if isinstance(model, (Distiller, _models.MadeOfModels)):
        own = model.head
    if own is not None and given is not None and own != given:
        raise ValueError(
            "`head` must be None, or that of the Distiller or ensemble, "
            f"{own!r}. Received: head={given!r}"
        )
    return own if own is not None else given


def key_of(name: str, what: str) -> str:
    """The key in the signature of what is served of an output."""
    return what if name == ONE else f"{name}_{what}"


def check_ends(student: keras.Model, given: Heads) -> None:
    """Raises ValueError if outputs cannot be logits, or be told apart."""
    names = _models.output_names(student)
    _models.check_output_names(names, "distiller_or_student")
    if names is None:  # one, or a model that does not tell
        if not isinstance(given, Mapping):
            head = heads.of(given or "softmax")
            _models.check_logits(student, "distiller_or_student", head)
        return
    outputs = _models.outputs(student)
    for name, head in heads_by_name(given, names).items():
        found = head and _models.last_activation(student, outputs[name])
        if found:
            raise ValueError(
                "`distiller_or_student` must return logits, not "
                f"probabilities: build the output {name!r} without its last "
                f"{found}, or pass it on as it is with head={{{name!r}: None, "
                f"...}}. Received: {student.name!r}, whose output {name!r} "
                f"ends in a {found}"
            )


def heads_by_name(given: Heads, names: Any) -> dict[str, Any]:
    """The head of each output, one of `_math.heads`, or None.

    Args:
      given: one head for all, None for softmax; or a dict from output name.
      names: of the outputs, as keys of a dict.

    Raises:
      ValueError: if there is no such head, or a dict has other names.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, heads.of(given or "softmax"))
    if ONE in names:
        raise ValueError(
            '`head` must be "softmax" or "sigmoid" for a student with one '
            f"output. Received: head={given!r}"
        )
    if set(given) != set(names):
        raise ValueError(
            "`head` must be one for all outputs, or a dict from the name of "
            f"each output, {sorted(names)}, to its head, or None where it is "
            f"passed on as it is. Received: head={given!r}"
        )
    return {
        name: None if given[name] is None else heads.of(given[name])
        for name in names
    }


def serving_function(
    student: keras.Model, given: Heads, class_names: ClassNames
) -> Callable[[Any], dict[str, Tensor]]:
    """A function from the student's input to what is served.

    Args:
      student: a built `keras.Model`.
      given: as `heads_by_name` takes it.
      class_names: strings, or a dict of them by output; None for none.

    Returns:
      A function that raises ValueError when it is traced if an output cannot
      be what its head says, or `class_names` are not its classes.
    """

    def serve(inputs: Any) -> dict[str, Tensor]:
        outputs = _by_name(student, student(inputs, training=False), given)
        of_outputs = heads_by_name(given, outputs)
        names = _class_names_by_name(class_names, of_outputs)
        served: dict[str, Tensor] = {}
        for name, output in outputs.items():
            head = of_outputs[name]
            if head is None:
                _add(served, name, _passed_on(output, name))
                continue
            described = _described(output, name, head, names.get(name))
            for what, value in described.items():
                _add(served, key_of(name, what), value)
        return served

    return serve


def _by_name(
    student: keras.Model, outputs: Any, given: Heads
) -> dict[str, Any]:
    """What a student returned, by the names of its outputs; one by `ONE`."""
    if isinstance(outputs, dict):
        return dict(outputs)
    if not isinstance(outputs, list | tuple):
        return {ONE: outputs}
    names = _models.output_names(student)
    if names is None:  # a subclass, as a Distiller of it names its outputs
        numbered = [f"output_{i}" for i in range(len(outputs))]
        names = tuple(given) if isinstance(given, Mapping) else numbered
    if len(names) != len(outputs):
        raise ValueError(
            "`head` must be one for all outputs, or a dict with one for each "
            f"of the {len(outputs)} outputs, in order. Received: head={given!r}"
        )
    return dict(zip(names, outputs, strict=True))


def _described(
    output: Any, name: str, head: Any, class_names: Sequence[str] | None
) -> dict[str, Tensor]:
    """Logits, probabilities, class and class name of one output."""
    argument = "distiller_or_student"
    if name != ONE:
        argument += f", output {name!r}"
    _check_tensor(output, argument)
    logits = tf.cast(output, tf.float32)
    head.check_logits(logits, argument)
    described = {
        "logits": logits,
        "probabilities": head.probabilities(logits),
        "class": head.choices(logits),
    }
    if class_names is not None:
        _check_class_names(
            class_names, name, head.count_of_classes(logits.shape[-1])
        )
        names = tf.constant(list(class_names))
        described["class_name"] = tf.gather(names, described["class"])
    return described


def _passed_on(output: Any, name: str) -> Tensor:
    """An output that is no logits, in a dtype that every client knows."""
    _check_tensor(output, f"distiller_or_student, output {name!r}")
    tensor = tf.convert_to_tensor(output)
    return tf.cast(tensor, tf.float32) if tensor.dtype in _HALVES else tensor


def _check_tensor(output: Any, argument: str) -> None:
    if isinstance(output, dict | list | tuple):
        raise ValueError(
            f"`{argument}` must be one tensor: give the student a flat dict of "
            f"outputs. Received: a {type(output).__name__}"
        )


def _add(served: dict[str, Tensor], key: str, value: Tensor) -> None:
    if key in served:
        raise ValueError(
            "`distiller_or_student` must have outputs whose names, with what "
            "is added to them (`NAME_logits`, `NAME_probabilities`, "
            "`NAME_class`, `NAME_class_name`), differ: rename one. Received: "
            f"{key!r} twice"
        )
    served[key] = value


def _class_names_by_name(
    given: ClassNames, of_outputs: dict[str, Any]
) -> dict[str, Any]:
    """`class_names` of those outputs that have some."""
    if given is None:
        return {}
    if ONE in of_outputs:
        return {ONE: given}
    trained = sorted(name for name in of_outputs if of_outputs[name])
    if not isinstance(given, Mapping) or not set(given) <= set(trained):
        raise ValueError(
            "`class_names` must be a dict from the name of an output, of "
            f"{trained}, to its class names. Received: class_names={given!r}"
        )
    return dict(given)


def _check_class_names(given: Any, name: str, classes: int | None) -> None:
    good = isinstance(given, Sequence) and not isinstance(given, str)
    good = good and all(isinstance(each, str) for each in given)
    if not good or classes not in (None, len(given)):
        count = "" if classes is None else f"{classes} "
        of_output = "" if name == ONE else f" of output {name!r}"
        raise ValueError(
            f"`class_names`{of_output} must be {count}strings, one per class. "
            f"Received: class_names={given!r}"
        )

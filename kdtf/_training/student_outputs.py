"""Which outputs of a student are trained, and with what settings."""

from kdtf import _models
from kdtf._training.output import Output
from kdtf._training.outputs import OneOutput
from kdtf._training.several_outputs import SeveralOutputs


def of(student, *, check_inputs, **settings):
    """The outputs of a student that are to be trained.

    Args:
      student: a `keras.Model`.
      check_inputs: bool.
      **settings: temperature, soft_weight, hard_weight and head, each a value
        or a dict from output name to value.

    Returns:
      `OneOutput` or `SeveralOutputs`.

    Raises:
      ValueError: if settings name outputs that are none, or leave some out,
        two outputs have the same name, or there is one without a name.
    """
    names = _models.output_names(student)
    _models.check_output_names(names, "student")
    named = {key: v for key, v in settings.items() if isinstance(v, dict)}
    if names is None and named:
        _require_untold(student, named)
        names = tuple(next(iter(named.values())))
    if names is None:
        return OneOutput(Output(check_inputs=check_inputs, **settings))
    trained = _trained(settings["head"], names)
    for key, value in named.items():
        _require_names(key, value, names, trained)
    values = {key: _by_name(v, names) for key, v in settings.items()}
    return SeveralOutputs(
        names,
        [
            _output(
                name,
                prefix=f"{name}_" if len(trained) > 1 else "",
                check_inputs=check_inputs,
                **{key: values[key][name] for key in settings},
            )
            for name in trained
        ],
        in_order=not isinstance(_models.output(student), dict),
    )


def _require_untold(student, named):
    """Raises if a student tells that it has one output, without a name."""
    if _models.output(student) is not None:
        argument, value = next(iter(named.items()))
        raise ValueError(
            f"`{argument}` must be one value for a student of one output; a "
            "dict is for one that returns a dict or a list. "
            f"Received: {argument}={value!r}"
        )


def _output(name, **given):
    try:
        return Output(name=name, **given)
    except ValueError as error:
        raise ValueError(
            f"{error}, for the output {name!r} (head None: it is not trained)"
        ) from error


def plain(settings):
    """Settings as a configuration holds them, which is written as JSON."""
    return {key: _plain(value) for key, value in settings.items()}


def _plain(value):
    if isinstance(value, dict):
        return plain(value)
    return value if value is None or isinstance(value, str) else float(value)


def _trained(head, names):
    """The outputs that have a head."""
    if not isinstance(head, dict):
        return list(names)
    _require_names("head", head, names, names)
    trained = [name for name in names if head[name] is not None]
    if not trained:
        raise ValueError(
            "`head` must be None for outputs that are not trained, and there "
            f"must be others. Received: head={head!r}"
        )
    return trained


def _by_name(value, names):
    """Dict from name to value, of a dict or of one value for all."""
    return value if isinstance(value, dict) else dict.fromkeys(names, value)


def _require_names(argument, value, names, needed):
    """Raises unless a dict has a value for the outputs that need one."""
    if not set(needed) <= set(value) <= set(names):
        raise ValueError(
            f"`{argument}` must be one value for all outputs, or a dict with "
            f"one for each of {list(needed)}. "
            f"Received: {argument}={value!r}"
        )

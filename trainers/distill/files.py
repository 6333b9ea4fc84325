"""Models that users give as files."""

import contextlib
import functools
import hashlib
import pathlib
import re

import keras

_BY_KERAS = "Exception encountered when calling"
_BOLD = re.compile(r"\x1b\[\d*m")


# Looked at for its input first, and used later.
@functools.cache
def load_model(flag, path):
    """As `open_model`, of a model that nobody changes."""
    return open_model(flag, path)


def open_model(flag, path):
    """A model of a `.keras` file, which runs no code that the file brings.

    Args:
      flag: str, name of the flag.
      path: str, its value.

    Returns:
      `keras.Model`.

    Raises:
      ValueError: names the flag.
    """
    require(flag, path)
    with named(flag, path, "a Keras model that keras.saving.load_model opens"):
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"--{flag} must be a saved keras.Model. "
            f"Received: --{flag}={path}, a {type(model).__name__}"
        )
    return model


@contextlib.contextmanager
def named(flag, path, what):
    """Makes whatever opening a file raises a sentence about the flag."""
    try:
        yield
    except Exception as error:  # of as many kinds as there are files
        raise ValueError(
            f"--{flag} must be {what}. Received: --{flag}={path} "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from error


def _first_line(error):
    """What an error says first, after the layer in which Keras met it."""
    said = _BOLD.sub("", str(error)).strip()
    if said.startswith(_BY_KERAS):
        said = said.partition("\n")[2].strip() or said
    return said.partition("\n")[0]


def require(flag, path):
    """Raises a ValueError where there is no such file or folder."""
    if not pathlib.Path(path).exists():
        raise ValueError(
            f"--{flag} must be a file or folder that exists. "
            f"Received: --{flag}={path}, which does not"
        )


def digest(path):
    """Twelve characters of the checksum of a file, or of a folder's files."""
    path = pathlib.Path(path)
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.relative_to(path.parent).as_posix().encode())
            found.update(file.read_bytes())
    return found.hexdigest()[:12]


def image_of(flag, path):
    """What images a model of a `.keras` file takes.

    Args:
      flag: str, name of the flag.
      path: str, its value.

    Returns:
      Dict of "image_size", `(height, width)`, and "channels", each of them None
      where the model does not tell; an empty dict for models of other inputs.
    """
    shape = load_model(flag, path).input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        return {}
    _, height, width, channels = shape
    return {
        "image_size": None if None in (height, width) else (height, width),
        "channels": channels if channels in (1, 3) else None,
    }


def check_fits(flag, spec, model, data):
    """Refuses a model of other inputs, or of other classes.

    Args:
      flag: str, name of the flag.
      spec: str, its value.
      model: `keras.Model`.
      data: `cases.Data`.

    Raises:
      ValueError: names the flag.
    """
    wanted = model.input_shape
    if isinstance(wanted, list | dict):
        raise ValueError(
            f"--{flag} must be a model with one input. "
            f"Received: --{flag}={spec}, whose inputs are {wanted}"
        )
    if wanted[0] is not None:
        raise ValueError(
            f"--{flag} must take batches of any size: build it without one, "
            f"and copy the weights. Received: --{flag}={spec}, which takes "
            f"batches of {wanted[0]}"
        )
    found = (None, *data.input_shape)
    if len(wanted) != len(found) or any(
        w not in (None, f) for w, f in zip(wanted, found, strict=True)
    ):
        raise ValueError(
            f"--{flag} must take the cases of --data, {data.input_shape}: see "
            "--image_size, --seconds and --columns for their shape. "
            f"Received: --{flag}={spec}, which takes {tuple(wanted[1:])}"
        )
    outputs = model.output_shape
    binary = data.classes == 2
    if isinstance(outputs, list | dict) or not (
        outputs[-1] == data.classes
        or (binary and outputs[-1] == 1)
        or not data.classes  # of data without labels nobody knows them yet
    ):
        raise ValueError(
            f"--{flag} must have an output for each of the {data.classes} "
            f"classes of --data{', or one for both' if binary else ''}. "
            f"Received: --{flag}={spec}, whose output is {outputs}"
        )

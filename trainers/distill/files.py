"""Models that users give as files."""

import contextlib
import functools
import hashlib
import pathlib

import keras


# Looked at for its input first, and used later.
@functools.cache
def load_model(flag, path):
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
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"--{flag} must be {what}. Received: --{flag}={path} "
            f"({type(error).__name__}: {said})"
        ) from error


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


def path(given):
    """`pathlib.Path` of what a flag names."""
    return pathlib.Path(given)


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

"""`npz:PATH`: arrays that `numpy.savez` has stored.

`x` `[cases, ...]`, numbers, and `y` `[cases]`, labels; `--label` names another
array than `y`. `sample_weight` `[cases]` may be there, and so may splits of
their own, `x_test` and `y_test`, `x_held_out` and `y_held_out`. Names that end
in `_train` are understood too, and the others of `splits.NAMES`, as `x_val`.
x of `uint8` and `[cases, height, width, 1 or 3]` are images; `[cases, height,
width]` are where `--channels` is given. All other x are taken as they are, as
float32.
"""

import dataclasses
import functools
import zipfile

import numpy as np
import tensorflow as tf

from trainers.distill.sources import images, labels, splits
from trainers.distill.sources.parts import Part, Source

_SPLITS = ("train", "held_out", "test")


def find(spec, options):
    """The arrays of a file.

    Args:
      spec: `specs.Spec`.
      options: `parts.Options`.

    Returns:
      `parts.Source` of kind "images" or "arrays".

    Raises:
      ValueError: if the file is missing or no npz file, arrays are missing, of
        objects, of different lengths, or not finite. The message names flag
        and array.
    """
    arrays = _load(spec)
    _require_once(arrays, spec)
    parts, names = {}, options.class_names
    for split in _SPLITS:
        x = _name(arrays, "x", split)
        if x not in arrays:
            continue
        values = _require_numbers(arrays[x], x, spec)
        if parts:
            _require_alike(parts["train"].raw, values, x, spec)
        y = _name(arrays, options.label or "y", split)
        classes, names = _labels(arrays, y, len(values), names, spec, options)
        weights = _weights(arrays, split, values, spec)
        own = dataclasses.replace(spec, place=f"{spec.place}:{x}")
        parts[split] = Part(own, classes, None, weights, values)
    if "train" not in parts:
        raise ValueError(
            f"--{spec.flag} must have an array `x`. Received: {spec} with "
            f"{labels.listed(arrays) or 'none'}"
        )
    kind, options = _kind(parts["train"].raw, options)
    parts = {
        split: dataclasses.replace(
            part,
            xs=functools.partial(_xs, part.raw, kind, options),
            raw=None,
        )
        for split, part in parts.items()
    }
    return Source(kind, parts, names, options)


def _load(spec):
    try:
        with np.load(spec.place, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except FileNotFoundError:
        reason = "there is no such file"
    except TypeError:
        reason = "it is one array"
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n")[0]
    raise ValueError(
        f"--{spec.flag} must be a file of numpy.savez, of numbers and strings "
        f"alone. Received: {spec}: {reason}"
    )


def _name(arrays, name, split):
    """What an array of a split is called."""
    found = _long_names(arrays, name, split)
    if found:
        return found[0]
    if split == "train":
        return name
    beside = [*_long_names(arrays, "x", split), f"x_{split}"]
    return name + beside[0].removeprefix("x")


def _long_names(arrays, name, split):
    """Names of arrays of a split that say which it is."""
    every = [f"{name}_{k}" for k, of in splits.NAMES.items() if of == split]
    return [each for each in every if each in arrays]


def _require_once(arrays, spec):
    """Requires one x for each split."""
    for split in _SPLITS:
        found = _long_names(arrays, "x", split)
        if len(found) > 1:
            raise ValueError(
                f"--{spec.flag} must have one x for each split: put the cases "
                f"together. Received: {spec} with {labels.listed(found)}"
            )


def _require_numbers(x, name, spec):
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not len(x):
        raise ValueError(
            f"--{spec.flag} must have numbers in `{name}`, [cases, ...]. "
            f"Received: {spec} with {x.dtype} {list(x.shape)}"
        )
    if x.dtype.kind == "f" and not (finite := _are_finite(x)).all():
        place = tuple(np.argwhere(~finite)[0].tolist())
        raise ValueError(
            f"--{spec.flag} must have finite numbers in `{name}`, as float32: "
            f"fill or remove the others. Received: {spec}, where "
            f"{name}{list(place)} is {x[place]}"
        )
    return x


def _are_finite(numbers):
    """Whether each is finite as float32."""
    with np.errstate(over="ignore"):
        return np.isfinite(numbers.astype(np.float32, copy=False))


def _require_alike(train, x, name, spec):
    if x.shape[1:] != train.shape[1:] or x.dtype != train.dtype:
        raise ValueError(
            f"--{spec.flag} must have `{name}` of the shape and dtype of `x`, "
            f"{train.dtype} {list(train.shape[1:])} a case. Received: {spec} "
            f"with {x.dtype} {list(x.shape[1:])}"
        )


def _labels(arrays, name, cases, names, spec, options):
    none = np.full(cases, -1, np.int32), names
    if spec.is_unlabelled:
        return none
    if name not in arrays:
        if options.unlabelled and not (options.label and name == options.label):
            return none
        flag = "label" if options.label else spec.flag
        raise ValueError(
            f"--{flag} must name labels: an array `{name}` is missing (or "
            f"give --unlabelled). Received: {spec} with {labels.listed(arrays)}"
        )
    _require_length(arrays[name], name, cases, spec)
    where = f"{spec}, `{name}`"
    return labels.of_values(arrays[name], names, where, spec.flag)


def _weights(arrays, split, x, spec):
    name = _name(arrays, "sample_weight", split)
    if name not in arrays:
        return None
    weights = arrays[name]
    _require_length(weights, name, len(x), spec)
    if (
        weights.ndim != 1
        or weights.dtype.kind not in "biuf"
        or not (_are_finite(weights) & (weights >= 0)).all()
    ):
        raise ValueError(
            f"--{spec.flag} must have finite numbers of at least 0 in "
            f"`{name}`, [cases]. Received: {spec} with {weights.dtype} "
            f"{list(weights.shape)} from {weights.min()} to {weights.max()}"
        )
    return weights.astype(np.float32)


def _require_length(array, name, cases, spec):
    if array.ndim < 1 or len(array) != cases:
        raise ValueError(
            f"--{spec.flag} must have as many `{name}` as x. Received: {spec} "
            f"with {array.shape[0] if array.ndim else 'one'} for {cases} cases"
        )


def _kind(x, options):
    """The kind of x, and options with its size and colours."""
    channels = x.shape[3] if x.ndim == 4 else 1
    pixels = x.dtype == np.uint8 and channels in (1, 3)
    if (
        not pixels
        or x.ndim not in (3, 4)
        or (x.ndim == 3 and not options.channels)
    ):
        return "arrays", options
    return "images", dataclasses.replace(
        options,
        image_size=options.image_size or x.shape[1:3],
        channels=options.channels or channels,
    )


def _xs(x, kind, options, rows):
    kept = x if len(rows) == len(x) else x[rows]
    cases = tf.data.Dataset.from_tensor_slices(kept)
    if kind == "arrays":
        return cases.map(lambda case: tf.cast(case, tf.float32))

    def shown(image):
        if image.shape.rank == 2:
            image = image[..., None]
        return images.shown(
            image, options.image_size, options.channels, options.resize
        )

    return cases.map(
        shown, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )

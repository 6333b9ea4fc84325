"""Tiny data of every kind, and the flags that name them."""

import pathlib
import types
import wave

import numpy as np
import tensorflow as tf

from trainers.distill import sources

DEFAULTS = {
    "test": None,
    "held_out": None,
    "unlabelled_data": None,
    "data_dir": None,
    "manual_dir": None,
    "label": None,
    "classes": None,
    "unlabelled": False,
    "split_seed": 0,
    "image_size": 0,
    "channels": "0",
    "resize": "antialias",
    "seconds": 1.0,
    "bands": 40,
    "sample_rate": None,
    "columns": None,
    "features": None,
}


def values(data, **others):
    """Absl's flag values."""
    return types.SimpleNamespace(data=str(data), **{**DEFAULTS, **others})


def open_data(data, **others):
    """What `sources.open_data` gives for `--data`, and other flags."""
    shape = {
        name: others.pop(f"given_{name}", None)
        for name in ("image_size", "channels")
    }
    return sources.open_data(values(data, **others), **shape)


def all_of(split):
    """All cases of a split, stacked: list of arrays, x first."""
    elements = list(split.dataset.as_numpy_iterator())
    return [np.stack(parts) for parts in zip(*elements, strict=True)]


def splits_of(data):
    return {"train": data.train, "held_out": data.held_out, "test": data.test}


def write_image(path, image):
    """Writes `[height, width, channels]` pixels as PNG, exactly."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.asarray(image, np.uint8)).numpy())


def write_folder(root, counts, side=3, channels=1):
    """A folder a class; image k of class c is 10 c + k in all pixels."""
    for number, (name, count) in enumerate(counts.items()):
        for k in range(count):
            shade = 10 * number + k
            image = np.full((side, side, channels), shade)
            write_image(pathlib.Path(root) / name / f"{k:03}.png", image)
    return root


def write_clip(path, samples, rate=8000, channels=1):
    """Writes integers of 16 bits as WAV."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())

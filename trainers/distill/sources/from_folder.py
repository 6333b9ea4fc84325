"""`folder:PATH`: images or WAV files, one folder a class.

PATH has a folder for each class, as `keras.utils.image_dataset_from_directory`
reads it: classes in the order of their names, files in any depth below. Or it
has such folders in PATH/train, and in PATH/test and PATH/held_out where it
brings splits of its own; `splits.NAMES` has other names of these, in any case.
Without labels (`--unlabelled`) files may lie in PATH itself. What is hidden,
its name beginning with a dot, is left out.
"""

import dataclasses
import functools
import itertools
import os
import pathlib

import numpy as np
import tensorflow as tf

from trainers.distill.sources import images, labels, sound, splits
from trainers.distill.sources.parts import Part, Source

_SOUND = (".wav",)
# Images and sound that would be missed if they were passed over.
_IMAGES = (".avif", ".heic", ".heif", ".jfif", ".tif", ".tiff", ".webp")
_CLIPS = (".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".ogg", ".opus")
_UNREAD = (*_IMAGES, *_CLIPS)


def find(spec, options):
    """The files of a folder.

    Args:
      spec: `specs.Spec`.
      options: `parts.Options`.

    Returns:
      `parts.Source` of kind "images" or "sound".

    Raises:
      ValueError: if there is no such folder; it has no files, one class, or an
        empty one; files are of several kinds, or one cannot be read. The
        message names the flag and the file.
    """
    root = pathlib.Path(spec.place)
    if not root.is_dir():
        raise ValueError(
            f"--{spec.flag} must be a folder that exists. Received: {spec}"
        )
    found, names = {}, options.class_names
    for split, folder in _splits(root, spec).items():
        files, classes, names = _listing(folder, names, spec, options)
        own = dataclasses.replace(spec, place=str(folder))
        found[split] = files, classes, own
    every = [file for files, *_ in found.values() for file in files]
    kind = _kind(every, spec)
    if kind == "images":
        images.require_readable(every, spec)
        options = _with_size(options, every[0])
        read = functools.partial(_image, options=options)
    else:
        rate, lengths = sound.measured(every, spec)
        options = _with_rate(options, rate, spec)
        heard = sound.Listening(
            options.sample_rate, options.seconds, options.bands
        )
        read = functools.partial(_clip, listening=heard)
    parts = {
        split: Part(own, classes, functools.partial(_xs, files, read))
        for split, (files, classes, own) in found.items()
    }
    if kind == "sound":
        parts = _told_of_cut(parts, lengths > heard.samples)
    return Source(kind, parts, names, options)


def _splits(root, spec):
    """Dict from split to its folder, "train" first."""
    folders = [] if spec.is_unlabelled else _folders(root)
    named = [
        folder for folder in folders if folder.name.lower() in splits.NAMES
    ]
    found = {}
    for folder in named:
        found.setdefault(splits.NAMES[folder.name.lower()], []).append(folder)
    if "train" not in found or len(named) < len(folders):
        # Classes that happen to have these names.
        _require_files_alone(named, folders, spec)
        return {"train": root}
    if twice := [some for some in found.values() if len(some) > 1]:
        raise ValueError(
            f"--{spec.flag} must have one folder for each split: put their "
            f"files together. Received: {spec} with {labels.listed(twice[0])}"
        )
    return {split: found[split][0] for split in ("train", *found)}


def _require_files_alone(named, folders, spec):
    """Requires that folders that are named as splits are none."""
    if any(_folders(folder) for folder in named):
        raise ValueError(
            f"--{spec.flag} must have folders of splits alone (train, held_out "
            "and test), train among them, or of classes alone: move the others "
            "away, give the splits to --data, --held_out and --test, or rename "
            "classes that are called so. "
            f"Received: {spec} with {labels.listed(f.name for f in folders)}"
        )


def _folders(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def _listing(folder, names, spec, options):
    """Files of a split, their labels, and names of classes."""
    classes = [] if spec.is_unlabelled else _folders(folder)
    if not classes and options.unlabelled:
        files = _files(folder, spec)
        return files, np.full(len(files), -1, np.int32), names
    own = [path.name for path in classes]
    least = 2 if names is None else 1  # a split may lack classes
    if len(own) < least:
        raise ValueError(
            f"--{spec.flag} must have one folder for each class"
            f"{', two or more (or --unlabelled)' if names is None else ''}. "
            f"Received: {spec}, where {folder} has "
            f"{len(own)}: {labels.listed(own) or 'none'}"
        )
    if names is None:
        names = tuple(own)
    if strange := [name for name in own if name not in names]:
        raise ValueError(
            f"--{spec.flag} must have the classes of the training cases: "
            f"{labels.listed(names)}. Received: {spec}, where {folder} has "
            f"{labels.listed(strange)}"
        )
    files = [_files(path, spec) for path in classes]
    counts = [len(some) for some in files]
    numbers = np.array([names.index(name) for name in own], np.int32)
    every = list(itertools.chain(*files))
    return every, np.repeat(numbers, counts), names


def _files(folder, spec):
    """Paths of the images and clips of a folder, as text."""
    found = sorted(
        str(path)
        for path in folder.rglob("*")
        if path.suffix.lower() in (*images.SUFFIXES, *_SOUND, *_UNREAD)
        and not any(
            name.startswith(".") for name in path.relative_to(folder).parts
        )
        and path.is_file()
    )
    for file in found:
        _require_known(file, spec)
    if not found:
        raise ValueError(
            f"--{spec.flag} must have files of images "
            f"({', '.join(images.SUFFIXES)}) or sound (.wav) in each of its "
            f"folders. Received: {spec}, with none in {folder}"
        )
    return found


def _require_known(file, spec):
    """Requires a format, and a name, that TensorFlow reads."""
    if file.lower().endswith(_UNREAD):
        raise ValueError(
            f"--{spec.flag} must have images ({', '.join(images.SUFFIXES)}) or "
            "sound (.wav): convert or remove files of other formats. "
            f"Received: {spec} with {file}"
        )
    try:
        file.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"--{spec.flag} must have names of files in UTF-8: rename this "
            f"one. Received: {spec} with {os.fsencode(file)}"
        ) from error


def _kind(files, spec):
    clips = [file for file in files if file.lower().endswith(_SOUND)]
    if clips and len(clips) < len(files):
        image = next(f for f in files if not f.lower().endswith(_SOUND))
        raise ValueError(
            f"--{spec.flag} must have either images or sound. Received: {spec} "
            f"with {clips[0]} and {image}"
        )
    return "sound" if clips else "images"


def _with_size(options, file):
    """Options with size and colours, those of an image if not given."""
    if options.image_size and options.channels:
        return options
    image = images.decode(tf.io.read_file(file))
    return dataclasses.replace(
        options,
        image_size=options.image_size or tuple(image.shape[:2]),
        channels=options.channels or images.channels_of(image),
    )


def _with_rate(options, rate, spec):
    if options.sample_rate not in (None, rate):
        raise ValueError(
            f"--{spec.flag} must have clips of {options.sample_rate} Hz, as "
            "--data or --sample_rate says: bring them to this rate. Received: "
            f"{spec}, of {rate} Hz"
        )
    return dataclasses.replace(options, sample_rate=rate)


def _told_of_cut(parts, cut):
    """Parts that say which clips are cut, given for all in turn."""
    ends = np.cumsum([len(part.labels) for part in parts.values()])
    return {
        split: dataclasses.replace(parts[split], cut=some)
        for split, some in zip(parts, np.split(cut, ends[:-1]), strict=True)
    }


def _xs(files, read, rows):
    paths = tf.data.Dataset.from_tensor_slices([files[row] for row in rows])
    return paths.map(
        read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _image(path, *, options):
    return images.shown(
        images.decode(tf.io.read_file(path)),
        options.image_size,
        options.channels,
        options.resize,
    )


def _clip(path, *, listening):
    return listening.hear(sound.decode(tf.io.read_file(path)))

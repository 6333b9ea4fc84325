"""The data of a run, by the flags, and whether the settings fit them."""

import dataclasses

import numpy as np

from trainers.core import main as core
from trainers.data import glyphs, omniglot, tfds_images

_SIZE = 28  # pixels, of the images of TFDS
_HELD_OUT, _TEST = 15, 10  # training drawings for each held-out and test one


def load(values, settings):
    """Loads a data set.

    Args:
      values: absl's flag values.
      settings: `settings.Settings`.

    Returns:
      `trainers.data.images.SplitImages`.

    Raises:
      ValueError: if a flag would be ignored, or the data set is not usable.
      RuntimeError: if it is not prepared and cannot be.
    """
    if values.dataset == "glyphs":
        core.refuse_ignored(values, ("data_dir", "manual_dir"), "glyphs")
        return glyphs.load(
            classes=settings.classes or None,
            train=settings.train_cases,
            held_out=max(1, settings.train_cases // _HELD_OUT),
            test=max(1, settings.train_cases // _TEST),
        )
    core.refuse_ignored(values, ("train_cases",), values.dataset)
    if values.dataset == "omniglot":
        core.refuse_ignored(values, ("manual_dir",), "omniglot")
        characters = (
            {"characters": settings.classes} if settings.classes else {}
        )
        return spread(omniglot.load_split(values.data_dir, **characters))
    core.refuse_ignored(values, ("classes",), values.dataset)
    return spread(
        tfds_images.load(
            values.dataset,
            size=_SIZE,
            data_dir=values.data_dir,
            manual_dir=values.manual_dir,
        )
    )


def spread(data):
    """The data with training cases so ordered that every part has all classes.

    First comes one case of each class, then the second one of each, and so on:
    files may have them class by class, and a run takes the first ones as few.

    Args:
      data: `trainers.data.images.SplitImages`.
    """
    labels = data.train_labels
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    firsts = np.cumsum(counts) - counts
    number = np.empty(len(labels), int)  # of a case, within its class
    number[by_class] = np.arange(len(labels)) - np.repeat(firsts, counts)
    order = np.lexsort((labels, number))
    return dataclasses.replace(
        data,
        train_images=data.train_images[order],
        train_labels=labels[order],
    )


def check(settings, data, *, few):
    """Raises where settings and data do not fit each other.

    Args:
      settings: `settings.Settings`.
      data: `trainers.data.images.SplitImages`.
      few: bool, whether specialists learn from the share `settings.few` alone.

    Raises:
      ValueError: names the flag.
    """
    _check_sets(settings, data.classes)
    _require_classes(settings, data)
    cases = round(settings.few * len(data.train_labels))
    if settings.batch_size > cases:
        raise ValueError(
            "--batch_size must be at most the number of cases that --few "
            f"leaves, {cases}. Received: --batch_size={settings.batch_size}"
        )
    lacking = _lacking(data.train_labels[:cases], data.classes)
    if few and lacking:
        raise ValueError(
            "--few must leave a training case of every class to the "
            "specialists: give a larger share. "
            f"Received: --few={settings.few}, none of {lacking} classes"
        )


def _check_sets(settings, classes):
    """The largest sets that are tried are twice those of the settings."""
    if 2 * settings.size >= classes:
        raise ValueError(
            f"--size must be less than half the number of classes, {classes}: "
            "sets of twice that size are tried, too. "
            f"Received: --size={settings.size}"
        )
    if 2 * settings.specialists > classes:
        raise ValueError(
            "--specialists must be at most half the number of classes, "
            f"{classes}: twice as many are tried, too. "
            f"Received: --specialists={settings.specialists}"
        )


def _require_classes(settings, data):
    """Every class must occur in training and among the test cases."""
    if settings.dataset == "glyphs":
        least = _HELD_OUT * data.classes  # then each class is in each part
        if settings.train_cases < least:
            raise ValueError(
                f"--train_cases must be at least {_HELD_OUT} a class, {least}. "
                f"Received: --train_cases={settings.train_cases}"
            )
    lacking = _lacking(data.train_labels, data.classes)
    if lacking:
        raise ValueError(
            "--dataset must have training cases of every class. Received: "
            f"--dataset={settings.dataset}, none of {lacking} classes"
        )


def _lacking(labels, classes):
    """int, how many classes have no case."""
    return classes - len(np.unique(labels))

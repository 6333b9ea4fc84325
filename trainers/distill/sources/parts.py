"""What every kind of source gives: cases of which any can be chosen."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainers.distill import cases
from trainers.distill.sources import specs

AUTOTUNE = tf.data.AUTOTUNE
_OWN_MARKS = re.compile(r"\{\{.*?\}\}|\[Op:.*?\]")


@dataclasses.dataclass(frozen=True)
class Options:
    """What flags say of the cases, as far as it is known.

    Attributes:
      data_dir: str or None, TFDS's folder of prepared data.
      manual_dir: str or None, folder of TFDS's original files.
      label: str or None, what has the labels.
      image_size: `(height, width)` or None.
      channels: 1, 3 or None.
      resize: str, one of `images.METHODS`.
      seconds: float, the length of clips.
      bands: int.
      sample_rate: int or None, in hertz.
      columns: tuple of strings, or None for all.
      features: str or None, a JSON file.
      unlabelled: bool.
      class_names: tuple of strings, or None while they are unknown. What is
        opened later than `--data` must have these classes.
    """

    data_dir: str | None = None
    manual_dir: str | None = None
    label: str | None = None
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    resize: str = "antialias"
    seconds: float = 1.0
    bands: int = 40
    sample_rate: int | None = None
    columns: tuple[str, ...] | None = None
    features: str | None = None
    unlabelled: bool = False
    class_names: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Cases of one place, in a fixed order.

    Attributes:
      spec: `specs.Spec`, for messages.
      labels: `[cases]` int32 array; -1 for a case without a label.
      xs: function from sorted positions `[rows]` to a `tf.data.Dataset` of x;
        None where x depends on which cases train, see `Source.fit`.
      weights: `[cases]` float32 array, or None.
      raw: what `Source.fit` needs, or None.
      cut: `[cases]` bool array of sound: whether a clip loses its end; or None.
    """

    spec: specs.Spec
    labels: np.ndarray
    xs: Callable | None
    weights: np.ndarray | None = None
    raw: object = None
    cut: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """What `--data` names, or `--test`, or `--held_out`.

    Attributes:
      kind: str, that of `cases.Data`.
      parts: dict from "train", and maybe "held_out" and "test", to `Part`.
      class_names: tuple of strings, or None where there are no labels.
      options: `Options` with what is known by now.
      fit: function from the `Part` and the rows that train to an object that
        has `xs(raw, rows)`, `columns` and `save(directory)`; or None.
    """

    kind: str
    parts: dict[str, Part]
    class_names: tuple[str, ...] | None
    options: Options
    fit: Callable | None = None


def split(part, rows, *, encoding=None, unlabelled=False):
    """Some cases of a part.

    Args:
      part: `Part`.
      rows: sorted int array of positions.
      encoding: what `Source.fit` returned, or None.
      unlabelled: whether to leave out the labels.

    Returns:
      `cases.Split`.
    """
    xs = part.xs(rows) if encoding is None else encoding.xs(part.raw, rows)
    labels = part.labels[rows]
    if unlabelled:
        labels = np.full_like(labels, -1)
    others = [labels]
    if part.weights is not None:
        others.append(part.weights[rows])
    dataset = tf.data.Dataset.zip(
        xs, *(tf.data.Dataset.from_tensor_slices(other) for other in others)
    ).apply(tf.data.experimental.assert_cardinality(len(rows)))
    return cases.Split(dataset, labels)


def joined(one, other):
    """The cases of two `cases.Split`s, one after the other.

    Cases have weights if any have one; that of the others is 1.
    """
    pair = [one.dataset, other.dataset]
    widths = [len(dataset.element_spec) for dataset in pair]
    weighted = [
        dataset
        if width == max(widths)
        else dataset.map(lambda *case: (*case, tf.ones(())))
        for dataset, width in zip(pair, widths, strict=True)
    ]
    return cases.Split(
        weighted[0].concatenate(weighted[1]),
        np.concatenate([one.labels, other.labels]),
    )


def reason_of(error):
    """What a `tf.errors.OpError` says, without TensorFlow's own marks."""
    return _OWN_MARKS.sub("", error.message.split("\n")[0]).strip()


def chosen(dataset, rows, number):
    """Some elements of a data set that can only be read from its beginning.

    Args:
      dataset: `tf.data.Dataset`, not yet decoded.
      rows: sorted int array of positions.
      number: int, how many elements it has.
    """
    if len(rows) == number:
        return dataset
    kept = np.zeros(number, bool)
    kept[rows] = True
    kept = tf.constant(kept)
    return (
        dataset.enumerate()
        .filter(lambda place, _: kept[place])
        .map(lambda _, element: element)
    )

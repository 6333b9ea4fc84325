"""Any data set of TensorFlow Datasets with images and their labels."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import tfds_builders
from trainers.data.images import SplitImages, held_out_order

_CHANNELS = (1, 3)


def load(
    name: str,
    *,
    size: int = 28,
    held_out: float = 0.1,
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> SplitImages:
    """Loads the splits `train` and `test`, and holds cases of `train` out.

    Both are required. So are the features `image`, a `tfds.features.Image` of
    one or three channels and 8 bits, and `label`, a `tfds.features.ClassLabel`.

    Args:
      name: name of the data set as in `tfds.builder`.
      size: int, pixels. Images of any height and width are brought to a square
        of this size, each pixel the mean of the area that it covers.
      held_out: float, between 0 and 1, the share of the training cases that is
        held out; the same cases in every run.
      data_dir: folder for prepared data, or None for the default of TFDS.
      manual_dir: folder with the original files, or None if TFDS needs none.

    Returns:
      `SplitImages`: grey images if the data set has one channel, else colours.
      The image of a class is the first among the training cases.

    Raises:
      ValueError: if `size` or `held_out` is out of range; if TFDS does not know
        the data set, or it lacks one of these features or splits, has images of
        other channels or depth, a case without a label, or a split without
        cases. The message names the flag.
      RuntimeError: if the data are not prepared and cannot be; the message
        names the flags that help.
    """
    _check(size, held_out)
    builder = tfds_builders.find(name, data_dir, "glyphs, omniglot")
    features = builder.info.features
    tfds_builders.require_features(
        name,
        features,
        {"image": tfds.features.Image, "label": tfds.features.ClassLabel},
    )
    require_pixels(name, features["image"])
    tfds_builders.prepare(
        builder,
        name,
        "Give --manual_dir=FOLDER with its original files, or "
        "--data_dir=FOLDER where TFDS has prepared it before, or use "
        "--dataset=glyphs, which needs no files.",
        data_dir=data_dir,
        manual_dir=manual_dir,
    )
    train_images, train_labels = _cases(name, builder, "train", size)
    test_images, test_labels = _cases(name, builder, "test", size)
    kept, out = _hold_out(len(train_labels), held_out)
    names = features["label"].names
    return SplitImages(
        train_images[kept],
        train_labels[kept],
        train_images[out],
        train_labels[out],
        test_images,
        test_labels,
        classes=len(names),
        white=255,
        class_names=tuple(names),
        class_images=_first_images(train_images, train_labels, len(names)),
    )


def require_pixels(name: str, image: Any, *, flag: str = "dataset") -> None:
    """Requires images of one or three channels and 8 bits.

    Args:
      name: name of the data set for messages.
      image: a `tfds.features.Image`.
      flag: the flag that named it, for the message.

    Raises:
      ValueError: if they are others.
    """
    if image.shape[-1] not in _CHANNELS or image.np_dtype != np.uint8:
        raise ValueError(
            f"--{flag} must have images of 1 or 3 channels and 8 bits. "
            f"Received: --{flag}={name} with images of {image.shape[-1]} "
            f"channels, {np.dtype(image.np_dtype).name}"
        )


def _check(size: int, held_out: float) -> None:
    if size < 1:
        raise ValueError(
            f"`size` must be at least 1 pixel. Received: size={size}"
        )
    if not 0 < held_out < 1:
        raise ValueError(
            "`held_out` must be a share of the training cases, between 0 and "
            f"1. Received: held_out={held_out}"
        )


def _cases(
    name: str, builder: "tfds.core.DatasetBuilder", split: str, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all images, `size` x `size`, and labels of a split."""
    tfds_builders.require_split(name, builder, split)

    def resized(case: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.cast(case["image"], tf.float32)
        small = tf.image.resize(image, (size, size), "area")
        return tf.cast(tf.round(small), tf.uint8), case["label"]

    dataset = builder.as_dataset(split=split, shuffle_files=False).map(
        resized, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    batches = list(dataset.batch(1000).as_numpy_iterator())
    # Two are needed of `train`: one to train on, one to hold out.
    if sum(len(labels) for _, labels in batches) < 2:
        raise ValueError(
            f"--dataset must have at least two cases in its split `{split}`. "
            f"Received: --dataset={name}"
        )
    images, labels = (
        np.concatenate(part) for part in zip(*batches, strict=True)
    )
    if labels.min() < 0:
        raise ValueError(
            f"--dataset must have a label for every case of `{split}`. "
            f"Received: --dataset={name}, {np.sum(labels < 0)} without one"
        )
    if images.shape[-1] == 1:
        images = images[..., 0]
    return images, labels.astype(np.int32)


def _hold_out(cases: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the training cases that are kept, and those held out."""
    count = min(max(round(share * cases), 1), cases - 1)
    order = held_out_order(cases)
    return np.sort(order[count:]), np.sort(order[:count])


def _first_images(
    images: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """Returns the first image of every class, black if there is none."""
    found, first = np.unique(labels, return_index=True)
    shown = np.zeros((classes, *images.shape[1:]), np.uint8)
    shown[found] = images[first]
    return shown

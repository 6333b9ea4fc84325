"""MNIST through TensorFlow Datasets."""

import numpy as np
import tensorflow_datasets as tfds

from trainers.data import tfds_builders
from trainers.data.images import ImageData


def load(
    data_dir: str | None = None, manual_dir: str | None = None
) -> ImageData:
    """Loads 60,000 training and 10,000 test images of 28 x 28 pixels.

    Args:
      data_dir: folder for prepared data, or None for the default of TFDS.
      manual_dir: folder with the four original idx files (`.gz`), for machines
        without network, or None to download them if necessary.

    Returns:
      `ImageData`.

    Raises:
      RuntimeError: if the data are not prepared and cannot be; the message
        names the flags that help.
    """
    builder = tfds.builder("mnist", data_dir=data_dir)
    tfds_builders.prepare(
        builder,
        "MNIST",
        "Give --manual_dir=FOLDER with the four original files "
        "(train-images-idx3-ubyte.gz and so on), or --data_dir=FOLDER where "
        "TFDS has prepared it before, or use --dataset=digits, which needs no "
        "files.",
        data_dir=data_dir,
        manual_dir=manual_dir,
    )
    return ImageData(
        *_cases(builder, "train"),
        *_cases(builder, "test"),
        classes=10,
        white=255,
    )


def _cases(
    builder: "tfds.core.DatasetBuilder", split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all images and labels of a split."""
    cases = tfds.as_numpy(
        builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)
    )
    return np.squeeze(cases["image"], -1), cases["label"].astype(np.int32)

"""MNIST through TensorFlow Datasets."""

import numpy as np
import tensorflow_datasets as tfds

from trainers.data import ImageData, tfds_builders


def load(data_dir=None, manual_dir=None):
    """60,000 training and 10,000 test images of 28 x 28 pixels.

    Args:
      data_dir: where prepared data lie or are to be written; None for TFDS's
        own default.
      manual_dir: a folder with the four original idx files (`.gz`), for a
        machine without network; None to download where need be.

    Returns:
      `ImageData`.

    Raises:
      RuntimeError: where the data are neither prepared nor to be had; names
        the flags that help.
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
    parts = []
    for split in ("train", "test"):
        cases = tfds.as_numpy(
            builder.as_dataset(split=split, batch_size=-1, shuffle_files=False)
        )
        parts += [
            np.squeeze(cases["image"], -1),
            cases["label"].astype(np.int32),
        ]
    return ImageData(*parts, classes=10, white=255)

"""Preparing data sets of TensorFlow Datasets, and what to do where it fails."""

import warnings

import tensorflow_datasets as tfds


def prepare(builder, name, advice, *, data_dir=None, manual_dir=None):
    """Downloads and writes what a builder lacks.

    Args:
      builder: `tfds.core.DatasetBuilder`.
      name: str, the data set's.
      advice: str, sentences that tell what helps where this fails.
      data_dir: folder that the builder was given, or None.
      manual_dir: folder with the original files, or None to download them.

    Raises:
      RuntimeError: where the data are neither prepared nor to be had; has the
        advice, the flags --data_dir and --manual_dir, and the reason.
    """
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        with warnings.catch_warnings():
            # pydub misses ffmpeg, which WAV files do not need.
            warnings.filterwarnings("ignore", "Couldn't find ffmpeg")
            builder.download_and_prepare(download_config=config)
    except Exception as error:
        raise RuntimeError(
            f"{name} could not be prepared. {advice} Received: "
            f"--data_dir={data_dir}, --manual_dir={manual_dir}, and the error "
            f"{type(error).__name__}: {error}"
        ) from error

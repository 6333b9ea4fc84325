"""Preparation of data sets of TensorFlow Datasets, with advice on failure."""

import warnings

import tensorflow_datasets as tfds


def prepare(
    builder: "tfds.core.DatasetBuilder",
    name: str,
    advice: str,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> None:
    """Downloads and writes a data set, unless it is prepared already.

    Args:
      builder: `tfds.core.DatasetBuilder`.
      name: name of the data set for messages.
      advice: sentences that say what to do if this fails.
      data_dir: folder that the builder was given, or None.
      manual_dir: folder with the original files, or None to download them.

    Raises:
      RuntimeError: if the data are not prepared and cannot be; the message has
        the advice, the flags --data_dir and --manual_dir, and the reason.
    """
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        with warnings.catch_warnings():
            # pydub warns of missing ffmpeg, which WAV files do not need.
            warnings.filterwarnings("ignore", "Couldn't find ffmpeg")
            builder.download_and_prepare(download_config=config)
    except Exception as error:
        raise RuntimeError(
            f"{name} could not be prepared. {advice} Received: "
            f"--data_dir={data_dir}, --manual_dir={manual_dir}, and the error "
            f"{type(error).__name__}: {error}"
        ) from error

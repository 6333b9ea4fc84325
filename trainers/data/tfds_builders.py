"""Data sets of TensorFlow Datasets: found, checked, prepared, with advice."""

import warnings
from typing import Any

import tensorflow_datasets as tfds


def find(
    name: str,
    data_dir: str | None,
    others: str,
    *,
    flag: str = "dataset",
    given: str | None = None,
) -> "tfds.core.DatasetBuilder":
    """Returns the builder of a data set.

    Args:
      name: name of the data set as in `tfds.builder`.
      data_dir: folder for prepared data, or None for the default of TFDS.
      others: what else --dataset may be, for the message.
      flag: the flag that named it, for the message.
      given: the value of that flag, or None if it is the name.

    Raises:
      ValueError: if TFDS does not know the data set.
    """
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        raise ValueError(
            f"--{flag} must be {others}, or a data set that TFDS"
            " knows or has prepared in --data_dir. Received: "
            f"--{flag}={given or name}, --data_dir={data_dir}, and the error "
            f"{type(error).__name__}: {error}"
        ) from error


def require_features(name: str, features: Any, kinds: dict[str, type]) -> None:
    """Requires features by their names.

    Args:
      name: name of the data set for messages.
      features: the features of a builder.
      kinds: dict from the name of a feature to its class.

    Raises:
      ValueError: if a feature is missing or of another class.
    """
    found = features if isinstance(features, tfds.features.FeaturesDict) else {}
    for feature, kind in kinds.items():
        if feature not in found or not isinstance(found[feature], kind):
            raise ValueError(
                f"--dataset must have a feature `{feature}`, a tfds.features."
                f"{kind.__name__}. Received: --dataset={name} with {features}"
            )


def require_split(
    name: str,
    builder: "tfds.core.DatasetBuilder",
    split: str,
    *,
    flag: str = "dataset",
) -> None:
    """Requires a split of a prepared data set.

    Args:
      name: name of the data set for messages.
      builder: `tfds.core.DatasetBuilder`.
      split: name of the split.
      flag: the flag that named it, for the message.

    Raises:
      ValueError: if the data set does not have it.
    """
    if split not in builder.info.splits:
        raise ValueError(
            f"--{flag} must have a split `{split}`. Received: "
            f"--{flag}={name} with {', '.join(builder.info.splits)}"
        )


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

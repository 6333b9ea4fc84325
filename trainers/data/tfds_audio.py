"""Any data set of TensorFlow Datasets with clips of words and their labels."""

import collections
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from trainers.data import tfds_builders
from trainers.data.clips import Clips

_SPLITS = {"train": "training", "validation": "held_out", "test": "test"}
_SPEAKERS = ("speaker", "speaker_id", "client_id")
EVERYBODY = "all"
_UNLABELLED = "(unlabelled)"
_LOUDEST = 2.0  # decoded floats may exceed 1, as filters of codecs overshoot


def load(
    name: str,
    words: Sequence[str],
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    sample_rate: int | None = None,
) -> Clips:
    """Loads the clips of the splits `train`, `validation` and `test`.

    `train` is required. So are the features `audio`, a `tfds.features.Audio`,
    and `label`, a `tfds.features.ClassLabel` whose names are words. The speaker
    is a feature `speaker`, `speaker_id` or `client_id`; without one, all clips
    have the speaker "all". Recordings are numbered in the order of the data
    set.

    Args:
      name: name of the data set as in `tfds.builder`.
      words: words of the lexicon. Clips with other labels, such as noise, are
        left out and counted.
      data_dir: folder for prepared data, or None for the default of TFDS.
      manual_dir: folder with the original files, or None if TFDS needs none.
      sample_rate: int, in hertz, or None if TFDS knows it.

    Returns:
      `Clips`; `parts` are the splits if `test` is one of them.

    Raises:
      ValueError: if TFDS does not know the data set; if the data set lacks one
        of these features, the split `train`, two of the words among its labels,
        or clips of them; or if its sampling rate is unknown or differs from
        `sample_rate`. The message names the flag.
      RuntimeError: if the data are not prepared and cannot be; the message
        names the flags that help.
    """
    builder = tfds_builders.find(name, data_dir, "spoken_digit, synthetic")
    features = builder.info.features
    tfds_builders.require_features(
        name,
        features,
        {"audio": tfds.features.Audio, "label": tfds.features.ClassLabel},
    )
    rate = sample_rate_of(name, features["audio"].sample_rate, sample_rate)
    labels = features["label"].names
    known = tuple(word for word in labels if word in words)
    if len(known) < 2:
        raise ValueError(
            "--lexicon must have at least two words of "
            f"--dataset={name}: {', '.join(labels)}. Received: a lexicon of "
            f"{', '.join(words)}"
        )
    tfds_builders.prepare(
        builder,
        name,
        "Give --manual_dir=FOLDER with its original files, or "
        "--data_dir=FOLDER where TFDS has prepared it before.",
        data_dir=data_dir,
        manual_dir=manual_dir,
    )
    tfds_builders.require_split(name, builder, "train")
    return _clips(name, builder, known, rate)


def sample_rate_of(
    name: str, known: int | None, given: int | None, *, flag: str = "dataset"
) -> int:
    """Returns the sampling rate, in hertz.

    Args:
      name: name of the data set for messages.
      known: what TFDS knows, or None.
      given: what --sample_rate says, or None.
      flag: the flag that named the data set, for the message.

    Raises:
      ValueError: if neither is there, or they differ.
    """
    if known and given and known != given:
        raise ValueError(
            f"--sample_rate must be left out, or {known}, the sampling rate of "
            f"--{flag}={name}. Received: --sample_rate={given}"
        )
    rate = known or given
    if not rate:
        raise ValueError(
            f"--sample_rate must be given, in hertz, for --{flag}={name}, "
            "whose sampling rate TFDS does not know. Received: none"
        )
    return int(rate)


def waveform_of(audio: np.ndarray) -> np.ndarray:
    """Returns one channel within [-1, 1], the mean of several.

    Args:
      audio: `[samples]` or `[samples, channels]` array: integers of any dtype
        that hold 16-bit samples, or floats, which are not scaled.

    Returns:
      `[samples]` float32 array.

    Raises:
      ValueError: if integers exceed 16 bits, or floats are far beyond [-1, 1].
    """
    if np.issubdtype(audio.dtype, np.integer):
        if audio.size and (audio.min() < -32768 or audio.max() > 32767):
            raise ValueError(
                "--dataset must have audio of 16 bits, or of floats within "
                f"[-1, 1]. Received: integers from {audio.min()} to "
                f"{audio.max()}"
            )
        audio = audio.astype(np.float32) / 32768
    elif audio.size and abs(audio).max() > _LOUDEST:
        raise ValueError(
            "--dataset must have audio of 16 bits, or of floats within [-1, 1]."
            f" Received: floats from {audio.min()} to {audio.max()}"
        )
    if audio.ndim > 1:
        audio = audio.mean(axis=-1)
    return audio.astype(np.float32)


def _clips(
    name: str,
    builder: "tfds.core.DatasetBuilder",
    known: tuple[str, ...],
    sample_rate: int,
) -> Clips:
    """Returns `Clips` of the known words, in the order of the data set."""
    found, left_out = _known_cases(builder, known)
    if not found:
        raise ValueError(
            f"--dataset must have clips of {', '.join(known)}. Received: "
            f"--dataset={name}, whose {left_out.total()} clips have other "
            "labels"
        )
    waveforms, words, speakers, parts = zip(*found, strict=True)
    return Clips(
        list(waveforms),
        np.array([known.index(word) for word in words], np.int32),
        np.array(speakers),
        _indices(zip(speakers, words, strict=True)),
        words=known,
        sample_rate=sample_rate,
        parts=np.array(parts) if "test" in builder.info.splits else None,
        left_out=dict(left_out),
    )


def _known_cases(
    builder: "tfds.core.DatasetBuilder", known: tuple[str, ...]
) -> tuple[list[tuple[np.ndarray, str, str, str]], collections.Counter[str]]:
    """Returns waveforms with word, speaker and part; counts of other words."""
    features = builder.info.features
    labels = features["label"].names
    found = []
    left_out: collections.Counter[str] = collections.Counter()
    for split, part in _SPLITS.items():
        if split not in builder.info.splits:
            continue
        cases = builder.as_dataset(split=split, shuffle_files=False)
        for case in tfds.as_numpy(cases):
            label = case["label"]
            word = labels[label] if label >= 0 else _UNLABELLED
            if word not in known:
                left_out[word] += 1
                continue
            waveform = waveform_of(case["audio"])
            found.append((waveform, word, _speaker(case, features), part))
    return found, left_out


def _indices(keys: Iterable[Hashable]) -> np.ndarray:
    """Returns how often each key has occurred before, an int32 array."""
    counts: collections.Counter[Hashable] = collections.Counter()
    indices = []
    for key in keys:
        indices.append(counts[key])
        counts[key] += 1
    return np.array(indices, np.int32)


def _speaker(case: dict[str, Any], features: Any) -> str:
    """Returns the name of the speaker."""
    for name in _SPEAKERS:
        if name in features:
            value = case[name]
            if isinstance(features[name], tfds.features.ClassLabel):
                return features[name].int2str(int(value))
            return value.decode() if isinstance(value, bytes) else str(value)
    return EVERYBODY

"""Any data set of TensorFlow Datasets with clips of words and their labels."""

import collections

import numpy as np
import tensorflow_datasets as tfds

from trainers.data import tfds_builders
from trainers.data.clips import Clips

_SPLITS = {"train": "training", "validation": "held_out", "test": "test"}
_SPEAKERS = ("speaker", "speaker_id", "client_id")
EVERYBODY = "all"
_UNLABELLED = "(unlabelled)"
_LOUDEST = 2.0  # filters of a codec overshoot


def load(name, words, *, data_dir=None, manual_dir=None, sample_rate=None):
    """Clips of TFDS's splits `train`, `validation` and `test`, those there are.

    Its features must be `audio`, a `tfds.features.Audio`, and `label`, a
    `tfds.features.ClassLabel` whose names are words. Speakers are told by a
    feature `speaker`, `speaker_id` or `client_id`; without one, all clips are
    of a speaker "all". Recordings are counted in the data set's order.

    Args:
      name: str, as `tfds.builder` takes it.
      words: sequence of strings, a lexicon's. Clips of other labels, such as
        noise, are left out and counted.
      data_dir: where prepared data lie or are to be written; None for TFDS's
        own default.
      manual_dir: a folder with the original files, where TFDS wants one.
      sample_rate: int, in hertz, where TFDS does not know it.

    Returns:
      `Clips`; `parts` are TFDS's splits where `test` is one of them.

    Raises:
      ValueError: where there is no such data set, or it has other features, no
        split `train`, no sampling rate, or fewer than two of the words; names
        the flag.
      RuntimeError: where the data are neither prepared nor to be had; names
        the flags that help.
    """
    builder = _find(name, data_dir)
    features = builder.info.features
    _require_features(name, features)
    rate = _sample_rate(name, features["audio"].sample_rate, sample_rate)
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
    if "train" not in builder.info.splits:
        raise ValueError(
            "--dataset must have a split `train`. Received: "
            f"--dataset={name} with {', '.join(builder.info.splits)}"
        )
    return _clips(name, builder, known, rate)


def waveform_of(audio):
    """One channel within [-1, 1], the mean where there are several.

    Args:
      audio: `[samples]` or `[samples, channels]` array: integers that hold
        16-bit samples, whatever their dtype, or floats, which stay.

    Returns:
      `[samples]` float32 array.

    Raises:
      ValueError: where integers are none of 16 bits, or floats far beyond
        [-1, 1].
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


def _find(name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        raise ValueError(
            "--dataset must be spoken_digit, synthetic, or a data set that TFDS"
            " knows or has written to --data_dir. Received: "
            f"--dataset={name}, --data_dir={data_dir}, and the error "
            f"{type(error).__name__}: {error}"
        ) from error


def _require_features(name, features):
    found = features if isinstance(features, tfds.features.FeaturesDict) else {}
    for feature, kind in (
        ("audio", tfds.features.Audio),
        ("label", tfds.features.ClassLabel),
    ):
        if feature not in found or not isinstance(found[feature], kind):
            raise ValueError(
                f"--dataset must have a feature `{feature}`, a tfds.features."
                f"{kind.__name__}. Received: --dataset={name} with {features}"
            )


def _sample_rate(name, own, given):
    if own and given and own != given:
        raise ValueError(
            f"--sample_rate must be left out, or {own}, that of "
            f"--dataset={name}. Received: --sample_rate={given}"
        )
    if not own and not given:
        raise ValueError(
            f"--sample_rate must be given, in hertz, for --dataset={name}, "
            "whose own TFDS does not know. Received: none"
        )
    return int(own or given)


def _clips(name, builder, known, sample_rate):
    """`Clips` of the known words, in the order of the data set."""
    features = builder.info.features
    labels = features["label"].names
    found, left_out, counts = [], collections.Counter(), collections.Counter()
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
            speaker = _speaker(case, features)
            waveform = waveform_of(case["audio"])
            recording = counts[speaker, word]
            counts[speaker, word] += 1
            found.append((waveform, word, speaker, recording, part))
    if not found:
        raise ValueError(
            f"--dataset must have clips of {', '.join(known)}. Received: "
            f"--dataset={name}, whose {left_out.total()} clips have other "
            "labels"
        )
    waveforms, words, speakers, recordings, parts = zip(*found, strict=True)
    return Clips(
        list(waveforms),
        np.array([known.index(word) for word in words], np.int32),
        np.array(speakers),
        np.array(recordings, np.int32),
        words=known,
        sample_rate=sample_rate,
        parts=np.array(parts) if "test" in builder.info.splits else None,
        left_out=dict(left_out),
    )


def _speaker(case, features):
    """The name of who speaks."""
    for name in _SPEAKERS:
        if name in features:
            value = case[name]
            if isinstance(features[name], tfds.features.ClassLabel):
                return features[name].int2str(int(value))
            return value.decode() if isinstance(value, bytes) else str(value)
    return EVERYBODY

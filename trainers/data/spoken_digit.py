"""Free Spoken Digit Dataset through TensorFlow Datasets."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kdtf import speech
from trainers.data import tfds_audio, tfds_builders
from trainers.data.clips import Clips

SAMPLE_RATE = 8000  # hertz


def load(data_dir: str | None = None, manual_dir: str | None = None) -> Clips:
    """Loads 2,500 clips of the ten digits: 50 of each by 5 speakers, at 8 kHz.

    Args:
      data_dir: folder for prepared data, or None for the default of TFDS.
      manual_dir: folder with the original
        `free-spoken-digit-dataset-1.0.9.tar.gz`, for machines without network,
        or None to download it if necessary.

    Returns:
      `Clips`, sorted by speaker, digit and recording.

    Raises:
      RuntimeError: if the data are not prepared and cannot be; the message
        names the flags that help.
    """
    builder = tfds.builder("spoken_digit", data_dir=data_dir)
    tfds_builders.prepare(
        builder,
        "spoken_digit",
        "Install pydub and give --manual_dir=FOLDER with the original "
        "free-spoken-digit-dataset-1.0.9.tar.gz, or give --data_dir=FOLDER "
        "where TFDS has prepared it before, or use --dataset=synthetic, which "
        "needs no files.",
        data_dir=data_dir,
        manual_dir=manual_dir,
    )
    cases = builder.as_dataset(split="train", shuffle_files=False)
    return _clips(tfds.as_numpy(cases))


def _clips(cases: Iterable[dict[str, Any]]) -> Clips:
    """Returns sorted `Clips` of TFDS's examples.

    TFDS has no feature for the speaker and the recording; the names of the
    files, such as `7_jackson_32.wav`, have them.
    """
    found = []
    for case in cases:
        name = case["audio/filename"].decode().removesuffix(".wav")
        digit, speaker, recording = name.split("_")
        waveform = tfds_audio.waveform_of(case["audio"])
        found.append((speaker, int(digit), int(recording), waveform))
    found.sort(key=lambda clip: clip[:3])
    speakers, digits, recordings, waveforms = zip(*found, strict=True)
    return Clips(
        list(waveforms),
        np.array(digits, np.int32),
        np.array(speakers),
        np.array(recordings, np.int32),
        words=speech.digits().words,
        sample_rate=SAMPLE_RATE,
    )

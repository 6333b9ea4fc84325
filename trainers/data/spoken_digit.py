"""Free Spoken Digit Dataset through TensorFlow Datasets."""

import numpy as np
import tensorflow_datasets as tfds

from kdtf.speech import lexicon
from trainers.data import tfds_audio, tfds_builders
from trainers.data.clips import Clips

SAMPLE_RATE = 8000


def load(data_dir=None, manual_dir=None):
    """2,500 clips of the ten digits, 50 times each by 5 speakers, at 8 kHz.

    Args:
      data_dir: where prepared data lie or are to be written; None for TFDS's
        own default.
      manual_dir: a folder with the original
        `free-spoken-digit-dataset-1.0.9.tar.gz`, for a machine without network;
        None to download where need be.

    Returns:
      `Clips`, sorted by speaker, digit and recording.

    Raises:
      RuntimeError: where the data are neither prepared nor to be had; names
        the flags that help.
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


def _clips(cases):
    """Sorted `Clips` of TFDS's examples, whose files name the speakers."""
    found = []
    for case in cases:
        # Such as 7_jackson_32.wav.
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
        words=lexicon.digits().words,
        sample_rate=SAMPLE_RATE,
    )

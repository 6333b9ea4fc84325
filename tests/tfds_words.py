"""Writes tiny data sets as TFDS stores them, for `--data_dir`."""

import numpy as np
import tensorflow_datasets as tfds

from tests import speech_corpora

NAME = "tiny_words"
NOISE = "_noise_"
# In another order than the lexicon's.
LABELS = ("two", "no", NOISE, "six")


class _Words(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Examples that are given, in their order."""

    name = NAME
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def __init__(self, *, examples, features, **kwargs):
        self._examples, self._given = examples, features
        super().__init__(**kwargs)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(self._given),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {s: enumerate(found) for s, found in self._examples.items()}

    def _generate_examples(self):
        raise NotImplementedError


def features(**others):
    """Those of int16 clips at 8 kHz with labels, with others or without."""
    found = {
        "audio": tfds.features.Audio(dtype=np.int16, sample_rate=8000),
        "label": tfds.features.ClassLabel(names=LABELS),
        **others,
    }
    return {name: feature for name, feature in found.items() if feature}


def write(data_dir, examples, **others):
    """Writes a data set.

    Args:
      data_dir: the folder.
      examples: dict from split to a list of examples.
      **others: features beside or in place of `features()`; None for none.

    Returns:
      The folder, a string.
    """
    _Words(
        examples=examples, features=features(**others), data_dir=str(data_dir)
    ).download_and_prepare()
    return str(data_dir)


def spoken(recordings):
    """Examples of some recordings of `speech_corpora.clips`, as int16."""
    clips = speech_corpora.clips()
    return [
        {"audio": np.round(wave * 32767).astype(np.int16), "label": word}
        for wave, word, recording in zip(
            clips.waveforms, clips.transcripts(), clips.recordings, strict=True
        )
        if recording in recordings
    ]


def noise(samples=800):
    """An example without a word."""
    return {"audio": np.arange(samples, dtype=np.int16), "label": NOISE}

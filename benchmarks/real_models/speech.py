"""A GRU that spots words: a row of `benchmarks.real_models`."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.real_models import base
from kdtf import speech
from trainers.data import spoken_digit, synthetic_speech

FRAMES, BANDS = 64, 40
CLIPS = 512


class Speech(base.Row):
    """Two layers of GRU teach a smaller one."""

    title = "GRU to a smaller GRU"
    needs = ("ai_edge_litert",)
    temperature = 4.0
    litert = True

    @property
    def what(self):
        """What was run."""
        source = "spoken_digit" if any(self.sources.values()) else "synthetic"
        return (
            f"whole clips of one of ten digits ({source} speech), {FRAMES} "
            f"frames of {BANDS} log-mel energies, the rest masked; two "
            "bidirectional layers of 96 units to one layer of 32, batch 32"
        )

    def _clips(self):
        if any(self.sources.values()):
            return spoken_digit.load(**self.sources)
        return synthetic_speech.load()

    def prepare(self):
        clips = self._clips()
        order = np.random.default_rng(0).permutation(len(clips.labels))[:CLIPS]
        rate = clips.sample_rate
        frames = [
            speech.log_mel(clips.waveforms[i], sample_rate=rate).numpy()
            for i in order
        ]
        mean, deviation = speech.statistics(frames)
        frames = [(f[:FRAMES] - mean) / deviation for f in frames]
        padded = [np.pad(f, [(0, FRAMES - len(f)), (0, 0)]) for f in frames]
        self.save(frames=np.stack(padded), labels=clips.labels[order])
        self.train_teacher(_net(2, 96), 8)

    def student(self):
        return _net(1, 32)

    def batches(self):
        arrays = self.load()
        cases = (
            arrays["frames"].astype(np.float32),
            arrays["labels"].astype(np.int32),
        )
        data = tf.data.Dataset.from_tensor_slices(cases)
        return data.batch(32, drop_remainder=True)


def _net(layers, units):
    """A student of one layer; more of them are bidirectional."""
    recurrent = [
        keras.layers.GRU(units, return_sequences=i + 1 < layers)
        for i in range(layers)
    ]
    if layers > 1:
        recurrent = [keras.layers.Bidirectional(each) for each in recurrent]
    return keras.Sequential(
        [
            keras.Input((FRAMES, BANDS), name="frames"),
            keras.layers.Masking(0.0),
            *recurrent,
            keras.layers.Dense(10),
        ]
    )

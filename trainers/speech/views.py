"""Stored hearings: of all training clips, each a few times.

What an ensemble says of a hearing costs as much as many nets, so it is asked
once and its soft targets are stored; the sound is not, but made again from the
seeds that the store gives.
"""

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

import kdtf
from kdtf import speech
from trainers.speech import hearings
from trainers.speech.streams import Blocks, clips_of

_CLIPS = 32  # of a batch, padded to the longest of them
_SORTED = 16  # batches whose clips are sorted by length, to pad less
_AT_ONCE = 1024  # clips of a block
_NO_STATE = -1  # of padding


@dataclasses.dataclass(frozen=True)
class Views:
    """Hearings of a corpus's training clips, by their number.

    Attributes:
      corpus: `corpora.Corpus`.
      kind: `hearings.Kind`.
      count: int, hearings of each clip.
    """

    corpus: object
    kind: hearings.Kind
    count: int

    def write(self, path, teacher, temperature):
        """Stores what an ensemble says of them, where that is missing.

        Args:
          path: `pathlib.Path` of the store.
          teacher: `kdtf.Ensemble` of nets of windows.
          temperature: float, T.
        """
        bands = len(self.corpus.mean)
        members = [_of_utterances(net, bands) for net in teacher.members]
        kdtf.SoftTargets.write(
            path,
            kdtf.Ensemble(members),
            self.clips(),
            temperature=temperature,
            views=self.count,
            augment=self.hear,
        )

    def clips(self):
        """`tf.data.Dataset` of padded batches of clips, in a random order."""
        waveforms, states = clips_of(self.corpus)
        order = np.random.default_rng(0).permutation(len(waveforms))
        order = [
            clip
            for i in range(0, len(order), _CLIPS * _SORTED)
            for clip in sorted(
                order[i : i + _CLIPS * _SORTED],
                key=lambda clip: len(waveforms[clip]),
            )
        ]

        def read():
            for clip in order:
                yield {
                    "waveform": waveforms[clip],
                    "samples": len(waveforms[clip]),
                    "states": states[clip],
                    "frames": len(states[clip]),
                }

        signature = {
            "waveform": tf.TensorSpec([None], tf.float32),
            "samples": tf.TensorSpec([], tf.int32),
            "states": tf.TensorSpec([None], tf.int32),
            "frames": tf.TensorSpec([], tf.int32),
        }
        batches = tf.data.Dataset.from_generator(
            read, output_signature=signature
        ).padded_batch(_CLIPS)
        count = -(-len(order) // _CLIPS)
        return batches.apply(tf.data.experimental.assert_cardinality(count))

    def hear(self, clip, seed):
        """A hearing of one of `clips`, padded; what a store augments with."""
        corpus = self.corpus
        rate = corpus.clips.sample_rate
        log_mel, states = hearings.hear(
            clip["waveform"][: clip["samples"]],
            clip["states"][: clip["frames"]],
            seed,
            self.kind,
            rate,
        )
        # As long as the longest clip of the batch may be.
        slowest = self.kind.speed * self.kind.tempo
        padded = tf.cast(tf.size(clip["waveform"]), tf.float32) * slowest
        _, step = speech.framing(rate)
        most = tf.cast(padded / step, tf.int32) + 1
        # Beyond the last frame windows repeat it.
        rows = tf.minimum(tf.range(most), tf.size(states) - 1)
        frames = (log_mel - corpus.mean) / corpus.deviation
        padding = [[0, most - tf.size(states)]]
        return {
            "frames": tf.gather(frames, rows),
            "states": tf.pad(states, padding, constant_values=_NO_STATE),
        }

    def batches(self, path, *, batch_size, seed, first_step, last_step):
        """Batches with the stored soft targets, from step to step.

        Args:
          path: `pathlib.Path` of the store.
          batch_size: int.
          seed: int.
          first_step: int, counted from 0.
          last_step: int, exclusive.

        Returns:
          A `tf.data.Dataset` of `last_step - first_step` batches, see
          `streams.Blocks.cut`.
        """
        joined = kdtf.SoftTargets(path).join(self.clips(), augment=self.hear)
        clips = joined.unbatch().map(
            _without_padding, num_parallel_calls=2, deterministic=True
        )
        # They come in one order: not by a shuffle of tf.data, whose order is
        # another one whenever anybody begins to read, but in large blocks.
        blocks = Blocks.of(
            self.corpus.training.lengths,
            batch_size=batch_size,
            seed=seed,
            at_once=_AT_ONCE,
        )
        return (
            blocks.cut(clips.repeat())
            .skip(first_step)
            .take(last_step - first_step)
            .prefetch(4)
        )


def _without_padding(x, y):
    is_heard = x["states"] != _NO_STATE
    return {
        "frames": tf.boolean_mask(x["frames"], is_heard),
        "states": tf.boolean_mask(x["states"], is_heard),
        "teacher_logits": tf.boolean_mask(y["teacher_logits"], is_heard),
    }


def _of_utterances(net, bands):
    """A net of windows as one of what `Views.hear` makes.

    Its input is a dict, of which Keras takes no more than the frames; its
    logits are `[batch, time, states]`.
    """
    frames = keras.Input((None, bands), name="frames")
    windows = speech.ContextWindows()(frames)
    logits = functools.reduce(lambda x, layer: layer(x), net.layers, windows)
    return keras.Model({"frames": frames}, logits)

"""Batches of windows from clips that are made as training goes.

A few clips at a time are in memory, whose frames are shuffled with each other;
a data set may have any number of them. Which frames a batch has depends on the
seed and the step alone, so that a run that was killed and resumed sees what an
uninterrupted one sees.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from kdtf import speech
from trainers.speech import hearings
from trainers.speech.frames import WINDOW

_AT_ONCE = 128  # clips of a block


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How clips become batches: a block of clips after another.

    Attributes:
      clips: int, of a block.
      batches: int, of a block; about as many frames as its clips have.
      batch_size: int.
      seed: int, of the order of the frames in a block.
      mixed: float, the share of windows that another one is mixed into; the
        state is that of the larger part.
    """

    clips: int
    batches: int
    batch_size: int
    seed: int
    mixed: float = 0.0

    @classmethod
    def of(cls, lengths, *, batch_size, seed, mixed=0.0, at_once=_AT_ONCE):
        """Blocks of at most so many of clips of some numbers of frames."""
        clips = min(len(lengths), at_once)
        batches = max(1, int(clips * np.mean(lengths) / batch_size))
        return cls(clips, batches, batch_size, seed, mixed)

    def cut(self, clips, first=0):
        """`tf.data.Dataset` of batches.

        Args:
          clips: endless `tf.data.Dataset` of dicts of the "frames" of a clip,
            `[time, bands]`, its "states", `[time]` int32, and maybe the
            "teacher_logits" `[time, states]`.
          first: int, the number of the first block.

        Returns:
          A `tf.data.Dataset` of `([batch, WINDOW * bands] float32, y)`; y is
          states, or with logits a dict of "labels" and "teacher_logits".
        """
        return (
            clips.ragged_batch(self.clips, drop_remainder=True)
            .enumerate(first)
            .flat_map(self._cut_block)
        )

    def _cut_block(self, number, block):
        seed = tf.constant(self.seed, tf.int64)
        total = tf.size(block["states"].values, tf.int64)
        rows = tf.raw_ops.RandomIndexShuffle(
            # From the beginning again where there are too few.
            index=tf.range(self.batches * self.batch_size, dtype=tf.int64)
            % total,
            seed=tf.stack([seed, number, 0]),
            max_index=total - 1,
        )
        rows = tf.reshape(rows, (self.batches, self.batch_size))

        def cut(step, rows):
            x = _windows(block["frames"], rows)
            return self._mix(x, tf.stack([seed, step])), _targets(block, rows)

        batches = tf.data.Dataset.from_tensor_slices(rows)
        return batches.enumerate(number * self.batches).map(cut)

    def _mix(self, x, seed):
        """Windows, into some of which their neighbour is mixed."""
        if not self.mixed:
            return x
        u = tf.random.stateless_uniform((2, self.batch_size, 1), seed)
        part = tf.where(u[0] < self.mixed, u[1] / 2, 0.0)
        return (1 - part) * x + part * tf.roll(x, 1, axis=0)


def _windows(frames, rows):
    """`[batch, WINDOW * bands]` windows of some rows of ragged frames."""
    clips = tf.gather(frames.value_rowids(), rows)
    windows = speech.windows_at(
        frames.values,
        rows,
        tf.gather(frames.row_starts(), clips),
        tf.gather(frames.row_limits() - 1, clips),
    )
    return tf.reshape(windows, (*rows.shape, WINDOW * windows.shape[-1]))


def _targets(block, rows):
    """States of some rows, with the teacher's logits where there are any."""
    states = tf.gather(block["states"].values, rows)
    if "teacher_logits" not in block:
        return states
    logits = tf.gather(block["teacher_logits"].values, rows)
    return {"labels": states, "teacher_logits": logits}


def clips_of(corpus):
    """Waveforms and states of all training clips, two lists of arrays."""
    used = corpus.used["training"]
    return (
        [corpus.clips.waveforms[i] for i in used],
        corpus.training.split(corpus.training.states),
    )


@dataclasses.dataclass(frozen=True)
class Sound:
    """Some training clips, of which hearings are made.

    Attributes:
      waveforms: list of `[samples]` float32 arrays.
      states: list of `[frames]` int32 arrays, of the clips as recorded.
      sample_rate: int, in hertz.
      mean: `[bands]` float32, of the training frames.
      deviation: `[bands]` float32, of the same.
    """

    waveforms: list
    states: list
    sample_rate: int
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, corpus, share=1.0):
        """A share of a corpus's training clips."""
        waveforms, states = clips_of(corpus)
        chosen = corpus.nested(share)
        return cls(
            [waveforms[i] for i in chosen],
            [states[i] for i in chosen],
            corpus.clips.sample_rate,
            corpus.mean,
            corpus.deviation,
        )

    def batches(self, kind, *, mixed, batch_size, seed, first_step, last_step):
        """Batches of hearings without end, none of them heard twice.

        Args:
          kind: `hearings.Kind`.
          mixed: float, see `Blocks`.
          batch_size: int.
          seed: int.
          first_step: int, counted from 0.
          last_step: int, exclusive.

        Returns:
          A `tf.data.Dataset` of `last_step - first_step` batches, see
          `Blocks.cut`.
        """
        blocks = Blocks.of(
            [len(s) for s in self.states],
            batch_size=batch_size,
            seed=seed,
            mixed=mixed,
        )
        first = first_step // blocks.batches
        clips = tf.data.Dataset.range(first * blocks.clips, 2**62).map(
            functools.partial(self._heard, kind, seed),
            num_parallel_calls=2,
            deterministic=True,
        )
        return (
            blocks.cut(clips, first)
            .skip(first_step - first * blocks.batches)
            .take(last_step - first_step)
            .prefetch(4)
        )

    def _heard(self, kind, seed, place):
        """The hearing at a place of the stream."""
        count = len(self.waveforms)
        seed = tf.constant(seed, tf.int64)
        # Every pass has all clips, in an order of its own.
        clip = tf.raw_ops.RandomIndexShuffle(
            index=place % count,
            seed=tf.stack([seed, place // count, 1]),
            max_index=tf.constant(count - 1, tf.int64),
        )
        waveforms, states = self._tensors
        log_mel, states = hearings.hear(
            waveforms[clip],
            states[clip],
            tf.stack([seed, place]),
            kind,
            self.sample_rate,
        )
        frames = (log_mel - self.mean) / self.deviation
        return {"frames": frames, "states": states}

    @functools.cached_property
    def _tensors(self):
        """Waveforms and states, two `tf.RaggedTensor`s."""
        with tf.init_scope():
            return [
                tf.RaggedTensor.from_row_lengths(
                    np.concatenate(parts), [len(part) for part in parts]
                )
                for parts in (self.waveforms, self.states)
            ]

"""Frames of many utterances in one matrix, and batches of their windows.

A window of 26 frames is made when it is needed: stored, windows would be 26
times the data. Which frames a batch has depends on the seed and the step alone,
so that a run that was killed and resumed sees what an uninterrupted one sees.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from kdtf import speech

WINDOW = speech.FRAMES_BEFORE + 1 + speech.FRAMES_AFTER
_ROWS = 4096  # windows that a net is run on at once


@dataclasses.dataclass(frozen=True)
class Frames:
    """Utterances that lie end to end.

    Attributes:
      values: `[total, bands]` float32 array, normalised.
      lengths: `[utterances]` int array, their sum is `total`.
      states: `[total]` int32 array of labels, or None.
    """

    values: np.ndarray
    lengths: np.ndarray
    states: np.ndarray | None = None

    @classmethod
    def of(cls, log_mels, mean, deviation, states=None):
        """Frames of utterances.

        Args:
          log_mels: list of `[time, bands]` arrays.
          mean: `[bands]`, of the training frames.
          deviation: `[bands]`, of the same.
          states: None, or list of `[time]` int arrays.

        Returns:
          `Frames`.
        """
        values = (np.concatenate(log_mels) - mean) / deviation
        return cls(
            values.astype(np.float32),
            np.array([len(m) for m in log_mels]),
            None if states is None else np.concatenate(states),
        )

    def __reduce__(self):
        """Without what is cached: tensors stay in their process."""
        return Frames, (self.values, self.lengths, self.states)

    def __len__(self):
        """The number of frames."""
        return len(self.values)

    @functools.cached_property
    def utterance(self):
        """`[total]` int array: which utterance each frame is of."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @functools.cached_property
    def ends(self):
        """`(first, last)` rows of each frame's utterance, `[total]` int32."""
        after = np.cumsum(self.lengths)
        rows = np.stack([after - self.lengths, after - 1]).astype(np.int32)
        return tuple(rows[:, self.utterance])

    def rows_of(self, utterances):
        """`[frames]` int array: the rows of some utterances."""
        return np.flatnonzero(np.isin(self.utterance, utterances))

    def split(self, values):
        """List with the part of `[total, ...]` values of each utterance."""
        return np.split(values, np.cumsum(self.lengths)[:-1])

    def per_utterance(self, values):
        """`[..., utterances]`: sums of `[..., total]` values."""
        sums = np.cumsum(values, axis=-1)
        ends = np.take(sums, np.cumsum(self.lengths) - 1, axis=-1)
        return np.diff(ends, axis=-1, prepend=0)

    @functools.cached_property
    def _tensors(self):
        """Values, and first and last rows, which graphs capture."""
        with tf.init_scope():
            return [tf.constant(x) for x in (self.values, *self.ends)]

    def windows(self, rows):
        """`[rows, WINDOW * bands]` float32 tensor, of a tensor of rows."""
        values, first, last = self._tensors
        windows = speech.windows_at(
            values, rows, tf.gather(first, rows), tf.gather(last, rows)
        )
        return tf.reshape(windows, (-1, WINDOW * self.values.shape[1]))

    def in_order(self):
        """Batched `tf.data.Dataset` of all (window, state), in order."""
        rows = tf.data.Dataset.range(len(self)).batch(_ROWS)
        states = tf.constant(self.states)
        return rows.map(lambda r: (self.windows(r), tf.gather(states, r)))


def training_batches(
    frames,
    *,
    batch_size,
    seed,
    first_step,
    last_step,
):
    """Batches of windows with their states, from step to step.

    One pass over the frames follows the other, each in an order of its own; a
    batch may have the end of one and the beginning of the next.

    Args:
      frames: `Frames` with states.
      batch_size: int.
      seed: int.
      first_step: int, counted from 0 over all passes.
      last_step: int, exclusive.

    Returns:
      A `tf.data.Dataset` of `last_step - first_step` batches `([batch, WINDOW *
      bands] float32, [batch] int32)`.
    """
    states = tf.constant(frames.states)
    count = len(frames)

    def batch(step):
        places = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        passes = places // count
        fixed = tf.fill([batch_size], tf.constant(seed, tf.int64))
        seeds = tf.stack([fixed, passes, tf.zeros_like(passes)], axis=1)
        # `tf.random.experimental.index_shuffle` cannot take a seed a row.
        chosen = tf.raw_ops.RandomIndexShuffle(
            index=places % count,
            seed=seeds,
            max_index=tf.constant(count - 1, tf.int64),
        )
        x, y = frames.windows(chosen), tf.gather(states, chosen)
        return tf.ensure_shape(x, (batch_size, x.shape[-1])), y

    return (
        tf.data.Dataset.range(first_step, last_step)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .prefetch(4)
    )


def predict(net, frames, rows=None):
    """A net's logits on frames.

    Args:
      net: `keras.Model` or `kdtf.Ensemble`, `[batch, WINDOW * bands]` to
        `[batch, states]`.
      frames: `Frames`.
      rows: ints, which of them; None for all.

    Returns:
      `[frames, states]` float32 array.
    """
    rows = np.arange(len(frames)) if rows is None else rows
    parts = np.array_split(rows, max(1, -(-len(rows) // _ROWS)))
    return np.concatenate(
        [
            net(frames.windows(tf.constant(p)), training=False).numpy()
            for p in parts
        ]
    )

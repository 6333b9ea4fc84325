"""Other hearings of a clip: faster, slower, louder, in noise.

A net that saw a clip is nearly certain about its frames, so its soft targets on
them carry little more than the labels do: the paper's ensemble saw 700 million
frames, spoken_digit has 80,000. It is less certain about a clip that is spoken
in another way, and a student can learn from that.

A hearing is a function of the clip and a seed, made of TensorFlow operations:
pipelines make it when it is needed, and make the same again.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from kdtf import speech

_FAINTEST = 50.0  # decibels that the faintest noise is below the voice
_BANDS = 40
_COSINES = 4
# What lies between two samples is made of eight on either side; where it is, is
# known to a part of their distance.
_TAPS = np.arange(-7, 9, dtype=np.int32)
_PARTS = 512


@dataclasses.dataclass(frozen=True)
class Kind:
    """How different hearings are. Each differs by a random part of all this.

    Attributes:
      speed: float of at least 1, the largest factor, up or down, by which the
        sound is played faster: pitch and formants move with it.
      tempo: the same, of words said faster by the same voice.
      loudness: float, decibels up or down.
      noise: float, decibels that the loudest white noise is below the voice.
      colour: float, the deviation of each of the first cosines over the bands
        that are added to the log energies, as another microphone does.
    """

    speed: float
    loudness: float
    noise: float
    tempo: float = 1.0
    colour: float = 0.0


def _weights():
    """`[_PARTS + 1, taps]` float32 of a sinc under a Hann window."""
    distance = np.linspace(0, 1, _PARTS + 1)[:, np.newaxis] - _TAPS
    weights = np.sinc(distance) * (1 + np.cos(np.pi * distance / 8))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_WEIGHTS = _weights()


def hear(waveform, states, seed, kind, sample_rate):
    """Another hearing of a clip.

    Args:
      waveform: `[samples]` float32 tensor within [-1, 1].
      states: `[frames]` int32 tensor, of the frames of the clip as recorded.
      seed: `[2]` int32 or int64 tensor.
      kind: `Kind`.
      sample_rate: int, in hertz.

    Returns:
      `(log_mel, states)`: `[frames, bands]` float32 tensor of another number of
      frames, and the state of each, `[frames]` int32.
    """
    window, step = speech.framing(sample_rate)
    places, noises, colours = tf.unstack(tf.random.split(seed, 3))
    u = tf.random.stateless_uniform([6], places, -1.0, 1.0)
    speed, tempo = kind.speed ** u[0], kind.tempo ** u[1]
    start = step * (u[2] + 1) / 2
    sound = _played(waveform, start, speed)
    snr = kind.noise + (_FAINTEST - kind.noise) * (u[3] + 1) / 2
    noise = tf.random.stateless_normal(tf.shape(sound), noises)
    power = tf.reduce_mean(sound**2)
    sound += noise * tf.sqrt(power) * 10 ** (-snr / 20)
    sound *= 10 ** (kind.loudness * u[4] / 20)
    log_mel, begins = _frames(
        tf.clip_by_value(sound, -1.0, 1.0), step * tempo, sample_rate
    )
    # From the middle of a frame to the frame of the clip whose middle is next.
    middles = start + (begins + window / 2) * speed
    nearest = tf.cast(tf.round((middles - window / 2) / step), tf.int32)
    nearest = tf.clip_by_value(nearest, 0, tf.size(states) - 1)
    return log_mel + _colour(kind, colours), tf.gather(states, nearest)


def _played(waveform, start, speed):
    """A waveform from a sample on, `speed` times as fast.

    Between two samples it is interpolated by a sinc under a Hann window: a
    straight line would take a good part of the highest bands away.
    """
    last = tf.size(waveform) - 1
    count = tf.cast((tf.cast(last, tf.float32) - start) / speed, tf.int32) + 1
    places = start + speed * tf.range(tf.cast(count, tf.float32))
    below = tf.floor(places)
    part = tf.cast(tf.round((places - below) * _PARTS), tf.int32)
    rows = tf.cast(below, tf.int32)[:, tf.newaxis] + _TAPS
    samples = tf.gather(waveform, tf.clip_by_value(rows, 0, last))
    return tf.reduce_sum(tf.gather(_WEIGHTS, part) * samples, 1)


def _frames(sound, step, sample_rate):
    """Log-mel frames that begin every `step` samples, and where."""
    window, _ = speech.framing(sample_rate)
    room = tf.cast(tf.size(sound) - window, tf.float32)
    begins = step * tf.range(tf.floor(room / step) + 1)
    rows = tf.cast(begins, tf.int32)[:, tf.newaxis] + tf.range(window)
    # Each is a waveform of one frame.
    log_mel = speech.log_mel(tf.gather(sound, rows), sample_rate=sample_rate)
    return log_mel[:, 0], begins


def _colour(kind, seed):
    """What is added to the log energies of every frame, `[bands]`."""
    orders = tf.range(1.0, _COSINES + 1)
    middles = (tf.range(float(_BANDS)) + 0.5) / _BANDS
    strengths = kind.colour * tf.random.stateless_normal([_COSINES], seed)
    cosines = tf.cos(np.pi * orders[:, tf.newaxis] * middles)
    return tf.linalg.matvec(cosines, strengths / tf.sqrt(orders), True)

"""Clips as nets take them: logarithms of energies of bands."""

import dataclasses
import pathlib
import wave

import numpy as np
import tensorflow as tf

from kdtf import speech

_BITS = 16
_HEAD = 44  # bytes before the samples, in a file that holds nothing else


@dataclasses.dataclass(frozen=True)
class Listening:
    """How clips become x.

    Attributes:
      sample_rate: int, in hertz.
      seconds: float; longer clips are cut, shorter ones end in silence.
      bands: int.
    """

    sample_rate: int
    seconds: float
    bands: int

    def __post_init__(self):
        if not speech.num_frames(self.samples, self.sample_rate):
            raise ValueError(
                "--seconds must be at least 0.025, the length of a frame. "
                f"Received: --seconds={self.seconds}"
            )

    @property
    def samples(self):
        """int, how many of a clip are heard."""
        return round(self.seconds * self.sample_rate)

    def hear(self, waveform):
        """x of a clip.

        Args:
          waveform: `[samples]` or `[samples, channels]` tensor: integers that
            hold 16-bit samples, or floats within [-1, 1].

        Returns:
          `[frames, bands, 1]` float32 tensor, see `speech.log_mel`.
        """
        if waveform.dtype.is_integer:
            waveform = tf.cast(waveform, tf.float32) / 2.0 ** (_BITS - 1)
        if waveform.shape.rank == 2:
            waveform = tf.reduce_mean(waveform, axis=-1)
        kept = waveform[: self.samples]
        kept = tf.pad(kept, [[0, self.samples - tf.shape(kept)[0]]])
        kept = tf.ensure_shape(kept, (self.samples,))
        bands = speech.log_mel(
            kept, sample_rate=self.sample_rate, bands=self.bands
        )
        return bands[..., None]


def decode(encoded):
    """`[samples, channels]` float32 waveform of a WAV file's content."""
    return tf.audio.decode_wav(encoded).audio


def measured(files, flag):
    """What WAV files say of themselves.

    Args:
      files: list of paths.
      flag: `specs.Spec` that named them.

    Returns:
      `(rate, lengths)`: the sampling rate that all of them have, in hertz, and
      `[files]` int array of samples.

    Raises:
      ValueError: if one is no WAV file of 16 bits that TensorFlow reads, or has
        another rate than the first; the message has its path.
    """
    found = [_measured(file, flag) for file in files]
    rates = [rate for rate, _ in found]
    for file, rate in zip(files, rates, strict=True):
        if rate != rates[0]:
            raise ValueError(
                f"--{flag.flag} must have clips of one sampling rate: bring "
                f"them to {rates[0]} Hz. Received: {flag}, with {file} at "
                f"{rate} Hz"
            )
    return rates[0], np.array([samples for _, samples in found])


def _measured(file, flag):
    """Sampling rate and samples of a file."""
    try:
        with wave.open(str(file)) as opened:
            bits = 8 * opened.getsampwidth()
            rate, frames = opened.getframerate(), opened.getnframes()
            stored = opened.getnchannels() * frames * bits // 8
            reason = f"{bits} bits" if bits != _BITS else None
            reason = reason or (None if frames else "no samples")
            size = pathlib.Path(file).stat().st_size
            if size < stored:
                reason = "it ends early"
            elif size != _HEAD + stored:
                reason = reason or _reason_against(file)
    except (wave.Error, EOFError) as error:
        reason = str(error) or "it ends early"
    if reason:
        raise ValueError(
            f"--{flag.flag} must have WAV files of 16 bits: mend, convert or "
            f"remove this one. Received: {flag}, whose file {file} is none: "
            f"{reason}"
        )
    return rate, frames


def _reason_against(file):
    """Why TensorFlow does not decode a file, a string, or None.

    Python pads chunks of an odd length, and ignores what follows the last one.
    """
    try:
        decode(pathlib.Path(file).read_bytes())
    except (tf.errors.OpError, UnicodeDecodeError):  # its words are bytes
        return "it holds more than samples, and what TensorFlow cannot read"
    return None

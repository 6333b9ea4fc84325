"""From waveforms to the input of an acoustic net: 40 log-mel energies a frame.

A frame is a window of 25 ms, and a new one starts every 10 ms. All functions
but `statistics` consist of TensorFlow operations, so they run eagerly, in
`tf.data` pipelines, and in models that take waveforms (`kdtf.speech.LogMel`).
Context windows should be made from frames when they are needed: stored, they
would be 26 times as large as the frames.
"""

import functools
import math
import numbers
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kdtf._types import Tensor, TensorLike
from kdtf.speech import _checks

WINDOW_SECONDS = 0.025
STEP_SECONDS = 0.010
# Frames of context in a window of 26: the net classifies the 21st.
FRAMES_BEFORE, FRAMES_AFTER = 20, 5
_LOWEST_HERTZ = 64.0  # below this there is hum, not speech
_SLOWEST_RATE = 1000
# For waveforms within [-1, 1]: about the energy over a window of noise in the
# last of 16 bits, so that digital silence is not an outlier.
_FLOOR = 1e-7


def framing(sample_rate: float) -> tuple[int, int]:
    """Returns the length of a window and the step between two, in samples.

    Both are rounded to whole samples: at 11,025 Hz the step is 9.98 ms.

    Args:
      sample_rate: number of at least 1000, in hertz.

    Returns:
      `(window, step)`, ints.

    Raises:
      ValueError: if `sample_rate` is less than 1000 or NaN.

    Example:
      >>> kdtf.speech.framing(8000)
      (200, 80)
    """
    if not (
        isinstance(sample_rate, numbers.Real)
        and _SLOWEST_RATE <= sample_rate < math.inf
    ):
        raise ValueError(
            f"`sample_rate` must be a number of at least {_SLOWEST_RATE}, in "
            "hertz; of a tensor, as tf.audio.decode_wav returns it, give "
            f"int(sample_rate). Received: sample_rate={sample_rate!r}"
        )
    return round(WINDOW_SECONDS * sample_rate), round(
        STEP_SECONDS * sample_rate
    )


def num_frames(samples: int, sample_rate: float) -> int:
    """Returns the number of frames of a waveform.

    Args:
      samples: int, the length of the waveform.
      sample_rate: number of at least 1000, in hertz.

    Returns:
      int, 0 if the waveform is shorter than a window. Samples at the end that
      do not fill a window are ignored.

    Raises:
      ValueError: if `sample_rate` is less than 1000 or NaN.

    Example:
      >>> kdtf.speech.num_frames(8000, 8000)
      98
    """
    window, step = framing(sample_rate)
    return max(0, 1 + (samples - window) // step)


def log_mel(
    waveforms: TensorLike, *, sample_rate: float, bands: int = 40
) -> Tensor:
    """Computes log energies of mel-spaced bands.

    Sums power spectra of Hann windows with triangular filters of peak 1 whose
    corners, from 64 Hz to half the sampling rate, are equidistant in
    1127 ln(1 + f / 700); takes the natural logarithm.

    Args:
      waveforms: `[..., samples]` array with one channel: floats within [-1, 1],
        or integers of any dtype that hold 16-bit samples.
      sample_rate: number of at least 1000, in hertz.
      bands: int > 0.

    Returns:
      `[..., frames, bands]` float32 tensor with `num_frames` frames.

    Raises:
      ValueError: if `sample_rate` is less than 1000 or NaN, or `bands` is not a
        positive int.

    Example:
      >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
      >>> kdtf.speech.log_mel(tone, sample_rate=8000).shape
      TensorShape([98, 40])
    """
    window, step = framing(sample_rate)
    _checks.check_bands(bands)
    length = _fft_length(sample_rate, bands)
    frames = tf.signal.frame(_samples(waveforms), window, step)
    frames *= tf.signal.hann_window(window)
    # `rfft` itself does not pad a tensor without frames.
    padding = [[0, 0]] * (frames.shape.rank - 1) + [[0, length - window]]
    spectra = tf.signal.rfft(tf.pad(frames, padding))
    power = tf.square(tf.math.real(spectra)) + tf.square(tf.math.imag(spectra))
    filters = _filters(bands, spectra.shape[-1], sample_rate)
    return tf.math.log(tf.matmul(power, filters) + _FLOOR)


def cepstra(log_mels: TensorLike, *, coefficients: int = 13) -> Tensor:
    """Computes mel cepstra with their first and second differences.

    Gaussians with diagonal covariances need them: neighbouring bands are highly
    correlated, cepstra hardly. Differences are regression slopes over five
    frames; the first and last frame of an utterance are repeated.

    Args:
      log_mels: `[..., time, bands]` array.
      coefficients: int, from 1 to `bands`; the first is the energy.

    Returns:
      `[..., time, 3 * coefficients]` float32 tensor.

    Raises:
      ValueError: if `coefficients` is less than 1 or more than `bands`.

    Example:
      >>> noise = np.random.default_rng(0).normal(size=8000)
      >>> log_mels = kdtf.speech.log_mel(noise, sample_rate=8000)
      >>> kdtf.speech.cepstra(log_mels).shape
      TensorShape([98, 39])
    """
    log_mels = tf.cast(log_mels, tf.float32)
    if not 0 < coefficients <= log_mels.shape[-1]:
        raise ValueError(
            f"`coefficients` must be from 1 to {log_mels.shape[-1]} here. "
            f"Received: coefficients={coefficients}"
        )
    # The transform fails on a tensor without frames, so it gets one more frame.
    padding = [[0, 0]] * (log_mels.shape.rank - 2) + [[0, 1], [0, 0]]
    c = tf.signal.mfccs_from_log_mel_spectrograms(tf.pad(log_mels, padding))
    c = c[..., :-1, :coefficients]
    slopes = _slopes(c)
    return tf.concat([c, slopes, _slopes(slopes)], axis=-1)


def statistics(clips: Iterable[npt.ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and standard deviation of each band over all frames.

    Args:
      clips: iterable of `[time, bands]` arrays, the training clips.

    Returns:
      `(mean, deviation)`, `[bands]` float32 arrays. The deviation of a constant
      band is given as 1, so that it is safe to divide by.

    Raises:
      ValueError: if there are no frames, a value is not finite, or a clip is
        not `[time, bands]` with as many bands as the others.

    Example:
      >>> clips = [np.zeros([3, 2]), np.full([5, 2], 4.0)]
      >>> mean, deviation = kdtf.speech.statistics(clips)
      >>> mean, deviation.round(2)
      (array([2.5, 2.5], dtype=float32), array([1.94, 1.94], dtype=float32))
      >>> layer = keras.layers.Normalization(mean=mean, variance=deviation**2)
    """
    count, bands, shift, total, squares = 0, None, None, 0.0, 0.0
    for clip in clips:
        frames = np.asarray(clip, np.float64)
        # The rows of one array, in place of a list, would be clips of numbers.
        if frames.ndim != 2 or frames.shape[1] != (bands or frames.shape[1]):
            among = "" if bands is None else f", after one of {bands} bands"
            raise ValueError(
                "`clips` must be a list, or another iterable, of arrays [time, "
                "bands], all of as many bands; give one clip as [clip]. "
                f"Received: a clip of shape {frames.shape}{among}"
            )
        bands = frames.shape[1]
        if not np.isfinite(frames).all():
            raise ValueError(
                "`clips` must be finite. Received: NaN or infinity"
            )
        if len(frames):
            # Sums of squares about a value near the mean keep their digits.
            shift = frames.mean(0) if shift is None else shift
            count += len(frames)
            total = total + (frames - shift).sum(0)
            squares = squares + ((frames - shift) ** 2).sum(0)
    if shift is None:
        raise ValueError(
            "`clips` must contain at least one frame. Received: none"
        )
    offset = total / count
    deviation = np.sqrt(np.maximum(squares / count - offset**2, 0))
    deviation = np.where(deviation > 0, deviation, 1.0)
    return (shift + offset).astype(np.float32), deviation.astype(np.float32)


def context_windows(
    frames: TensorLike,
    *,
    before: int = FRAMES_BEFORE,
    after: int = FRAMES_AFTER,
    lengths: TensorLike | None = None,
) -> Tensor:
    """Returns every frame with its neighbours.

    The first and last frame of an utterance are repeated beyond its ends.

    Args:
      frames: `[..., time, bands]` array.
      before: int >= 0, number of frames of the past.
      after: int >= 0, number of frames of the future.
      lengths: `[batch]` ints, the numbers of frames that are not padding if
        `frames` is a padded batch `[batch, time, bands]`, or None if nothing is
        padded.

    Returns:
      `[..., time, before + 1 + after, bands]` tensor of the dtype of `frames`.

    Raises:
      ValueError: if `before` or `after` is not an int of at least 0.

    Example:
      >>> frames = np.array([[1], [2], [3]])  # [time, bands]
      >>> windows = kdtf.speech.context_windows(frames, before=2, after=1)
      >>> windows[..., 0].numpy()
      array([[1, 1, 1, 2],
             [1, 1, 2, 3],
             [1, 2, 3, 3]])
    """
    frames = tf.convert_to_tensor(frames)
    time = tf.shape(frames)[-2]
    if lengths is None:
        rows = _rows(tf.range(time), 0, time - 1, before, after)
        return tf.gather(frames, rows, axis=-2)
    last = tf.cast(lengths, tf.int32)[:, None, None] - 1
    rows = _rows(tf.range(time), 0, last, before, after)
    return tf.gather(frames, rows, axis=1, batch_dims=1)


def windows_at(
    frames: TensorLike,
    centres: TensorLike,
    first: TensorLike,
    last: TensorLike,
    *,
    before: int = FRAMES_BEFORE,
    after: int = FRAMES_AFTER,
) -> Tensor:
    """Returns context windows of chosen frames of concatenated utterances.

    For batches of frames in random order: the frames of all utterances stay in
    one matrix, and an example is only three integers.

    Args:
      frames: `[total, bands]` array, all utterances one after the other.
      centres: `[...]` ints, the chosen rows of `frames`.
      first: `[...]` ints, the first row of the utterance of each.
      last: `[...]` ints, the last row of the utterance of each.
      before: int >= 0, number of frames of the past.
      after: int >= 0, number of frames of the future.

    Returns:
      `[..., before + 1 + after, bands]` tensor of the dtype of `frames`. The
      first and last frame of an utterance are repeated beyond its ends.

    Raises:
      ValueError: if `before` or `after` is not an int of at least 0.

    Example:
      >>> frames = np.array([[1], [2], [3], [7], [8]])  # two utterances
      >>> windows = kdtf.speech.windows_at(
      ...     frames, centres=[2, 3], first=[0, 3], last=[2, 4],
      ...     before=1, after=1)
      >>> windows[..., 0].numpy()
      array([[2, 3, 3],
             [7, 7, 8]])
    """
    centres, first, last = (
        tf.cast(x, tf.int32) for x in (centres, first, last)
    )
    rows = _rows(centres, first[..., None], last[..., None], before, after)
    return tf.gather(frames, rows)


def _rows(
    centres: Tensor,
    first: Tensor | int,
    last: Tensor | int,
    before: int,
    after: int,
) -> Tensor:
    """Returns the rows of windows; `first` and `last` must broadcast to them.

    The result is of shape `[..., before + 1 + after]` for centres `[...]`.
    """
    _checks.check_context(before, after)
    rows = centres[..., None] + tf.range(-before, after + 1)
    # `first` takes precedence: a length of 0 would give row -1.
    return tf.maximum(tf.minimum(rows, last), first)


def _slopes(values: Tensor) -> Tensor:
    """Regression slopes over frames -2 to 2: sum n c_n / sum n^2."""
    around = context_windows(values, before=2, after=2)
    weights = tf.constant([-0.2, -0.1, 0.0, 0.1, 0.2], around.dtype)
    return tf.einsum("...wk,w->...k", around, weights)


def _samples(waveforms: TensorLike) -> Tensor:
    """Returns float32 samples within [-1, 1]."""
    waveforms = tf.convert_to_tensor(waveforms)
    if waveforms.dtype.is_integer:
        return tf.cast(waveforms, tf.float32) / 32768.0
    return tf.cast(waveforms, tf.float32)


@functools.lru_cache(maxsize=16)
def _filters(bands: int, bins: int, sample_rate: float) -> np.ndarray:
    """Returns `[bins, bands]`; cached, as it costs more than the rest."""
    with tf.init_scope():
        return tf.signal.linear_to_mel_weight_matrix(
            bands,
            bins,
            sample_rate,
            lower_edge_hertz=_LOWEST_HERTZ,
            upper_edge_hertz=sample_rate / 2,
        ).numpy()


def _fft_length(sample_rate: float, bands: int) -> int:
    """Returns a power of two, enough for a window and for the narrowest band.

    The lowest band is the narrowest. It extends over two distances between
    corners, and contains a bin of the spectrum if bins are no further apart
    than one such distance.
    """
    low, high = (
        1127 * np.log1p(f / 700) for f in (_LOWEST_HERTZ, sample_rate / 2)
    )
    narrowest = 700 * np.expm1((low + (high - low) / (bands + 1)) / 1127)
    needed = max(
        framing(sample_rate)[0], sample_rate / (narrowest - _LOWEST_HERTZ)
    )
    return 2 ** int(np.ceil(np.log2(needed)))

"""From waveforms to what an acoustic net sees: 40 log-mel energies a frame.

A frame is a window of 25 ms; one starts every 10 ms. Everything but
`statistics` is made of TensorFlow operations, so it runs eagerly, in a
`tf.data` pipeline, and in a model that takes waveforms (`kdtf.speech.layers`).
Windows of context are made from frames when they are needed: stored, they would
be 26 times the data.
"""

import functools

import numpy as np
import tensorflow as tf

WINDOW_SECONDS = 0.025
STEP_SECONDS = 0.010
BEFORE, AFTER = 20, 5  # frames of context; the net predicts the 21st of 26
_LOWEST_HERTZ = 64.0  # below there is hum, not speech
_SLOWEST_RATE = 1000
# Of waveforms within [-1, 1]: the energy of noise at about the last of 16 bits
# over a window, so that digital silence is no outlier.
_FLOOR = 1e-7


def framing(sample_rate):
    """The samples of a window and of the advance between two.

    Both are rounded to whole samples: at 11,025 Hz the advance is 9.98 ms.

    Args:
      sample_rate: number of at least 1000, in hertz.

    Returns:
      `(window, step)`, ints.

    Raises:
      ValueError: where `sample_rate` is no such number.
    """
    if not sample_rate >= _SLOWEST_RATE:
        raise ValueError(
            f"`sample_rate` must be a number of at least {_SLOWEST_RATE}, in "
            f"hertz. Received: sample_rate={sample_rate}"
        )
    return round(WINDOW_SECONDS * sample_rate), round(
        STEP_SECONDS * sample_rate
    )


def num_frames(samples, sample_rate):
    """How many frames a waveform has; 0 where it is shorter than a window.

    Args:
      samples: int, its length.
      sample_rate: number of at least 1000, in hertz.

    Returns:
      int. Samples at the end that fill no window are left out.

    Example:
      >>> kdtf.speech.num_frames(8000, 8000)
      98
    """
    window, step = framing(sample_rate)
    return max(0, 1 + (samples - window) // step)


def log_mel(waveforms, *, sample_rate, bands=40):
    """Log energies of mel-spaced bands, from 64 Hz to half the sampling rate.

    Power spectra of Hann windows, summed by triangular filters of peak 1 whose
    corners are equidistant in 1127 ln(1 + f / 700); natural logarithm.

    Args:
      waveforms: `[..., samples]`, one channel: floats within [-1, 1], or
        integers that hold 16-bit samples, whatever their dtype.
      sample_rate: number of at least 1000, in hertz.
      bands: int > 0.

    Returns:
      `[..., frames, bands]` float32 tensor of `num_frames` frames.

    Raises:
      ValueError: where an argument is none of these.

    Example:
      >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
      >>> kdtf.speech.log_mel(tone, sample_rate=8000).shape
      TensorShape([98, 40])
    """
    window, step = framing(sample_rate)
    check_bands(bands)
    length = _fft_length(sample_rate, bands)
    frames = tf.signal.frame(_samples(waveforms), window, step)
    frames *= tf.signal.hann_window(window)
    # Padded here: the transform does not pad where there is no frame at all.
    padding = [[0, 0]] * (frames.shape.rank - 1) + [[0, length - window]]
    spectra = tf.signal.rfft(tf.pad(frames, padding))
    power = tf.square(tf.math.real(spectra)) + tf.square(tf.math.imag(spectra))
    filters = _filters(bands, spectra.shape[-1], sample_rate)
    return tf.math.log(tf.matmul(power, filters) + _FLOOR)


def cepstra(log_mels, *, coefficients=13):
    """Mel cepstra with their first and second differences.

    What Gaussians with diagonal covariances need: neighbouring bands rise and
    fall together, cepstra hardly do. Differences are slopes of the regression
    over five frames; beyond its ends an utterance stands still.

    Args:
      log_mels: `[..., time, bands]`.
      coefficients: int, from 1 to `bands`; the first is the energy.

    Returns:
      `[..., time, 3 * coefficients]` float32 tensor.

    Raises:
      ValueError: where `coefficients` is out of range.
    """
    log_mels = tf.cast(log_mels, tf.float32)
    if not 0 < coefficients <= log_mels.shape[-1]:
        raise ValueError(
            f"`coefficients` must be from 1 to {log_mels.shape[-1]} here. "
            f"Received: coefficients={coefficients}"
        )
    # The transform fails where there is no frame at all: it gets one more.
    padding = [[0, 0]] * (log_mels.shape.rank - 2) + [[0, 1], [0, 0]]
    c = tf.signal.mfccs_from_log_mel_spectrograms(tf.pad(log_mels, padding))
    c = c[..., :-1, :coefficients]
    slopes = _slopes(c)
    return tf.concat([c, slopes, _slopes(slopes)], axis=-1)


def statistics(clips):
    """Mean and standard deviation of every band over all frames of clips.

    Args:
      clips: iterable of `[time, bands]` arrays, those to be trained on.

    Returns:
      `(mean, deviation)`, `[bands]` float32 arrays. The deviation of a band
      that never changes is 1, so that it can be divided by.

    Raises:
      ValueError: where there is no frame, or one is not finite.

    Example:
      >>> mean, deviation = kdtf.speech.statistics(training_frames)
      >>> normalised = (frames - mean) / deviation
      >>> keras.layers.Normalization(mean=mean, variance=deviation**2)
    """
    count, shift, total, squares = 0, None, 0.0, 0.0
    for clip in clips:
        frames = np.asarray(clip, np.float64)
        if not np.isfinite(frames).all():
            raise ValueError(
                "`clips` must be finite. Received: NaN or infinity"
            )
        if len(frames):
            # About a value that is near the mean: sums of squares then keep
            # their digits.
            shift = frames.mean(0) if shift is None else shift
            count += len(frames)
            total = total + (frames - shift).sum(0)
            squares = squares + ((frames - shift) ** 2).sum(0)
    if not count:
        raise ValueError("`clips` must hold a frame at least. Received: none")
    offset = total / count
    deviation = np.sqrt(np.maximum(squares / count - offset**2, 0))
    deviation = np.where(deviation > 0, deviation, 1.0)
    return (shift + offset).astype(np.float32), deviation.astype(np.float32)


def context_windows(frames, *, before=BEFORE, after=AFTER, lengths=None):
    """Every frame amid its neighbours; the ends of an utterance are repeated.

    Args:
      frames: `[..., time, bands]`.
      before: int >= 0, frames of the past.
      after: int >= 0, frames of the future.
      lengths: None, or `[batch]` ints for padded `frames` `[batch, time,
        bands]`: the frame that is repeated at the end is the last true one.

    Returns:
      `[..., time, before + 1 + after, bands]` tensor of the dtype of `frames`.

    Raises:
      ValueError: where `before` or `after` is no such int.

    Example:
      >>> kdtf.speech.context_windows(np.zeros((98, 40))).shape
      TensorShape([98, 26, 40])
    """
    frames = tf.convert_to_tensor(frames)
    time = tf.shape(frames)[-2]
    if lengths is None:
        rows = _rows(tf.range(time), 0, time - 1, before, after)
        return tf.gather(frames, rows, axis=-2)
    last = tf.cast(lengths, tf.int32)[:, None, None] - 1
    rows = _rows(tf.range(time), 0, last, before, after)
    return tf.gather(frames, rows, axis=1, batch_dims=1)


def windows_at(frames, centres, first, last, *, before=BEFORE, after=AFTER):
    """Windows around some frames of many utterances that lie end to end.

    For batches of frames in random order: the frames of all utterances stay in
    one matrix, an example is three integers.

    Args:
      frames: `[total, bands]`.
      centres: `[...]` ints, rows of `frames`.
      first: `[...]` ints, the first row of each one's utterance.
      last: `[...]` ints, the last row of each one's utterance.
      before: int >= 0, frames of the past.
      after: int >= 0, frames of the future.

    Returns:
      `[..., before + 1 + after, bands]` tensor of the dtype of `frames`; the
      ends of an utterance are repeated.

    Raises:
      ValueError: where `before` or `after` is no such int.
    """
    centres, first, last = (
        tf.cast(x, tf.int32) for x in (centres, first, last)
    )
    rows = _rows(centres, first[..., None], last[..., None], before, after)
    return tf.gather(frames, rows)


def check_bands(bands):
    """Raises a ValueError where it is no positive int."""
    if not isinstance(bands, int) or bands < 1:
        raise ValueError(
            f"`bands` must be a positive int. Received: bands={bands!r}"
        )


def check_context(before, after):
    """Raises a ValueError where they are no ints of at least 0."""
    for name, value in (("before", before), ("after", after)):
        if not isinstance(value, int) or value < 0:
            raise ValueError(
                f"`{name}` must be an int of at least 0. "
                f"Received: {name}={value!r}"
            )


def _rows(centres, first, last, before, after):
    """`[..., before + 1 + after]` rows; `first` and `last` are `[..., 1]`."""
    check_context(before, after)
    rows = centres[..., None] + tf.range(-before, after + 1)
    # `first` has the last word: a length of 0 would give row -1.
    return tf.maximum(tf.minimum(rows, last), first)


def _slopes(values):
    """Regression slopes over frames -2 to 2: sum n c_n / sum n^2."""
    around = context_windows(values, before=2, after=2)
    weights = tf.constant([-0.2, -0.1, 0.0, 0.1, 0.2], around.dtype)
    return tf.einsum("...wk,w->...k", around, weights)


def _samples(waveforms):
    """float32 samples within [-1, 1]."""
    waveforms = tf.convert_to_tensor(waveforms)
    if waveforms.dtype.is_integer:
        return tf.cast(waveforms, tf.float32) / 32768.0
    return tf.cast(waveforms, tf.float32)


@functools.lru_cache(maxsize=16)
def _filters(bands, bins, sample_rate):
    """`[bins, bands]` array; kept, since to make it takes longest of all."""
    with tf.init_scope():
        return tf.signal.linear_to_mel_weight_matrix(
            bands,
            bins,
            sample_rate,
            lower_edge_hertz=_LOWEST_HERTZ,
            upper_edge_hertz=sample_rate / 2,
        ).numpy()


def _fft_length(sample_rate, bands):
    """A power of two, long enough for a window and for the narrowest band.

    The lowest band is the narrowest: it is two corner distances wide, and holds
    a bin of the spectrum if one distance does.
    """
    low, high = (
        1127 * np.log1p(f / 700) for f in (_LOWEST_HERTZ, sample_rate / 2)
    )
    narrowest = 700 * np.expm1((low + (high - low) / (bands + 1)) / 1127)
    needed = max(
        framing(sample_rate)[0], sample_rate / (narrowest - _LOWEST_HERTZ)
    )
    return 2 ** int(np.ceil(np.log2(needed)))

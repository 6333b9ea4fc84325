"""A transfer set: training clips, and augmented copies of each.

An ensemble is nearly certain about the frames that it was trained on, so its
soft targets on them carry little more than the labels do: the paper's ensemble
saw 700 million frames, spoken_digit has 80,000. It is less certain about a clip
that is a little faster or louder, and a student can learn from that.
"""

import functools

import numpy as np

from kdtf.speech import features
from trainers.speech.frames import Frames
from trainers.speech.utterances import add_noise

# For a spread of 1, the mildest.
_SPEED = 1.05  # and 1 / 1.05: pitch and formants move with it
_LOUDNESS = 2.0  # decibels, up or down
_NOISE = 30.0  # decibels that the loudest noise is below the voice
_FAINTEST = 50.0


@functools.lru_cache(maxsize=1)
def transfer_set(corpus, share, views, spread):
    """Training clips as they are, and augmented copies of them.

    Args:
      corpus: `corpora.Corpus`.
      share: float, of the training clips.
      views: int, augmented copies of each.
      spread: float, how different they are; see `augment`.

    Returns:
      `Frames` with states: the clips of `corpus.nested(share)`, then the first
      view of each, and so on. A clip's views are the same whatever the share.
    """
    if share == 1 and not views:
        return corpus.training
    chosen = corpus.nested(share)
    rows = corpus.training.rows_of(chosen)
    values, lengths, states = (
        [corpus.training.values[rows]],
        [corpus.training.lengths[chosen]],
        [corpus.training.states[rows]],
    )
    own = corpus.training.split(corpus.training.states)
    for view in range(views):
        copies = [
            augment(
                corpus.clips.waveforms[clip],
                corpus.clips.sample_rate,
                spread,
                np.random.default_rng([clip, view]),
            )
            for clip in corpus.used["training"][chosen]
        ]
        frames = corpus.frames([waveform for waveform, _ in copies])
        values.append(frames.values)
        lengths.append(frames.lengths)
        states += [
            own[utterance][np.minimum(places, len(own[utterance]) - 1)]
            for utterance, (_, places) in zip(chosen, copies, strict=True)
        ]
    return Frames(*map(np.concatenate, (values, lengths, states)))


def augment(waveform, sample_rate, spread, rng):
    """An augmented copy of a clip.

    Its speed changes by a factor of up to 1.05^spread, it starts anywhere in
    the first 10 ms, is up to 2 spread dB louder or softer, and has white noise
    (30 / spread) to 50 dB below it.

    Args:
      waveform: `[samples]` float32 array within [-1, 1].
      sample_rate: int, in hertz.
      spread: float of at least 1.
      rng: `numpy.random.Generator`.

    Returns:
      `(waveform, places)`: `[samples]` float32 array within [-1, 1]; `[frames]`
      int array, the frame of the clip that is nearest to each of its frames.
    """
    window, step = features.framing(sample_rate)
    speed = _SPEED ** rng.uniform(-spread, spread)
    start = rng.uniform(0, step)
    count = int((len(waveform) - 1 - start) / speed) + 1
    copy = np.interp(
        start + speed * np.arange(count), np.arange(len(waveform)), waveform
    )
    copy = add_noise(copy, rng.uniform(_NOISE / spread, _FAINTEST), rng)
    copy = copy * 10 ** (_LOUDNESS * rng.uniform(-spread, spread) / 20)
    # Between the middles of frames, which are half a window into each.
    first = start + (speed - 1) * window / 2
    frames = np.arange(features.num_frames(count, sample_rate))
    places = np.rint((first + speed * step * frames) / step).astype(int)
    return copy.clip(-1, 1).astype(np.float32), np.maximum(places, 0)

"""What is recognised: single words, and strings of words, clean and in noise.

Strings are joined from clips of one speaker, each clip as often as the others;
noise is white, and the same for all systems.
"""

import dataclasses

import numpy as np

from trainers.speech.frames import Frames

_SHORTEST, _LONGEST = 3, 7  # words of a string
_TIMES = {"test": 4, "held_out": 2}  # that a clip is in a string
_SEEDS = {"test": 1, "held_out": 2}


@dataclasses.dataclass(frozen=True)
class Utterances:
    """What is recognised under one condition.

    Attributes:
      frames: `Frames` without states.
      words: list with a tuple of words for each utterance.
      isolated: whether each is known to be one word.
    """

    frames: Frames
    words: list
    isolated: bool


def conditions(corpus, part, snrs, *, isolated=True):
    """All conditions under which a part of a corpus is recognised.

    Args:
      corpus: `corpora.Corpus`.
      part: "test" or "held_out".
      snrs: sequence of floats: how many decibels the noise is below the voice;
        beside the clean condition, which is always there.
      isolated: whether there are single words, too.

    Returns:
      Dict from name, such as "isolated, clean" or "connected, 10 dB", to
      `Utterances`; without strings where no speaker has clips for one.
    """
    clips = corpus.used[part]
    kinds = {"isolated": [(i,) for i in clips]} if isolated else {}
    if found := strings(corpus.clips.speakers, clips, part):
        kinds["connected"] = found
    words = corpus.clips.transcripts()
    return {
        f"{kind}, {'clean' if snr is None else f'{snr:g} dB'}": Utterances(
            corpus.frames(_waveforms(corpus, chains, snr, part)),
            [tuple(words[i] for i in chain) for chain in chains],
            kind == "isolated",
        )
        for kind, chains in kinds.items()
        for snr in (None, *snrs)
    }


def strings(speakers, clips, part):
    """Strings of 3 to 7 clips of one speaker each.

    Args:
      speakers: array with the speaker of every clip.
      clips: positions of those to be joined.
      part: "test" or "held_out".

    Returns:
      List of tuples of positions. A remainder that is too short is left out.
    """
    rng = np.random.default_rng(_SEEDS[part])
    found = []
    for speaker in sorted(set(speakers[clips])):
        own = clips[speakers[clips] == speaker]
        for _ in range(_TIMES[part]):
            order = rng.permutation(own).tolist()
            while len(order) >= _SHORTEST:
                length = rng.integers(_SHORTEST, _LONGEST + 1)
                found.append(tuple(order[:length]))
                order = order[length:]
    return found


def add_noise(waveform, snr, rng):
    """White noise, as many decibels below the mean power of the whole.

    Args:
      waveform: `[samples]` float32 array.
      snr: float, in decibels; None for no noise.
      rng: `numpy.random.Generator`.

    Returns:
      `[samples]` float32 array.
    """
    if snr is None:
        return waveform
    loudness = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
    noise = rng.normal(size=len(waveform)) * loudness * 10 ** (-snr / 20)
    return (waveform + noise).astype(np.float32)


def _waveforms(corpus, chains, snr, part):
    rng = np.random.default_rng([_SEEDS[part], round(100 * (snr or 0)) % 2**31])
    return [
        add_noise(
            np.concatenate([corpus.clips.waveforms[i] for i in chain]), snr, rng
        )
        for chain in chains
    ]

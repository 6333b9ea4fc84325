"""Speech-like sound that needs no data: a voice's harmonics and noise, shaped
by the formants of a lexicon's phones. When each state begins is known.

Nobody would take it for speech, but it has what alignment and an acoustic net
work on: phones that sound different, glide into each other, last for various
times, and are said by various voices, in noise.
"""

import dataclasses

import numpy as np

from kdtf import speech
from kdtf.speech import features
from trainers.data import phones
from trainers.data.clips import Clips

_TICK = 0.005  # seconds between two settings of the voice and the noise
_BANDWIDTHS = np.array([80.0, 110.0, 160.0])  # of formants, in hertz
_STRENGTHS = np.array([1.0, 0.5, 0.25])
_LEVEL = 0.1  # of a vowel's waveform


@dataclasses.dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
      pitch: in hertz.
      formants: factor, above 1 for a short vocal tract.
      tempo: factor, above 1 for slow speech.
      level: factor of loudness.
    """

    pitch: float
    formants: float
    tempo: float
    level: float


@dataclasses.dataclass(frozen=True)
class Utterance:
    """What was said, and when.

    Attributes:
      waveform: `[samples]` float32 array within [-1, 1].
      states: `[segments]` int32 array, states of the lexicon, silence included.
      starts: `[segments]` int array: the sample with which each begins.
      sample_rate: int, in hertz.
    """

    waveform: np.ndarray
    states: np.ndarray
    starts: np.ndarray
    sample_rate: int

    def frame_states(self):
        """`[frames]` int32 array: the state in the middle of each frame."""
        window, step = features.framing(self.sample_rate)
        count = features.num_frames(len(self.waveform), self.sample_rate)
        middles = np.arange(count) * step + window // 2
        segments = np.searchsorted(self.starts, middles, side="right") - 1
        return self.states[segments]


def load(lexicon=None, *, voices=5, recordings=10, seed=0, sample_rate=8000):
    """Each word of a lexicon, several times by several voices.

    Args:
      lexicon: `Lexicon` with phones of ARPAbet; None for the digits.
      voices: int > 0.
      recordings: int > 0, of each voice and word.
      seed: int; the same seed gives the same sound.
      sample_rate: int, in hertz.

    Returns:
      `Clips` with `states`; speakers are "voice0" and so on.

    Raises:
      ValueError: where an argument is none of these.
    """
    for name, value in (("voices", voices), ("recordings", recordings)):
        if value < 1:
            raise ValueError(
                f"`{name}` must be a positive int. Received: {name}={value}"
            )
    lexicon = lexicon or speech.digits()
    clips, keys = [], []
    for v in range(voices):
        voice = voice_of(v, seed)
        for label, word in enumerate(lexicon.words):
            for k in range(recordings):
                rng = np.random.default_rng([seed, v, label, k])
                clips.append(
                    speak([word], lexicon, voice, rng, sample_rate=sample_rate)
                )
                keys.append((label, v, k))
    labels, speakers, numbers = np.array(keys, np.int32).T
    return Clips(
        [clip.waveform for clip in clips],
        labels,
        np.array([f"voice{v}" for v in speakers]),
        numbers,
        words=lexicon.words,
        sample_rate=sample_rate,
        states=[clip.frame_states() for clip in clips],
    )


def voice_of(number, seed=0):
    """One of any number of voices; low and high ones in turn.

    Args:
      number: int >= 0.
      seed: int.

    Returns:
      `Voice`.
    """
    rng = np.random.default_rng([seed, number])
    high = number % 2
    return Voice(
        pitch=rng.uniform(180, 240) if high else rng.uniform(90, 140),
        formants=rng.uniform(1.05, 1.18) if high else rng.uniform(0.92, 1.04),
        tempo=rng.uniform(0.8, 1.25),
        level=rng.uniform(0.4, 1.2),
    )


def speak(words, lexicon, voice, rng, *, sample_rate=8000, snr=30.0):
    """Says words, each in one of its ways, with silence around some.

    Args:
      words: sequence of strings.
      lexicon: `Lexicon` with phones of ARPAbet.
      voice: `Voice`.
      rng: `numpy.random.Generator`.
      sample_rate: int, in hertz.
      snr: float: how many decibels white noise is below the voice.

    Returns:
      `Utterance`.

    Raises:
      ValueError: where a word is not in the lexicon or a phone not in ARPAbet.
    """
    states, sounds = _script(words, lexicon, rng)
    seconds = [
        s.seconds * voice.tempo * np.exp(rng.normal(0, 0.2)) for s in sounds
    ]
    # No state is shorter than a frame's advance.
    ticks = np.maximum(np.round(np.array(seconds) / _TICK), 2).astype(int)
    tracks = _tracks(sounds, ticks, voice)
    samples = round(len(tracks) * _TICK * sample_rate)
    sound = _voiced(tracks, voice, rng, samples, sample_rate)
    sound += _noise(tracks, rng, samples, sample_rate)
    sound *= voice.level * _LEVEL
    loudness = np.sqrt(np.mean(sound**2))
    sound += rng.normal(size=samples) * loudness * 10 ** (-snr / 20)
    starts = np.cumsum(np.append(0, ticks[:-1])) * _TICK * sample_rate
    return Utterance(
        np.clip(sound, -1, 1).astype(np.float32),
        np.array(states, np.int32),
        np.round(starts).astype(int),
        sample_rate,
    )


def _script(words, lexicon, rng):
    """States, and the sound of each, for words amid silence or not."""
    states, sounds = [], []
    for i in range(len(words) + 1):
        # Between words people seldom pause.
        if rng.random() < (0.2 if 0 < i < len(words) else 0.8):
            states += speech.SILENCE_STATES
            sounds += phones.SILENCE
        if i < len(words):
            variants = lexicon.states(words[i])
            way = rng.integers(len(variants))
            states += variants[way]
            for phone in lexicon.pronunciations[words[i]][way]:
                sounds += phones.sounds(phone)
    return states, sounds


def _tracks(sounds, ticks, voice):
    """`[ticks, 7]`: formants, voice, noise, its centre and width, smoothed."""
    targets = np.array(
        [
            [
                *(f * voice.formants for f in s.formants),
                s.voice,
                s.noise,
                s.centre,
                s.width,
            ]
            for s in sounds
        ]
    )
    tracks = np.repeat(targets, ticks, axis=0)
    padded = np.pad(tracks, ((1, 1), (0, 0)), mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3  # 15 ms of gliding


def _voiced(tracks, voice, rng, samples, sample_rate):
    """`[samples]`: harmonics of a falling pitch, as strong as formants say."""
    pitch = voice.pitch * np.linspace(1.1, 0.9, len(tracks))
    pitch *= np.exp(rng.normal(0, 0.05))
    count = int(sample_rate / 2 / pitch.max())
    harmonics = np.arange(1, count + 1)
    frequencies = pitch[:, None] * harmonics
    distance = (frequencies[..., None] - tracks[:, None, :3]) / _BANDWIDTHS
    amplitudes = tracks[:, 3:4] * ((_STRENGTHS / (1 + distance**2)).sum(-1))
    # A tick's settings hold in its middle.
    at = np.arange(samples) / (_TICK * sample_rate) - 0.5
    ticks = np.arange(len(tracks))
    phase = 2 * np.pi * np.cumsum(np.interp(at, ticks, pitch)) / sample_rate
    sound = np.zeros(samples)
    for h in range(count):
        amplitude = np.interp(at, ticks, amplitudes[:, h])
        sound += amplitude * np.sin(harmonics[h] * phase + 0.7 * h**2)
    return sound


def _noise(tracks, rng, samples, sample_rate):
    """`[samples]`: white noise, filtered tick by tick and added up."""
    hop = round(_TICK * sample_rate)
    window = np.hanning(2 * hop + 1)[:-1]
    pieces = rng.normal(size=(len(tracks), 2 * hop)) * window
    frequencies = np.fft.rfftfreq(2 * hop, 1 / sample_rate)
    noise, centre, width = (tracks[:, i : i + 1] for i in (4, 5, 6))
    # Noise above half the sampling rate is not heard, but its lower skirt is.
    filters = noise * np.exp(-0.5 * ((frequencies - centre) / width) ** 2)
    shaped = np.fft.irfft(np.fft.rfft(pieces) * filters, 2 * hop)
    sound = np.zeros((len(tracks) + 1) * hop + samples)
    for half in (0, 1):
        begin = half * hop
        sound[begin : begin + len(tracks) * hop] += shaped[
            :, begin : begin + hop
        ].ravel()
    return sound[hop // 2 : hop // 2 + samples]  # pieces are centred on ticks

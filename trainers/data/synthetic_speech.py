"""Synthetic speech, for which the start of every HMM state is known.

Harmonics of a voice and noise, shaped by the formants of phones. It would not
pass for real speech, but has what alignment and acoustic nets work on: phones
that sound different, glide into each other and vary in duration, spoken by
different voices in noise.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kdtf import speech
from trainers.data import phones
from trainers.data.clips import Clips

_TICK = 0.005  # seconds between two settings of the voice and the noise
_BANDWIDTHS = np.array([80.0, 110.0, 160.0])  # of formants, in hertz
_STRENGTHS = np.array([1.0, 0.5, 0.25])
_LEVEL = 0.1  # scale of the waveform of a vowel


@dataclasses.dataclass(frozen=True)
class Voice:
    """The voice of a speaker.

    Attributes:
      pitch: fundamental frequency, in hertz.
      formants: factor for all formants, above 1 for a short vocal tract.
      tempo: factor for all durations, above 1 for slow speech.
      level: factor for the amplitude.
    """

    pitch: float
    formants: float
    tempo: float
    level: float


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A waveform with the states of the lexicon that it consists of.

    Attributes:
      waveform: `[samples]` float32 array within [-1, 1].
      states: `[segments]` int32 array, states of the lexicon, silence included.
      starts: `[segments]` int array, the first sample of each.
      sample_rate: int, in hertz.
    """

    waveform: np.ndarray
    states: np.ndarray
    starts: np.ndarray
    sample_rate: int

    def frame_states(self) -> np.ndarray:
        """Returns the state in the middle of each frame, `[frames]` int32."""
        window, step = speech.framing(self.sample_rate)
        count = speech.num_frames(len(self.waveform), self.sample_rate)
        middles = np.arange(count) * step + window // 2
        segments = np.searchsorted(self.starts, middles, side="right") - 1
        return self.states[segments]


def load(
    lexicon: speech.Lexicon | None = None,
    *,
    voices: int = 5,
    recordings: int = 10,
    seed: int = 0,
    sample_rate: int = 8000,
) -> Clips:
    """Synthesises each word of a lexicon several times in several voices.

    Args:
      lexicon: `Lexicon` with phones of ARPAbet, or None for the digits.
      voices: int > 0.
      recordings: int > 0, recordings of each word in each voice.
      seed: int; the same seed gives the same clips.
      sample_rate: int of at least 1000, in hertz.

    Returns:
      `Clips` with `states`; speakers are "voice0" and so on.

    Raises:
      ValueError: if `voices` or `recordings` is less than 1, `sample_rate` less
        than 1000, or a phone of the lexicon not in ARPAbet.
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


def voice_of(number: int, seed: int = 0) -> Voice:
    """Returns one of any number of voices, alternately low and high.

    Args:
      number: int >= 0, the index of the voice.
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


def speak(
    words: Sequence[str],
    lexicon: speech.Lexicon,
    voice: Voice,
    rng: np.random.Generator,
    *,
    sample_rate: int = 8000,
    snr: float = 30.0,
) -> Utterance:
    """Synthesises words with random pronunciations and pauses.

    Args:
      words: words of the lexicon.
      lexicon: `Lexicon` with phones of ARPAbet.
      voice: `Voice`.
      rng: `numpy.random.Generator`.
      sample_rate: int, in hertz.
      snr: float, signal-to-noise ratio with white noise, in decibels.

    Returns:
      `Utterance`.

    Raises:
      ValueError: if a word is not in the lexicon, or a phone not in ARPAbet.
    """
    states, sounds = _script(words, lexicon, rng)
    seconds = [
        s.seconds * voice.tempo * np.exp(rng.normal(0, 0.2)) for s in sounds
    ]
    # No state is shorter than the step between frames, 10 ms.
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


def _script(
    words: Sequence[str], lexicon: speech.Lexicon, rng: np.random.Generator
) -> tuple[list[int], list[phones.Sound]]:
    """Returns the states of words and pauses, and the sound of each state."""
    states: list[int] = []
    sounds: list[phones.Sound] = []
    for i in range(len(words) + 1):
        # Pauses between words are rare, those around an utterance frequent.
        if rng.random() < (0.2 if 0 < i < len(words) else 0.8):
            states += speech.SILENCE_STATES
            sounds += phones.SILENCE
        if i < len(words):
            variants = lexicon.states(words[i])
            variant = rng.integers(len(variants))
            states += variants[variant]
            for phone in lexicon.pronunciations[words[i]][variant]:
                sounds += phones.sounds(phone)
    return states, sounds


def _tracks(
    sounds: Sequence[phones.Sound], ticks: np.ndarray, voice: Voice
) -> np.ndarray:
    """Returns the settings at each tick, `[ticks, 7]`, smoothed.

    They are three formants, the levels of voice and noise, and the centre and
    width of the noise.
    """
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


def _voiced(
    tracks: np.ndarray,
    voice: Voice,
    rng: np.random.Generator,
    samples: int,
    sample_rate: int,
) -> np.ndarray:
    """Returns `[samples]`: harmonics of a falling pitch, shaped by formants."""
    pitch = voice.pitch * np.linspace(1.1, 0.9, len(tracks))
    pitch *= np.exp(rng.normal(0, 0.05))
    count = int(sample_rate / 2 / pitch.max())
    harmonics = np.arange(1, count + 1)
    frequencies = pitch[:, None] * harmonics
    distance = (frequencies[..., None] - tracks[:, None, :3]) / _BANDWIDTHS
    amplitudes = tracks[:, 3:4] * ((_STRENGTHS / (1 + distance**2)).sum(-1))
    # The settings of a tick apply to its middle.
    at = np.arange(samples) / (_TICK * sample_rate) - 0.5
    ticks = np.arange(len(tracks))
    phase = 2 * np.pi * np.cumsum(np.interp(at, ticks, pitch)) / sample_rate
    sound = np.zeros(samples)
    for h in range(count):
        amplitude = np.interp(at, ticks, amplitudes[:, h])
        sound += amplitude * np.sin(harmonics[h] * phase + 0.7 * h**2)
    return sound


def _noise(
    tracks: np.ndarray,
    rng: np.random.Generator,
    samples: int,
    sample_rate: int,
) -> np.ndarray:
    """Returns `[samples]`: white noise, filtered separately at each tick."""
    hop = round(_TICK * sample_rate)
    window = np.hanning(2 * hop + 1)[:-1]
    pieces = rng.normal(size=(len(tracks), 2 * hop)) * window
    frequencies = np.fft.rfftfreq(2 * hop, 1 / sample_rate)
    noise, centre, width = (tracks[:, i : i + 1] for i in (4, 5, 6))
    # A centre above half the sampling rate still leaves the lower skirt of the
    # filter.
    filters = noise * np.exp(-0.5 * ((frequencies - centre) / width) ** 2)
    shaped = np.fft.irfft(np.fft.rfft(pieces) * filters, 2 * hop)
    sound = np.zeros((len(tracks) + 1) * hop + samples)
    for half in (0, 1):
        begin = half * hop
        sound[begin : begin + len(tracks) * hop] += shaped[
            :, begin : begin + hop
        ].ravel()
    return sound[hop // 2 : hop // 2 + samples]  # pieces are centred on ticks

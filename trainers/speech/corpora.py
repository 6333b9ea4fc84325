"""What nets learn from and are tested on: frames of clips with their states.

HMMs learn to align from the training clips alone, and then align the held-out
and the test clips. A tenth of the training clips, or what the data set itself
holds out, is kept from all nets and HMMs: word penalties and early stopping are
chosen on them.
"""

import collections
import contextlib
import dataclasses

import numpy as np

from kdtf import speech
from trainers.data.clips import GIVEN, Clips
from trainers.speech.frames import Frames

PARTS = ("training", "held_out", "test")
_HELD_OUT = 0.1  # of the recordings of each speaker and word
_AT_ONCE = 32  # waveforms that are padded to the longest of them


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Aligned clips of a split; the same as another only if it is that one.

    Attributes:
      name: str, of the split.
      clips: `trainers.data.clips.Clips`.
      lexicon: `kdtf.speech.Lexicon`.
      hmms: `kdtf.speech.WordHMMs`.
      mean: `[bands]` float32, of the training frames.
      deviation: `[bands]` float32, of the same.
      training: `Frames`; an utterance is a clip.
      held_out: `Frames`.
      test: `Frames`.
      used: dict from part to the positions in `clips` of its utterances.
      skipped: dict from part to a dict from reason to the number of clips.
    """

    name: str
    clips: Clips
    lexicon: speech.Lexicon
    hmms: speech.WordHMMs
    mean: np.ndarray
    deviation: np.ndarray
    training: Frames
    held_out: Frames
    test: Frames
    used: dict
    skipped: dict

    @property
    def log_priors(self):
        """`[states]` float64: shares of the training frames."""
        return speech.log_priors_of(
            self.training.states, self.lexicon.num_states
        )

    def frames(self, waveforms):
        """`Frames` without states of other waveforms."""
        log_mels = log_mels_of(waveforms, self.clips.sample_rate)
        return Frames.of(log_mels, self.mean, self.deviation)

    def nested(self, share):
        """Training utterances, of which a smaller share has the first.

        They go round speakers and words, so that each of these is in as early
        as can be.

        Args:
          share: float, more than 0 and at most 1.

        Returns:
          Sorted int array of utterances of `training`.
        """
        clips = self.used["training"]
        order = np.random.default_rng(0).permutation(len(clips))
        seen, rounds = collections.Counter(), np.zeros(len(clips), int)
        for i in order:
            key = self.clips.speakers[clips[i]], self.clips.labels[clips[i]]
            rounds[i] = seen[key]
            seen[key] += 1
        order = order[np.argsort(rounds[order], kind="stable")]
        return np.sort(order[: max(1, round(share * len(clips)))])


def log_mels_of(waveforms, sample_rate):
    """List of `[time, bands]` float32 arrays."""
    found = []
    for i in range(0, len(waveforms), _AT_ONCE):
        some = waveforms[i : i + _AT_ONCE]
        padded = np.zeros((len(some), max(map(len, some))), np.float32)
        for row, waveform in zip(padded, some, strict=True):
            row[: len(waveform)] = waveform
        log_mels = speech.log_mel(padded, sample_rate=sample_rate).numpy()
        # A frame ends with the waveform or before; those of padding go.
        counts = [speech.num_frames(len(w), sample_rate) for w in some]
        found += [m[:n].copy() for m, n in zip(log_mels, counts, strict=True)]
    return found


def make(clips, log_mels, split, lexicon, *, components):
    """Splits, aligns and normalises.

    Args:
      clips: `trainers.data.clips.Clips`.
      log_mels: what `log_mels_of` makes of them.
      split: str, one that `Clips.split` takes.
      lexicon: `kdtf.speech.Lexicon` with all words of the clips.
      components: int, Gaussians a state.

    Returns:
      `Corpus`.

    Raises:
      ValueError: if the lexicon lacks a word, a word has no training clip,
        or a part is empty or has no clip that can be aligned.
    """
    lexicon.require(clips.words)
    training, test = clips.split(split)
    training, held_out = _hold_out(clips, training, split)
    parts = dict(zip(PARTS, (training, held_out, test), strict=True))
    _require_heard(clips, parts)
    words = clips.transcripts()

    def of_part(part):
        rows = parts[part]
        cepstra = [np.array(speech.cepstra(log_mels[i])) for i in rows]
        return cepstra, [words[i] for i in rows]

    with _naming("training", split):
        hmms, alignment = speech.train_hmms(
            *of_part("training"),
            lexicon,
            components=components,
            skip_unusable=True,
        )
    alignments = {"training": alignment}
    for part in PARTS[1:]:
        with _naming(part, split):
            alignments[part] = hmms.align(*of_part(part), skip_unusable=True)
    used, states, skipped = {}, {}, {}
    for part, alignment in alignments.items():
        kept = [i for i, s in enumerate(alignment.states) if s is not None]
        used[part] = parts[part][kept]
        states[part] = [alignment.states[i] for i in kept]
        skipped[part] = dict(
            collections.Counter(map(_kind, alignment.skipped.values()))
        )
    mean, deviation = speech.statistics(log_mels[i] for i in used["training"])
    return Corpus(
        split,
        clips,
        lexicon,
        hmms,
        mean,
        deviation,
        used=used,
        skipped=skipped,
        **{
            part: Frames.of(
                [log_mels[i] for i in used[part]],
                mean,
                deviation,
                states[part],
            )
            for part in PARTS
        },
    )


@contextlib.contextmanager
def _naming(part, split):
    """Tells in an error which clips it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{part} clips of split={split}: {error}") from error


def _hold_out(clips, training, split):
    """Training clips without the held-out ones, and these."""
    held_out = np.zeros(len(training), bool)
    if split == GIVEN:
        held_out = clips.parts[training] == "held_out"
    if not held_out.any():
        held_out = _last_recordings(clips, training)
    if held_out.all() or not held_out.any():
        raise ValueError(
            "`split` must leave clips to train on beside those held out, such "
            "as two recordings of a speaker and word. Received: "
            f"split={split}, which leaves {len(training)} in all"
        )
    return training[~held_out], training[held_out]


def _last_recordings(clips, training):
    """`[training]` bool: the last tenth of each speaker's of each word.

    The only one of a speaker and word is not among them.
    """
    _, speakers = np.unique(clips.speakers[training], return_inverse=True)
    keys = speakers * len(clips.words) + clips.labels[training]
    _, group, count = np.unique(keys, return_inverse=True, return_counts=True)
    recordings = clips.recordings[training]
    most = np.zeros(len(count), int)
    np.maximum.at(most, group, recordings + 1)
    first = most - np.maximum(1, np.round(_HELD_OUT * most))
    return (recordings >= first[group]) & (count > 1)[group]


def _require_heard(clips, parts):
    """Raises a ValueError where no training clip says a word of another."""
    heard = set(clips.labels[parts["training"]].tolist())
    for part in PARTS[1:]:
        if unheard := set(clips.labels[parts[part]].tolist()) - heard:
            words = ", ".join(sorted(clips.words[i] for i in unheard))
            raise ValueError(
                "`split` must leave training clips of every word that is held "
                f"out or tested. Received: {part} clips of {words} alone"
            )


def _kind(reason):
    """A reason without the numbers of the clip."""
    if "fewer than" in reason:
        return "fewer frames than states"
    return reason.split(":")[0]

"""Forced alignment: the state of each frame of clips whose words are known.

HMMs with Gaussian mixtures learn the states from the clips themselves. A flat
start divides each clip evenly among its states; best paths and densities are
then re-estimated alternately until the likelihood settles, first with one
Gaussian per state, then with two, four and so on. Nothing is random.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kdtf.speech import _hmm
from kdtf.speech._flat_start import flat_start
from kdtf.speech._mixtures import Mixtures
from kdtf.speech.lexicon import Lexicon

_SHORTEST_STAY, _LONGEST_STAY = 0.05, 0.98  # probabilities of staying a frame
_BATCH = 256  # clips
_MOST_ITERATIONS = 40
# The rounding of equal frames leaves differences smaller than this.
_SMALLEST_DIFFERENCE = 1e-4

Transcript: TypeAlias = str | Sequence[str]
# Clips that share a graph: the graph, and the indices of the clips.
_Batch: TypeAlias = tuple[_hmm.Graph, list[int]]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The states of clips.

    Attributes:
      states: list with a `[time]` int32 array for each clip, None if the clip
        was skipped.
      log_likelihood: float, the log-likelihood of the best paths per frame.
      skipped: dict from the index of a skipped clip to the reason, a string.

    Example:
      >>> lexicon = kdtf.speech.Lexicon({"a": ["AH"]})
      >>> loudness = np.repeat([0, 5, 9, 7, 0], [3, 4, 4, 4, 3])
      >>> clip = loudness[:, None]  # [time, features]
      >>> _, alignment = kdtf.speech.train_hmms([clip], ["a"], lexicon)
      >>> alignment.states[0].tolist()
      [0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0, 1, 2]
    """

    states: list[np.ndarray | None]
    log_likelihood: float
    skipped: dict[int, str]


@dataclasses.dataclass(frozen=True)
class WordHMMs:
    """HMMs of the states of a lexicon, as learned by `train_hmms`.

    Attributes:
      lexicon: `Lexicon`.
      mixtures: the densities of the states, Gaussian mixtures.
      stay: `[states]` float64 array, the probability of staying in each state
        for another frame.
      history: tuple with, for each number of Gaussians, a tuple of the
        log-likelihoods per frame after each iteration, which do not fall.

    Example:
      >>> lexicon = kdtf.speech.Lexicon({"a": ["AH"]})
      >>> loudness = np.repeat([0, 5, 9, 7, 0], [3, 4, 4, 4, 3])
      >>> clip = loudness[:, None]  # [time, features]
      >>> hmms, _ = kdtf.speech.train_hmms([clip], ["a"], lexicon)
      >>> hmms.stay.round(2)
      array([0.05, 0.05, 0.05, 0.75, 0.75, 0.75])
    """

    lexicon: Lexicon
    mixtures: Mixtures
    stay: np.ndarray
    history: tuple[tuple[float, ...], ...] = ()

    def log_likelihoods(self, clip: npt.ArrayLike) -> np.ndarray:
        """Returns log p(frame | state), which `decode` takes as scores.

        Args:
          clip: `[time, features]` array.

        Returns:
          `[time, states]` float64 array.

        Raises:
          ValueError: if the clip is of another shape.

        Example:
          >>> lexicon = kdtf.speech.Lexicon({"a": ["AH"]})
          >>> loudness = np.repeat([0, 5, 9, 7, 0], [3, 4, 4, 4, 3])
          >>> clip = loudness[:, None]  # [time, features]
          >>> hmms, _ = kdtf.speech.train_hmms([clip], ["a"], lexicon)
          >>> hmms.log_likelihoods(clip).shape
          (18, 6)
        """
        frames = np.asarray(clip, np.float64)
        _require_features([frames], self.mixtures.means.shape[-1])
        return self.mixtures.log_likelihoods(frames)

    def align(
        self,
        clips: Sequence[npt.ArrayLike],
        transcripts: Sequence[Transcript],
        *,
        skip_unusable: bool = False,
    ) -> Alignment:
        """Finds the states of clips, whether or not they were trained on.

        Args:
          clips: sequence of `[time, features]` arrays.
          transcripts: for each clip, its word or a sequence of its words.
          skip_unusable: if True, clips that cannot be aligned are skipped.

        Returns:
          `Alignment`.

        Raises:
          ValueError: if the numbers of clips and transcripts differ, a word is
            not in the lexicon, clips differ in the number of their features
            (from those that were trained on, too), no clip can be aligned, or
            one cannot and `skip_unusable` is False.

        Example:
          >>> lexicon = kdtf.speech.Lexicon({"a": ["AH"]})
          >>> loudness = np.repeat([0, 5, 9, 7, 0], [3, 4, 4, 4, 3])
          >>> clip = loudness[:, None]  # [time, features]
          >>> hmms, _ = kdtf.speech.train_hmms([clip], ["a"], lexicon)
          >>> hmms.align([clip[5:13]], ["a"]).states[0].tolist()
          [3, 3, 4, 4, 4, 4, 5, 5]
        """
        arrays, batches, skipped = _prepare(
            clips, transcripts, self.lexicon, skip_unusable
        )
        usable = [arrays[i] for _, rows in batches for i in rows]
        _require_features(usable, self.mixtures.means.shape[-1])
        return _align(self, arrays, batches, skipped)


def train_hmms(
    clips: Sequence[npt.ArrayLike],
    transcripts: Sequence[Transcript],
    lexicon: Lexicon,
    *,
    components: int = 4,
    skip_unusable: bool = False,
    tolerance: float = 0.01,
) -> tuple[WordHMMs, Alignment]:
    """Trains HMMs on clips of known words, and aligns the clips.

    Args:
      clips: sequence of `[time, features]` arrays, such as those of
        `kdtf.speech.cepstra`. The first feature must be large in loud frames:
        the flat start takes quiet frames at the ends of a clip for silence.
      transcripts: for each clip, its word or a sequence of its words.
      lexicon: `Lexicon`. Pronunciations of a word are distinguished best if
        words share states; a state that only one of them has may otherwise be
        confused with one of another.
      components: int, a power of two: Gaussians per state. States with few
        frames get fewer.
      skip_unusable: if True, clips that cannot be aligned are skipped: those
        with fewer frames than their words have states, with equal frames only
        (digital silence), or with values that are not finite.
      tolerance: float > 0. Training with a number of Gaussians ends with the
        first iteration that raises the log-likelihood per frame by no more.

    Returns:
      `(WordHMMs, Alignment)`.

    Raises:
      ValueError: if `components` is not a power of two, the numbers of clips
        and transcripts differ, a word is not in the lexicon, clips differ
        in the number of their features, no clip can be aligned, or one cannot
        and `skip_unusable` is False.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> lexicon = kdtf.speech.Lexicon({"a": ["AH"], "see": ["S IY"]})
      >>> means = 5 * rng.normal(size=[lexicon.num_states, 13])
      >>> means[:, 0], means[:3, 0] = 9, -9  # silence is quiet
      >>> words = ["a", "see"] * 10
      >>> paths = [[0, 1, 2, *lexicon.states(w)[0], 0, 1, 2] for w in words]
      >>> truth = [np.repeat(path, 4) for path in paths]
      >>> cepstra = [means[t] + rng.normal(size=[len(t), 13]) for t in truth]
      >>> hmms, alignment = kdtf.speech.train_hmms(cepstra, words, lexicon)
      >>> np.mean(alignment.states[0] == truth[0]).item()
      1.0
    """
    if components < 1 or components & (components - 1):
        raise ValueError(
            "`components` must be a power of two. "
            f"Received: components={components}"
        )
    arrays, batches, skipped = _prepare(
        clips, transcripts, lexicon, skip_unusable
    )
    usable = [i for _, rows in batches for i in rows]
    _require_features([arrays[i] for i in usable])
    frames = np.concatenate([arrays[i] for i in usable])
    labels = np.concatenate(
        [
            flat_start(graph, arrays[i], index)
            for graph, rows in batches
            for index, i in enumerate(rows)
        ]
    )
    model = WordHMMs(
        lexicon,
        Mixtures.flat(frames, lexicon.num_states),
        np.full(lexicon.num_states, 0.5),
    )
    lengths = [len(arrays[i]) for i in usable]
    model = _reestimated(model, frames, labels, lengths)
    return _settle(model, arrays, batches, skipped, components, tolerance)


def _settle(
    model: WordHMMs,
    clips: list[np.ndarray],
    batches: list[_Batch],
    skipped: dict[int, str],
    components: int,
    tolerance: float,
) -> tuple[WordHMMs, Alignment]:
    """Re-estimates paths and densities with 1, 2, 4, ... Gaussians."""
    usable = [i for _, rows in batches for i in rows]
    frames = np.concatenate([clips[i] for i in usable])
    lengths = [len(clips[i]) for i in usable]
    history: list[tuple[float, ...]] = []
    while True:
        gains: list[float] = []
        for _ in range(_MOST_ITERATIONS):
            alignment = _align(model, clips, batches, skipped)
            labels = np.concatenate([alignment.states[i] for i in usable])
            gains.append(alignment.log_likelihood)
            if len(gains) > 1 and gains[-1] - gains[-2] <= tolerance:
                break
            model = _reestimated(model, frames, labels, lengths)
        history.append(tuple(gains))
        if 2 ** len(history) > components:
            return dataclasses.replace(model, history=tuple(history)), alignment
        model = dataclasses.replace(
            model, mixtures=model.mixtures.split(labels)
        )


def _reestimated(
    model: WordHMMs, frames: np.ndarray, labels: np.ndarray, lengths: list[int]
) -> WordHMMs:
    """Learns densities and transitions from the states of frames.

    Args:
      model: `WordHMMs`.
      frames: `[frames, features]` array, the clips one after the other.
      labels: `[frames]` ints, the state of each frame.
      lengths: the number of frames of each clip.

    Returns:
      `WordHMMs`.
    """
    ends = np.zeros(len(labels), bool)
    ends[np.cumsum(lengths) - 1] = True
    # Two successive positions never have the same state, so the same state in
    # two successive frames means that the path stayed.
    stayed = np.append(labels[1:] == labels[:-1], False) & ~ends
    counts = np.bincount(labels, minlength=len(model.stay))
    stays = np.bincount(labels[stayed], minlength=len(model.stay))
    shares = np.clip(
        stays / np.maximum(counts, 1), _SHORTEST_STAY, _LONGEST_STAY
    )
    return dataclasses.replace(
        model,
        mixtures=model.mixtures.reestimated(frames, labels),
        stay=np.where(counts > 0, shares, model.stay),
    )


def _align(
    model: WordHMMs,
    clips: list[np.ndarray],
    batches: list[_Batch],
    skipped: dict[int, str],
) -> Alignment:
    states: list[np.ndarray | None] = [None] * len(clips)
    total, count = 0.0, 0
    log_stay, log_leave = np.log(model.stay), np.log1p(-model.stay)
    for graph, rows in batches:
        lengths = np.array([len(clips[i]) for i in rows])
        used, columns = np.unique(graph.states, return_inverse=True)
        frames = np.concatenate([clips[i] for i in rows])
        likelihoods = model.mixtures.log_likelihoods(frames, used)
        emissions = np.zeros((len(rows), lengths.max(), len(graph.states)))
        inside = np.arange(lengths.max()) < lengths[:, None]
        emissions[inside] = likelihoods[:, columns]
        paths, scores = _hmm.viterbi(
            graph,
            emissions,
            lengths,
            log_stay[graph.states],
            log_leave[graph.states],
        )
        for i, path, length in zip(rows, paths, lengths, strict=True):
            states[i] = graph.states[path[:length]].astype(np.int32)
        total, count = total + scores.sum(), count + lengths.sum()
    return Alignment(states, float(total / count), skipped)


def _prepare(
    clips: Sequence[npt.ArrayLike],
    transcripts: Sequence[Transcript],
    lexicon: Lexicon,
    skip_unusable: bool,
) -> tuple[list[np.ndarray], list[_Batch], dict[int, str]]:
    """Returns float64 clips, batches, and the reasons of skipped clips."""
    if len(clips) != len(transcripts):
        raise ValueError(
            f"`transcripts` must be as many as `clips`, {len(clips)}. "
            f"Received: {len(transcripts)}"
        )
    arrays = [np.asarray(clip, np.float64) for clip in clips]
    groups: dict[tuple[str, ...], list[int]] = {}
    graphs: dict[tuple[str, ...], _hmm.Graph] = {}
    skipped: dict[int, str] = {}
    for i, (clip, transcript) in enumerate(
        zip(arrays, transcripts, strict=True)
    ):
        words = _words_of(transcript)
        if words not in graphs:
            graphs[words] = _hmm.graph_of(words, lexicon)
        reason = _why_unusable(clip, graphs[words])
        if reason is None:
            groups.setdefault(words, []).append(i)
        elif skip_unusable:
            skipped[i] = reason
        else:
            raise ValueError(
                "`clips` must be alignable with their words, unless "
                "`skip_unusable` is True. Received: clip "
                f"{i}, {' '.join(words)!r}: {reason}"
            )
    if not groups:
        first = f", the first of which: {skipped[0]}" if skipped else ""
        raise ValueError(
            "`clips` must contain at least one that can be aligned. Received: "
            f"{len(clips)} clips, {len(skipped)} of them unusable{first}"
        )
    return arrays, _batches(arrays, groups, graphs), skipped


def _words_of(transcript: Transcript) -> tuple[str, ...]:
    return (transcript,) if isinstance(transcript, str) else tuple(transcript)


def _batches(
    clips: list[np.ndarray],
    groups: dict[tuple[str, ...], list[int]],
    graphs: dict[tuple[str, ...], _hmm.Graph],
) -> list[_Batch]:
    """Batches of clips with the same words, of similar length."""
    batches = []
    for words, rows in groups.items():
        # Clips of similar length need little padding.
        rows = sorted(rows, key=lambda i: len(clips[i]))
        batches += [
            (graphs[words], rows[k : k + _BATCH])
            for k in range(0, len(rows), _BATCH)
        ]
    return batches


def _why_unusable(clip: np.ndarray, graph: _hmm.Graph) -> str | None:
    """Returns why a clip cannot be aligned with a graph, or None if it can."""
    if clip.ndim != 2:
        return f"must be [time, features], is of shape {clip.shape}"
    if len(clip) < graph.fewest_frames:
        return (
            f"{len(clip)} frames, fewer than the {graph.fewest_frames} states"
        )
    if not np.isfinite(clip).all():
        return "not finite"
    if np.ptp(clip, axis=0).max() < _SMALLEST_DIFFERENCE:
        return "silent: all frames are equal"
    return None


def _require_features(
    clips: Sequence[np.ndarray], features: int | None = None
) -> None:
    """Raises ValueError unless clips are `[time, features]`, of as many each.

    Args:
      clips: arrays, one at least.
      features: int, or None for those of the first clip.
    """
    expected = clips[0].shape[-1] if features is None else features
    for clip in clips:
        if clip.ndim != 2 or clip.shape[1] != expected:
            raise ValueError(
                "`clips` must be [time, features], all of as many features, "
                f"here {expected}. Received: a clip of shape {clip.shape}"
            )

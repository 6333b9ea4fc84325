"""Which state each frame is in: forced alignment of clips to known words.

HMMs with Gaussian mixtures learn it from the clips themselves: a flat start
divides each clip evenly among its states; then the best paths and the densities
are found in turn, until the likelihood settles, with one component a state,
then two, four and so on. Nothing is random.
"""

import dataclasses

import numpy as np

from kdtf.speech import hmm, mixtures
from kdtf.speech import lexicon as lexicons

_SHORTEST_STAY, _LONGEST_STAY = 0.05, 0.98  # probabilities of staying a frame
_BATCH = 256  # clips
_MOST_ITERATIONS = 40
_ALIKE = 1e-4  # more than rounding makes of equal frames
# Of the range of a clip's loudness: what is quieter, at its ends, starts out as
# silence.
_QUIET = 0.2


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The states of clips.

    Attributes:
      states: list with a `[time]` int32 array for each clip, None where it was
        skipped.
      log_likelihood: float, of the best paths, per frame.
      skipped: dict from a clip's position to the reason, a string.
    """

    states: list
    log_likelihood: float
    skipped: dict


@dataclasses.dataclass(frozen=True)
class WordHMMs:
    """What alignment has learned about the states of a lexicon.

    Attributes:
      lexicon: `Lexicon`.
      mixtures: `Mixtures`, the densities of the states.
      stay: `[states]` float64, the probability of staying for another frame.
      history: tuple with, for each number of components, a tuple of the
        log-likelihoods per frame, which do not fall.
    """

    lexicon: lexicons.Lexicon
    mixtures: mixtures.Mixtures
    stay: np.ndarray
    history: tuple = ()

    def log_likelihoods(self, clip):
        """log p(frame | state), for `decoding.decode`.

        Args:
          clip: `[time, features]` array.

        Returns:
          `[time, states]` float64 array.
        """
        return self.mixtures.log_likelihoods(np.asarray(clip, np.float64))

    def align(self, clips, transcripts, *, skip_unusable=False):
        """Finds the states of clips, not necessarily those learned from.

        Args:
          clips: sequence of `[time, features]` arrays.
          transcripts: sequence with, for each clip, its word or a sequence of
            its words.
          skip_unusable: whether clips that cannot be aligned are skipped.

        Returns:
          `Alignment`.

        Raises:
          ValueError: where a word is not in the lexicon, or a clip cannot be
            aligned and `skip_unusable` is False.
        """
        clips, batches, skipped = _prepare(
            clips, transcripts, self.lexicon, skip_unusable
        )
        return _align(self, clips, batches, skipped)


def train_hmms(
    clips,
    transcripts,
    lexicon,
    *,
    components=4,
    skip_unusable=False,
    tolerance=0.01,
):
    """Learns HMMs from clips of known words, and aligns the clips.

    Args:
      clips: sequence of `[time, features]` arrays, such as `features.cepstra`.
        Features that are loud where the first is large: the flat start takes
        the quiet ends of a clip for silence.
      transcripts: sequence with, for each clip, its word or a sequence of its
        words.
      lexicon: `Lexicon`. Several pronunciations of a word are told apart best
        where words share states; a state only one of them has may be mixed up
        with another's.
      components: int, a power of two: Gaussians a state. States with few frames
        get fewer.
      skip_unusable: whether clips that cannot be aligned are skipped: those
        with fewer frames than their words have states, whose frames are all
        alike (digital silence), or not finite.
      tolerance: float > 0. Training goes on while an iteration raises the
        log-likelihood per frame by more.

    Returns:
      `(WordHMMs, Alignment)`.

    Raises:
      ValueError: where an argument is none of these, a word is not in the
        lexicon, no clip can be aligned, or one cannot and `skip_unusable` is
        False.

    Example:
      >>> cepstra = [np.array(kdtf.speech.cepstra(m)) for m in log_mels]
      >>> hmms, alignment = kdtf.speech.train_hmms(
      ...     cepstra, words, kdtf.speech.digits(), skip_unusable=True)
      >>> alignment.states[0]  # of the first clip's frames
    """
    if components < 1 or components & (components - 1):
        raise ValueError(
            "`components` must be a power of two. "
            f"Received: components={components}"
        )
    clips, batches, skipped = _prepare(
        clips, transcripts, lexicon, skip_unusable
    )
    usable = [i for _, rows in batches for i in rows]
    frames = np.concatenate([clips[i] for i in usable])
    labels = np.concatenate(
        [
            _flat_start(graph, clips[i], turn)
            for graph, rows in batches
            for turn, i in enumerate(rows)
        ]
    )
    model = WordHMMs(
        lexicon,
        mixtures.Mixtures.flat(frames, lexicon.num_states),
        np.full(lexicon.num_states, 0.5),
    )
    model = _reestimated(model, frames, labels, [len(clips[i]) for i in usable])
    return _settle(model, clips, batches, skipped, components, tolerance)


def _settle(model, clips, batches, skipped, components, tolerance):
    """Paths and densities in turn, for 1, 2, 4, ... components."""
    usable = [i for _, rows in batches for i in rows]
    frames = np.concatenate([clips[i] for i in usable])
    lengths = [len(clips[i]) for i in usable]
    history = []
    while True:
        gains = []
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


def _reestimated(model, frames, labels, lengths):
    """Densities and transitions from states of frames that lie end to end."""
    ends = np.zeros(len(labels), bool)
    ends[np.cumsum(lengths) - 1] = True
    # No two positions that follow each other have the same state, so that the
    # same state again means that the path stayed.
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


def _align(model, clips, batches, skipped):
    states, total, count = [None] * len(clips), 0.0, 0
    log_stay, log_leave = np.log(model.stay), np.log1p(-model.stay)
    for graph, rows in batches:
        lengths = np.array([len(clips[i]) for i in rows])
        used, columns = np.unique(graph.states, return_inverse=True)
        frames = np.concatenate([clips[i] for i in rows])
        likelihoods = model.mixtures.log_likelihoods(frames, used)
        emissions = np.zeros((len(rows), lengths.max(), len(graph.states)))
        inside = np.arange(lengths.max()) < lengths[:, None]
        emissions[inside] = likelihoods[:, columns]
        paths, scores = hmm.viterbi(
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


def _prepare(clips, transcripts, lexicon, skip_unusable):
    """float64 clips; batches of a graph and its clips; what is skipped."""
    if len(clips) != len(transcripts):
        raise ValueError(
            f"`transcripts` must be as many as clips, {len(clips)}. Received: "
            f"{len(transcripts)}"
        )
    clips = [np.asarray(clip, np.float64) for clip in clips]
    groups, graphs, skipped = {}, {}, {}
    for i, (clip, words) in enumerate(zip(clips, transcripts, strict=True)):
        words = (words,) if isinstance(words, str) else tuple(words)
        if words not in graphs:
            graphs[words] = hmm.graph_of(words, lexicon)
        reason = _why_unusable(clip, graphs[words])
        if reason is None:
            groups.setdefault(words, []).append(i)
        elif skip_unusable:
            skipped[i] = reason
        else:
            raise ValueError(
                "`clips` must be such that each can be aligned with its words. "
                f"Received: clip {i}, {' '.join(words)!r}: {reason}"
            )
    if not groups:
        first = f", the first of which: {skipped[0]}" if skipped else ""
        raise ValueError(
            "`clips` must hold one that can be aligned. Received: "
            f"{len(clips)} clips, {len(skipped)} of them unusable{first}"
        )
    batches = []
    for words, rows in groups.items():
        rows = sorted(rows, key=lambda i: len(clips[i]))  # little padding
        batches += [
            (graphs[words], rows[k : k + _BATCH])
            for k in range(0, len(rows), _BATCH)
        ]
    return clips, batches, skipped


def _why_unusable(clip, graph):
    """The reason that a clip cannot be aligned with a graph, or None."""
    if clip.ndim != 2:
        return f"must be [time, features], is of shape {clip.shape}"
    if len(clip) < graph.fewest_frames:
        return (
            f"{len(clip)} frames, fewer than the {graph.fewest_frames} states"
        )
    if not np.isfinite(clip).all():
        return "not finite"
    if np.ptp(clip, axis=0).max() < _ALIKE:
        return "silent: all frames are alike"
    return None


def _flat_start(graph, clip, turn):
    """`[time]` states: silence at quiet ends, the rest divided evenly.

    Clips with the same words take their pronunciations in turn, since one that
    no frame belongs to would never be found.
    """
    loudness = clip[:, 0]
    low, high = np.percentile(loudness, [5, 95])
    loud = np.flatnonzero(loudness >= low + _QUIET * (high - low))
    silence = np.array(lexicons.SILENCE_STATES)
    spoken = _spoken_states(graph, turn)
    # Room for the words' states comes first, then that for silence's.
    spare = len(clip) - len(spoken)
    begin, end = loud[0], len(clip) - 1 - loud[-1]
    begin = begin if len(silence) <= begin <= spare else 0
    end = end if len(silence) <= end <= spare - begin else 0
    return np.concatenate(
        [
            _evenly(silence, begin),
            _evenly(spoken, len(clip) - begin - end),
            _evenly(silence, end),
        ]
    )


def _spoken_states(graph, turn):
    """States of a path without silence, which stays nowhere."""
    silent = np.isin(graph.states, lexicons.SILENCE_STATES)
    here, path = graph.entries, []
    while not path or not graph.exits[path[-1]]:
        choices = np.flatnonzero(here & ~silent)
        path.append(choices[turn % len(choices)])
        here = (graph.predecessors == path[-1]).any(1)
    return graph.states[path]


def _evenly(states, count):
    """`[count]` states, each for about the same time."""
    return states[np.arange(count) * len(states) // max(count, 1)]

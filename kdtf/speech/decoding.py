"""Word recognition: the best path through a loop of words.

An acoustic net gives log p(state | frame). An HMM needs, up to a constant,
log p(frame | state) = log p(state | frame) - log p(state). Silence is optional
before, between and after words. Each word costs a penalty, which balances
insertions against deletions and should be chosen on held-out data.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kdtf.speech.lexicon import SILENCE_STATES, Lexicon

_BATCH = 128  # utterances

# Of each utterance, the best chain that ends at a frame: its score, its index
# and the frame at which it was entered; `[batch]` arrays.
_Ends: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


def log_priors_of(labels: npt.ArrayLike, num_states: int) -> np.ndarray:
    """Returns the log-frequencies of states among the training frames.

    Args:
      labels: `[frames]` ints, the state of each frame.
      num_states: int > 0.

    Returns:
      `[num_states]` float64 array. One is added to every count, so that a state
      that never occurs has a finite prior.

    Raises:
      ValueError: if a label is negative, or not less than `num_states`.

    Example:
      >>> log_priors = kdtf.speech.log_priors_of([0, 0, 2], num_states=3)
      >>> np.exp(log_priors).round(2)
      array([0.5 , 0.17, 0.33])
    """
    labels = np.asarray(labels)
    if labels.size and not 0 <= labels.min() <= labels.max() < num_states:
        raise ValueError(
            f"`labels` must be from 0 to {num_states - 1}. Received: labels "
            f"from {labels.min()} to {labels.max()}"
        )
    counts = np.bincount(labels.ravel(), minlength=num_states) + 1.0
    return np.log(counts / counts.sum())


def decode(
    scores: Sequence[npt.ArrayLike],
    lexicon: Lexicon,
    *,
    log_priors: npt.ArrayLike | None = None,
    penalty: float = 0.0,
    isolated: bool = False,
    stay: npt.ArrayLike = 0.5,
) -> list[tuple[str, ...]]:
    """Recognises the words of utterances.

    Maximises, over paths, the sum of the scores of each frame's state, plus log
    `stay` when the path stays in a state and log (1 - `stay`) when it moves on
    or ends, minus `penalty` for each word. Silence has no penalty, and never
    follows silence.

    Args:
      scores: for each utterance, a `[time, states]` array: log-posteriors if
        `log_priors` are given, otherwise log-likelihoods.
      lexicon: `Lexicon`.
      log_priors: `[states]` array that is subtracted from the scores, or None.
      penalty: float, the cost of a word in nats.
      isolated: if True, every utterance is exactly one word; otherwise it may
        have any number of words, including none.
      stay: number or `[states]` array: the probability that a state lasts for
        another frame, more than 0 and less than 1.

    Returns:
      List with a tuple of words for each utterance, empty if the utterance is
      too short for any path.

    Raises:
      ValueError: if an utterance is not of shape `[time, states]` or has a NaN,
        `log_priors` are not finite or not of shape `[states]`, `penalty` is
        not finite, or `stay` is not between 0 and 1 or of another shape.

    Example:
      >>> lexicon = kdtf.speech.digits()
      >>> states = lexicon.states("three")[0] + lexicon.states("one")[0]
      >>> posteriors = np.eye(lexicon.num_states)[list(states)]
      >>> log_posteriors = np.log(posteriors + 0.01)
      >>> kdtf.speech.decode([log_posteriors], lexicon)
      [('three', 'one')]
    """
    arrays = [_checked(s, i, lexicon) for i, s in enumerate(scores)]
    if log_priors is not None:
        priors = _checked_priors(log_priors, lexicon)
        arrays = [s - priors for s in arrays]
    stay = _checked_stay(stay, lexicon)
    cost = np.asarray(penalty)
    if cost.ndim or cost.dtype.kind not in "fiu" or not np.isfinite(cost):
        raise ValueError(
            f"`penalty` must be a finite number. Received: penalty={penalty!r}"
        )
    loop = _loop_of(lexicon, isolated)
    words: list[tuple[str, ...]] = [()] * len(arrays)
    order = np.argsort([len(s) for s in arrays], kind="stable")
    for k in range(0, len(order), _BATCH):
        rows = order[k : k + _BATCH]
        found = _decode_batch([arrays[i] for i in rows], loop, penalty, stay)
        for i, chains in zip(rows, found, strict=True):
            spoken = [loop.words[c] for c in chains]
            words[i] = tuple(word for word in spoken if word is not None)
    return words


@dataclasses.dataclass(frozen=True)
class _Loop:
    """Chains of positions: silence, every pronunciation, silence.

    The first silence occurs only at the beginning, the last only after words.

    Attributes:
      words: list with the word of each chain, None for silence.
      is_word: `[chains]` bool array.
      states: `[positions]` int array.
      first: `[chains]` int array, the first position of each chain.
      last: `[chains]` int array, the last position of each chain.
      to_word: `[chains]` bool array: whether a word may follow.
      to_end: `[chains]` bool array: whether an utterance may end with it.
    """

    words: list[str | None]
    is_word: np.ndarray
    states: np.ndarray
    first: np.ndarray
    last: np.ndarray
    to_word: np.ndarray
    to_end: np.ndarray


def _loop_of(lexicon: Lexicon, isolated: bool) -> _Loop:
    chains: list[tuple[str | None, tuple[int, ...]]] = [(None, SILENCE_STATES)]
    chains += [(w, c) for w in lexicon.words for c in lexicon.states(w)]
    chains += [(None, SILENCE_STATES)]
    ends = np.cumsum([len(states) for _, states in chains])
    words = [word for word, _ in chains]
    leading = np.arange(len(chains)) == 0
    return _Loop(
        words=words,
        is_word=np.array([word is not None for word in words]),
        states=np.concatenate([states for _, states in chains]),
        first=np.append(0, ends[:-1]),
        last=ends - 1,
        to_word=leading if isolated else np.ones(len(chains), bool),
        to_end=~leading if isolated else np.ones(len(chains), bool),
    )


def _decode_batch(
    scores: list[np.ndarray], loop: _Loop, penalty: float, stay: np.ndarray
) -> list[list[int]]:
    """Returns a list of chains for each utterance.

    A path within a chain only remembers the frame at which it entered the
    chain: what came before is the best chain that ended a frame earlier.
    """
    lengths = np.array([len(s) for s in scores])
    time, batch = lengths.max(initial=0), len(scores)
    padded = np.zeros((time, batch, scores[0].shape[1]))
    for i, s in enumerate(scores):
        padded[: len(s), i] = s
    transitions = np.log(stay)[loop.states], np.log1p(-stay)[loop.states]
    cost = np.where(loop.is_word, penalty, 0.0)
    # The score with which each chain is entered. The last silence must not be
    # entered at the first frame, the first silence at no later one.
    into = np.broadcast_to(-cost, (batch, len(cost))).copy()
    into[:, -1] = -np.inf
    path = np.full((batch, len(loop.states)), -np.inf)
    entered = np.zeros(path.shape, np.int32)
    before_word: list[_Ends] = []
    before_silence: list[_Ends] = []
    at_end: list[_Ends] = []
    for t in range(time):
        path, entered = _move(path, entered, t, into, loop, transitions)
        path += padded[t][:, loop.states]
        exits = (path + transitions[1])[:, loop.last]
        since = entered[:, loop.last]
        before_word.append(_best(exits, since, loop.to_word))
        before_silence.append(_best(exits, since, loop.is_word))
        at_end.append(_best(exits, since, loop.to_end))
        into = before_word[-1][0][:, None] - cost
        into[:, 0], into[:, -1] = -np.inf, before_silence[-1][0]
    return [
        _trace_back(i, length, loop, before_word, before_silence, at_end)
        for i, length in enumerate(lengths)
    ]


def _move(
    path: np.ndarray,
    entered: np.ndarray,
    t: int,
    into: np.ndarray,
    loop: _Loop,
    transitions: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Advances all paths by a frame: each stays or moves one to the right.

    Args:
      path: `[batch, positions]` scores of the best paths to each position.
      entered: `[batch, positions]` ints, the frames at which these paths
        entered their chains.
      t: int, the frame.
      into: `[batch, chains]` scores with which chains are entered.
      loop: `_Loop`.
      transitions: `[positions]` log-probabilities of staying, and of leaving.

    Returns:
      The new `(path, entered)`.
    """
    log_stay, log_leave = transitions
    stayed = path + log_stay
    moved, since = np.empty_like(path), np.empty_like(entered)
    moved[:, 1:] = (path + log_leave)[:, :-1]
    since[:, 1:] = entered[:, :-1]
    moved[:, loop.first], since[:, loop.first] = into, t
    better = moved > stayed
    return np.where(better, moved, stayed), np.where(better, since, entered)


def _best(exits: np.ndarray, since: np.ndarray, allowed: np.ndarray) -> _Ends:
    """Returns the best allowed chain of each row."""
    exits = np.where(allowed, exits, -np.inf)
    chain = exits.argmax(1)
    rows = np.arange(len(exits))
    return exits[rows, chain], chain, since[rows, chain]


def _trace_back(
    row: int,
    length: int,
    loop: _Loop,
    before_word: list[_Ends],
    before_silence: list[_Ends],
    at_end: list[_Ends],
) -> list[int]:
    """Returns the chains of an utterance, or none if there is no path."""
    chains: list[int] = []
    end, best = length, at_end
    while end > 0:
        score, chain, entry = (x[row] for x in best[end - 1])
        if not chains and score == -np.inf:
            return []
        chains.append(chain)
        end = entry
        best = before_word if loop.is_word[chain] else before_silence
    return chains[::-1]


def _checked(
    scores: npt.ArrayLike, position: int, lexicon: Lexicon
) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] != lexicon.num_states:
        raise ValueError(
            "`scores` must be of shape [time, states], with the lexicon's "
            f"{lexicon.num_states} states. Received: utterance {position} of "
            f"shape {scores.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError(
            f"`scores` must not be NaN. Received: NaN in utterance {position}"
        )
    return scores


def _checked_priors(log_priors: npt.ArrayLike, lexicon: Lexicon) -> np.ndarray:
    priors = np.asarray(log_priors, np.float64)
    received = None
    if priors.shape != (lexicon.num_states,):
        received = f"shape {priors.shape}"
    elif not np.isfinite(priors).all():
        # A state that never occurred would be the best one in every frame.
        state = int(np.isfinite(priors).argmin())
        received = f"{priors[state]} for state {state}"
    if received:
        raise ValueError(
            "`log_priors` must be finite, one number for each of the lexicon's "
            f"{lexicon.num_states} states, as `log_priors_of` gives them. "
            f"Received: {received}"
        )
    return priors


def _checked_stay(stay: npt.ArrayLike, lexicon: Lexicon) -> np.ndarray:
    found = np.asarray(stay, np.float64)
    if (
        found.shape not in ((), (lexicon.num_states,))
        or not ((found > 0) & (found < 1)).all()
    ):
        raise ValueError(
            "`stay` must be more than 0 and less than 1, one number or one for "
            f"each of the lexicon's {lexicon.num_states} states. "
            f"Received: stay={stay!r}"
        )
    return np.broadcast_to(found, lexicon.num_states)

"""Words from the states' posteriors: the best path through a loop of words.

An acoustic net gives log p(state | frames); what an HMM needs is, but for a
constant, log p(frame | state) = log p(state | frame) - log p(state). Silence
may be before, between and after words. Each word costs a penalty, which
balances insertions against deletions and is to be chosen on held-out data.
"""

import dataclasses

import numpy as np

from kdtf.speech import lexicon as lexicons

_BATCH = 128  # utterances


def log_priors_of(labels, num_states):
    """Logarithms of the states' shares of the training frames.

    Args:
      labels: `[frames]` ints, states.
      num_states: int > 0.

    Returns:
      `[num_states]` float64 array. One is added to every count, so that a state
      that never occurs has a prior.

    Raises:
      ValueError: where a label is not one of the states.
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
    scores, lexicon, *, log_priors=None, penalty=0.0, isolated=False, stay=0.5
):
    """The words of utterances.

    Maximises, over paths, the sum of the scores of each frame's state, plus log
    `stay` where the path stays and log (1 - `stay`) where it moves on or ends,
    less `penalty` for each word. Silence costs nothing by itself, and does not
    follow silence.

    Args:
      scores: sequence with a `[time, states]` array for each utterance:
        log-posteriors with `log_priors`, or log-likelihoods without.
      lexicon: `Lexicon`.
      log_priors: None, or `[states]` array, subtracted from scores.
      penalty: float, the cost of a word, in nats.
      isolated: whether an utterance is exactly one word; else it is any number
        of them, none included.
      stay: number or `[states]` array: the probability that a state lasts for
        another frame, more than 0 and less than 1.

    Returns:
      List with a tuple of words for each utterance. It is empty where the
      utterance is too short for any path.

    Raises:
      ValueError: where an argument is none of these.

    Example:
      >>> words = kdtf.speech.decode(
      ...     [student(windows)], kdtf.speech.digits(), log_priors=log_priors)
      >>> words
      [('three', 'one')]
    """
    scores = [_checked(s, i, lexicon) for i, s in enumerate(scores)]
    if log_priors is not None:
        scores = [s - np.asarray(log_priors) for s in scores]
    stay = np.broadcast_to(np.asarray(stay, np.float64), lexicon.num_states)
    if not ((stay > 0) & (stay < 1)).all():
        raise ValueError(
            f"`stay` must be more than 0 and less than 1. Received: {stay}"
        )
    loop = _loop_of(lexicon, isolated)
    words = [()] * len(scores)
    order = np.argsort([len(s) for s in scores], kind="stable")
    for k in range(0, len(order), _BATCH):
        rows = order[k : k + _BATCH]
        found = _decode_batch([scores[i] for i in rows], loop, penalty, stay)
        for i, chains in zip(rows, found, strict=True):
            words[i] = tuple(loop.words[c] for c in chains if loop.is_word[c])
    return words


@dataclasses.dataclass(frozen=True)
class _Loop:
    """Chains of positions, side by side: silence, each word, silence.

    The first silence is only at the beginning, the last only after words.

    Attributes:
      words: list with the word of each chain, None of silence.
      is_word: `[chains]` bool array.
      states: `[positions]` int array.
      first: `[chains]` int array, the position where each begins.
      last: `[chains]` int array, where each ends.
      to_word: `[chains]` bool array: which may be followed by a word.
      to_end: `[chains]` bool array: which may end an utterance.
    """

    words: list
    is_word: np.ndarray
    states: np.ndarray
    first: np.ndarray
    last: np.ndarray
    to_word: np.ndarray
    to_end: np.ndarray


def _loop_of(lexicon, isolated):
    chains = [(None, lexicons.SILENCE_STATES)]
    chains += [(w, c) for w in lexicon.words for c in lexicon.states(w)]
    chains += [(None, lexicons.SILENCE_STATES)]
    ends = np.cumsum([len(states) for _, states in chains])
    words = [word for word, _ in chains]
    leading = np.arange(len(chains)) == 0
    return _Loop(
        words=words,
        is_word=np.array([w is not None for w in words]),
        states=np.concatenate([states for _, states in chains]),
        first=np.append(0, ends[:-1]),
        last=ends - 1,
        to_word=leading if isolated else np.ones(len(chains), bool),
        to_end=~leading if isolated else np.ones(len(chains), bool),
    )


def _decode_batch(scores, loop, penalty, stay):
    """Lists of chains, one for each utterance.

    A path in a chain is known by the frame at which it entered it; what came
    before is the best chain that ended a frame earlier.
    """
    lengths = np.array([len(s) for s in scores])
    time, batch = lengths.max(initial=0), len(scores)
    padded = np.zeros((time, batch, scores[0].shape[1]))
    for i, s in enumerate(scores):
        padded[: len(s), i] = s
    transitions = np.log(stay)[loop.states], np.log1p(-stay)[loop.states]
    cost = np.where(loop.is_word, penalty, 0.0)
    # The score with which each chain is entered; the last silence is not at
    # the beginning, the first silence nowhere else.
    into = np.broadcast_to(-cost, (batch, len(cost))).copy()
    into[:, -1] = -np.inf
    path = np.full((batch, len(loop.states)), -np.inf)
    entered = np.zeros(path.shape, np.int32)
    before_word, before_silence, at_end = [], [], []
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


def _move(path, entered, t, into, loop, transitions):
    """A frame on: stays where it is, or comes from the left if that is better.

    Args:
      path: `[batch, positions]` scores of the best paths to each position.
      entered: `[batch, positions]` ints, when they entered their chains.
      t: int, the frame.
      into: `[batch, chains]` scores with which chains are entered.
      loop: `_Loop`.
      transitions: `[positions]` log-probabilities of staying, of leaving.

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


def _best(exits, since, allowed):
    """Of each row, the best allowed chain: its score, itself, its entry."""
    exits = np.where(allowed, exits, -np.inf)
    chain = exits.argmax(1)
    rows = np.arange(len(exits))
    return exits[rows, chain], chain, since[rows, chain]


def _trace_back(row, length, loop, before_word, before_silence, at_end):
    """The chains of an utterance; none where no path exists."""
    chains, end, best = [], length, at_end
    while end > 0:
        score, chain, entry = (x[row] for x in best[end - 1])
        if not chains and score == -np.inf:
            return []
        chains.append(chain)
        end = entry
        best = before_word if loop.is_word[chain] else before_silence
    return chains[::-1]


def _checked(scores, position, lexicon):
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

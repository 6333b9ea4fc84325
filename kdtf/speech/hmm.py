"""The HMM of a known string of words, and the best path through it.

A graph has positions, each of a state of the lexicon; a path stays at a
position or moves on to one that lists it as a predecessor. Each word may be
pronounced in any of its ways; silence may be before, between and after words,
or not: taking it or leaving it out costs nothing by itself.
"""

import dataclasses

import numpy as np

from kdtf.speech import lexicon as lexicons


@dataclasses.dataclass(frozen=True)
class Graph:
    """Positions and the moves between them.

    Attributes:
      states: `[positions]` int array, the state of each.
      predecessors: `[positions, most]` int array: whence a path may move here;
        -1 fills it up.
      entries: `[positions]` bool array: where a path may begin.
      exits: `[positions]` bool array: where it may end.
      fewest_frames: int, the length of the shortest path.
    """

    states: np.ndarray
    predecessors: np.ndarray
    entries: np.ndarray
    exits: np.ndarray
    fewest_frames: int


def graph_of(words, lexicon):
    """The graph of a string of words.

    Args:
      words: sequence of strings, one at least.
      lexicon: `Lexicon`.

    Returns:
      `Graph`.

    Raises:
      ValueError: where there is no word, or one that the lexicon lacks.
    """
    if not words:
        raise ValueError("`words` must hold a word. Received: none")
    states, sources, entries = [], [], []

    def append(chain, before):
        """A chain of states, entered from positions or from the start."""
        first = len(states)
        states.extend(chain)
        entries.extend([None in before] + [False] * (len(chain) - 1))
        sources.append([s for s in before if s is not None])
        sources.extend([p] for p in range(first, len(states) - 1))
        return len(states) - 1

    ends = [None]  # where the string may have got to; None is the start
    fewest = 0
    for word in words:
        variants = lexicon.states(word)
        ends = [*ends, append(lexicons.SILENCE_STATES, ends)]
        ends = [append(chain, ends) for chain in variants]
        fewest += min(map(len, variants))
    ends = [*ends, append(lexicons.SILENCE_STATES, ends)]
    predecessors = np.full((len(states), max(map(len, sources))), -1)
    for position, before in enumerate(sources):
        predecessors[position, : len(before)] = before
    exits = np.zeros(len(states), bool)
    exits[ends] = True
    return Graph(
        np.array(states), predecessors, np.array(entries), exits, fewest
    )


def viterbi(graph, emissions, lengths, log_stay, log_leave):
    """The best path of each of several utterances through one graph.

    Where paths are equally good, one that stays wins over one that moves.

    Args:
      graph: `Graph`.
      emissions: `[batch, time, positions]` array of log-likelihoods.
      lengths: `[batch]` ints, how many frames count of each.
      log_stay: `[positions]`, the log-probability of staying for a frame.
      log_leave: `[positions]`, that of moving on.

    Returns:
      `(paths, scores)`: `[batch, time]` int array of positions, -1 from an
      utterance's end on, and `[batch]` float64 log-likelihoods with the paths;
      an utterance shorter than `graph.fewest_frames` has -inf and no path, all
      -1. The entry costs nothing, the exit `log_leave`.
    """
    batch, time, positions = emissions.shape
    # A column for the predecessor -1, from where nothing comes.
    scores = np.full((batch, positions + 1), -np.inf)
    moves = np.zeros((time, batch, positions), np.int8)
    finals = np.full((batch, positions), -np.inf)
    for t in range(time):
        if t == 0:
            new = np.where(graph.entries, 0.0, -np.inf)[None]
        else:
            leaving = scores.copy()
            leaving[:, :-1] += log_leave
            new = scores[:, :-1] + log_stay
            for k, source in enumerate(graph.predecessors.T):
                better = leaving[:, source] > new
                new = np.where(better, leaving[:, source], new)
                moves[t][better] = k + 1
        scores[:, :-1] = new + emissions[:, t]
        ending = lengths == t + 1
        finals[ending] = (scores[:, :-1] + log_leave)[ending]
    finals[:, ~graph.exits] = -np.inf
    return _trace_back(graph, moves, finals, lengths), finals.max(1)


def _trace_back(graph, moves, finals, lengths):
    """`[batch, time]` positions, from the moves that were best."""
    time, batch, _ = moves.shape
    rows = np.arange(batch)
    position = finals.argmax(1)
    exists = finals.max(1) > -np.inf
    paths = np.full((batch, time), -1)
    for t in range(time - 1, -1, -1):
        active = (t < lengths) & exists
        paths[active, t] = position[active]
        move = moves[t, rows, position]
        source = graph.predecessors[position, move - 1]
        position = np.where(active & (move > 0), source, position)
    return paths

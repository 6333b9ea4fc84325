"""The HMM of a known sequence of words, and the best path through it.

A graph has positions, each with a state of the lexicon. A path stays at a
position or moves on to one that lists it as a predecessor. A word may take any
of its pronunciations, and silence is optional before, between and after words:
neither taking nor omitting it costs anything by itself.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kdtf.speech.lexicon import SILENCE_STATES, Lexicon

_START = -1  # stands for the beginning of a path, which is no position


@dataclasses.dataclass(frozen=True)
class Graph:
    """Positions and the moves between them.

    Attributes:
      states: `[positions]` int array, the state of each position.
      predecessors: `[positions, most]` int array of the positions from which a
        path may move to each position, padded with -1.
      entries: `[positions]` bool array: where a path may begin.
      exits: `[positions]` bool array: where a path may end.
      fewest_frames: int, the length of the shortest path.
    """

    states: np.ndarray
    predecessors: np.ndarray
    entries: np.ndarray
    exits: np.ndarray
    fewest_frames: int


def graph_of(words: Sequence[str], lexicon: Lexicon) -> Graph:
    """Builds the graph of a sequence of words.

    Args:
      words: at least one word.
      lexicon: `Lexicon`.

    Returns:
      `Graph`.

    Raises:
      ValueError: if `words` is empty, or a word is not in the lexicon.
    """
    if not words:
        raise ValueError(
            "`words` must contain at least one word. Received: none"
        )
    states: list[int] = []
    sources: list[list[int]] = []
    entries: list[bool] = []

    def append(chain: Sequence[int], before: Sequence[int]) -> int:
        """Adds a chain entered from `before`; returns its last position."""
        first = len(states)
        states.extend(chain)
        entries.extend([_START in before] + [False] * (len(chain) - 1))
        sources.append([s for s in before if s != _START])
        sources.extend([p] for p in range(first, len(states) - 1))
        return len(states) - 1

    ends = [_START]  # positions that the words so far may end at
    fewest = 0
    for word in words:
        variants = lexicon.states(word)
        ends = [*ends, append(SILENCE_STATES, ends)]
        ends = [append(chain, ends) for chain in variants]
        fewest += min(map(len, variants))
    ends = [*ends, append(SILENCE_STATES, ends)]
    predecessors = np.full((len(states), max(map(len, sources))), -1)
    for position, before in enumerate(sources):
        predecessors[position, : len(before)] = before
    exits = np.zeros(len(states), bool)
    exits[ends] = True
    return Graph(
        np.array(states), predecessors, np.array(entries), exits, fewest
    )


def viterbi(
    graph: Graph,
    emissions: np.ndarray,
    lengths: np.ndarray,
    log_stay: np.ndarray,
    log_leave: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the best paths of several utterances through one graph.

    If staying and moving are equally good, the path stays. Entering the graph
    costs nothing; leaving it at the end costs `log_leave`.

    Args:
      graph: `Graph`.
      emissions: `[batch, time, positions]` float array of log-likelihoods.
      lengths: `[batch]` int array, the number of frames of each utterance.
      log_stay: `[positions]` float array, the log-probability of staying for
        another frame.
      log_leave: `[positions]` float array, the log-probability of moving on.

    Returns:
      `(paths, scores)`: `[batch, time]` int array of positions, -1 after the
      end of an utterance, and `[batch]` float64 array of log-likelihoods of the
      frames with their paths. An utterance shorter than `graph.fewest_frames`
      has a score of -inf and a path of -1 only.
    """
    batch, time, positions = emissions.shape
    # One more column: the predecessor -1 reads it, and it stays at -inf.
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


def _trace_back(
    graph: Graph, moves: np.ndarray, finals: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Returns `[batch, time]` positions, from the best moves."""
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

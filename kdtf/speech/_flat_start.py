"""States of a clip before anything is known of it but its words."""

import numpy as np

from kdtf.speech._hmm import Graph
from kdtf.speech.lexicon import SILENCE_STATES

# Share of the range of a clip's loudness: quieter frames at its ends become
# silence.
_QUIET = 0.2


def flat_start(graph: Graph, clip: np.ndarray, index: int) -> np.ndarray:
    """Assigns silence to quiet ends and divides the rest of a clip evenly.

    Args:
      graph: `Graph` of the clip's words.
      clip: `[time, features]` array of at least `graph.fewest_frames` frames;
        the first feature is the loudness.
      index: int that numbers the clips with these words: they alternate between
        the pronunciations, since one without any frame would never be found.

    Returns:
      `[time]` int array of states.
    """
    loudness = clip[:, 0]
    low, high = np.percentile(loudness, [5, 95])
    loud = np.flatnonzero(loudness >= low + _QUIET * (high - low))
    silence = np.array(SILENCE_STATES)
    spoken = _spoken_states(graph, index)
    # The states of the words must fit; silence gets what they leave.
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


def _spoken_states(graph: Graph, index: int) -> np.ndarray:
    """Returns the states of a path without silence, each state once."""
    silent = np.isin(graph.states, SILENCE_STATES)
    here = graph.entries
    path: list[int] = []
    while not path or not graph.exits[path[-1]]:
        choices = np.flatnonzero(here & ~silent)
        path.append(choices[index % len(choices)])
        here = (graph.predecessors == path[-1]).any(1)
    return graph.states[path]


def _evenly(states: np.ndarray, count: int) -> np.ndarray:
    """Returns `[count]` states, each repeated about equally often."""
    return states[np.arange(count) * len(states) // max(count, 1)]

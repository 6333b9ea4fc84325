"""HMMs by definition: paths are enumerated one by one, in numpy."""

import itertools

import numpy as np

SILENCE = (0, 1, 2)


def compositions(total, parts):
    """All ways to write `total` as a sum of `parts` positive ints."""
    if not parts:
        return
    for cuts in itertools.combinations(range(1, total), parts - 1):
        yield np.diff((0, *cuts, total))


def best_path(chain, scores, stay):
    """The best path through a chain of states: its score, `[time]` states.

    The first frame in a state costs nothing, every other one multiplies the
    probability of the path by `stay`, and every end of a state by 1 - `stay`.

    Args:
      chain: sequence of states, none of which may be skipped.
      scores: `[time, states]` array.
      stay: `[states]` array.
    """
    chain, best = np.array(chain), (-np.inf, None)
    for durations in compositions(len(scores), len(chain)):
        states = np.repeat(chain, durations)
        value = scores[np.arange(len(scores)), states].sum()
        value += ((durations - 1) * np.log(stay[chain])).sum()
        value += np.log(1 - stay[chain]).sum()
        if value > best[0]:
            best = value, states
    return best


def chains_of(words, lexicon):
    """All state sequences of words, with and without silences."""
    parts = [((), SILENCE)]
    for word in words:
        parts += [lexicon.states(word), ((), SILENCE)]
    for chosen in itertools.product(*parts):
        yield sum(chosen, ())


def best_string(words, lexicon, scores, stay):
    """As `best_path`, over all state sequences of words."""
    paths = [best_path(c, scores, stay) for c in chains_of(words, lexicon)]
    return max(paths, key=lambda path: path[0])

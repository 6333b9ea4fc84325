"""Speech by definition: paths enumerated one by one, in numpy."""

import itertools

import numpy as np

SILENCE = (0, 1, 2)


def compositions(total, parts):
    """All ways to write `total` as `parts` positive ints, in order."""
    if not parts:
        return
    for cuts in itertools.combinations(range(1, total), parts - 1):
        yield np.diff((0, *cuts, total))


def best_path(chain, scores, stay):
    """The best way to pass a chain of states: its score, `[time]` states.

    Every frame in the same state but the first of it multiplies the path's
    probability by `stay`, every state that ends by 1 - `stay`.

    Args:
      chain: sequence of states, all of them passed.
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
    """All state sequences of a string of words, with and without silences."""
    parts = [((), SILENCE)]
    for word in words:
        parts += [lexicon.states(word), ((), SILENCE)]
    for chosen in itertools.product(*parts):
        yield sum(chosen, ())


def best_string(words, lexicon, scores, stay):
    """As `best_path`, over all ways to say a string of words."""
    paths = [best_path(c, scores, stay) for c in chains_of(words, lexicon)]
    return max(paths, key=lambda path: path[0])

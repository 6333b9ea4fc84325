"""Cases that are held out by a seed."""

import numpy as np

# What splits are called in folders and files: from name to split.
NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "held_out": "held_out",
    "validation": "held_out",
    "valid": "held_out",
    "val": "held_out",
}


def hold_out(labels, share, seed):
    """Holds out a share of each class.

    Which cases of a class are held out depends on the seed, the class and how
    many cases it has, in their order; nothing else. Cases without a label are
    a class of their own.

    Args:
      labels: `[cases]` int array.
      share: float between 0 and 1. Of a class of n cases `round(share * n)` are
        held out; at least one, and at least one stays, where n > 1.
      seed: sequence of ints of at least 0.

    Returns:
      `(kept, held_out)`, sorted int arrays of positions.
    """
    out = np.zeros(len(labels), bool)
    order = np.argsort(labels, kind="stable")
    found, first = np.unique(labels[order], return_index=True)
    for label, rows in zip(found, np.split(order, first[1:]), strict=True):
        count = round(share * len(rows))
        if len(rows) > 1:
            count = min(max(count, 1), len(rows) - 1)
        # A seed takes no negative numbers, and -1 stands for no label.
        rng = np.random.default_rng([*seed, int(label) + 1])
        out[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)

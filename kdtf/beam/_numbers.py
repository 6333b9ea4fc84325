"""Numbered examples: what is refused of them, and batches in their order."""

import itertools
import operator

import numpy as np
import tensorflow as tf

from kdtf.soft_targets import examples as data_examples

_NAMED = 5  # numbers in an error


def numbered(pair):
    """A pair (number, example) as (int, x of arrays)."""
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise refusal(None, f"a {type(pair).__name__}, which is no pair")
    number, example = pair
    is_int = isinstance(number, int | np.integer) and type(number) is not bool
    if not is_int or number < 0:
        raise refusal(None, f"the number {number!r}")
    # A list is several inputs, as in Keras, and not x, y and sample weight.
    is_list = isinstance(example, list)
    x = example if is_list else data_examples.inputs(example)
    return int(number), _arrays(x, number)


def _arrays(x, number):
    """An x with arrays as its leaves, and tuples as its lists."""
    if isinstance(x, dict):
        return {name: _arrays(part, number) for name, part in x.items()}
    if isinstance(x, list | tuple):
        return tuple(_arrays(part, number) for part in x)
    if not (hasattr(x, "__array__") or isinstance(x, bytes)):
        raise refusal(
            None, f"example {number} with a {type(x).__name__}, no array, in x"
        )
    # An array of bytes as such would lose the zeros at its end.
    return np.asarray(x, object if isinstance(x, bytes) else None)


def in_order(pairs, expected, examples, kinds=None):
    """The x of a batch, in the order of the numbers.

    Args:
      pairs: iterable of (number, x).
      expected: range, the numbers that should be there.
      examples: int, the number of all examples.
      kinds: list of str, dtype and shape of each part of x; None if they are to
        be those of the first example.

    Raises:
      ValueError: if the numbers are others, or an x is.
    """
    pairs = sorted(pairs, key=operator.itemgetter(0))
    numbers = [number for number, _ in pairs]
    if numbers != list(expected):
        raise refusal(examples, _differences(numbers, expected))
    parts = [tf.nest.flatten(x) for _, x in pairs]
    kinds = kinds or _kinds(parts[0])
    for number, found in zip(numbers, map(_kinds, parts), strict=True):
        if found != kinds:
            raise ValueError(
                "`WriteNumberedSoftTargets` must get examples of one dtype and "
                "shape: pad them to the longest. Received: as example "
                f"{number} {found}, elsewhere {kinds}"
            )
    stacked = [np.stack(same) for same in zip(*parts, strict=True)]
    return tf.nest.pack_sequence_as(pairs[0][1], stacked)


def _kinds(parts):
    return [f"{tf.as_dtype(p.dtype).name} {list(p.shape)}" for p in parts]


def _differences(numbers, expected):
    """What is wrong with the numbers of a batch.

    Args:
      numbers: sorted list of int.
      expected: range.
    """
    twice = {a for a, b in itertools.pairwise(numbers) if a == b}
    wrong, missing = set(numbers) - set(expected), set(expected) - set(numbers)
    found = (
        ("the numbers {}", wrong),
        ("more than once the numbers {}", twice),
        ("none of the numbers {}", missing),
    )
    return " and ".join(
        text.format(some(sorted(these))) for text, these in found if these
    )


def some(numbers):
    """The first of some numbers, and how many there are."""
    more = len(numbers) - _NAMED
    return f"{numbers[:_NAMED]}" + (f" and {more} more" if more > 0 else "")


def refusal(examples, received):
    last = "N - 1" if not examples else examples - 1
    return ValueError(
        "`WriteNumberedSoftTargets` must get pairs (number, example), with the "
        f"numbers 0 to {last}, each once, and arrays as x. "
        f"Received: {received}"
    )

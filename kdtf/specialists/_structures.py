"""Structures of arrays, as tf.data takes them."""

from typing import Any


def as_tuples(structure: Any) -> Any:
    """A structure of dicts, tuples and lists with its lists as tuples.

    JSON makes lists of tuples, and tf.data stacks what is a list.
    """
    if isinstance(structure, dict):
        return {key: as_tuples(part) for key, part in structure.items()}
    if type(structure) in (list, tuple):
        return tuple(map(as_tuples, structure))
    return structure

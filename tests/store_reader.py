"""Reads one worker's part of a store, in a process of its own."""

import kdtf
from tests import stores


def read(directory, index, count, pipe):
    """Sends the labels and inputs of its part, read while others read theirs.

    Between its first batch and the rest it sends None, and waits.
    """
    store = kdtf.SoftTargets(directory)
    part = store.join(
        stores.of_range, shard_index=index, shard_count=count, interleave=2
    )
    batches = iter(part.batch(2))
    first = next(batches)
    pipe.send(None)
    pipe.recv()
    pipe.send(stores.read([first, *batches]))

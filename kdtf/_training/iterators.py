"""Iterators over data sets that end without a wait.

A thread of `tf.data` tunes a pipeline's buffers while it runs. It sleeps for
10, 20, 40 ... ms, up to a minute, and what ends an iterator waits for it. It is
woken up to be told to stop, but TensorFlow wakes it before it counts as told,
so now and then it falls asleep again, and ending an epoch takes as long as the
epoch. Without the option `autotune` there is no such thread; but that option is
the user's, and tunes what they left to AUTOTUNE. So the iterators of whole
epochs end in threads of their own, and training goes on meanwhile.

Others end where they always did. What they read may be in use until then: a
file that `cache` has not finished, or whatever a generator holds.
"""

import math
import threading
import time
import weakref

import tensorflow as tf

# Seconds. Python tells of the end of an iterator before it clears what the
# iterator holds: who drops the resource at once may not be the last.
_PATIENCE = 0.01


class Ends:
    """Has the iterators of a model's epochs end elsewhere."""

    def __init__(self):
        self._batches = {}  # of an epoch, by kind of run
        self._left = {}  # by kind: a weak reference to an iterator, batches

    def expect(self, kind, x, steps):
        """Notes what a run is going to read.

        Args:
          kind: str, of the run.
          x: what it was given as data.
          steps: int, after how many batches an epoch ends, whose iterator the
            next one goes on with; None at the end of the data.
        """
        self._batches[kind] = math.inf if steps else _length(x)

    def ran(self, kind, iterator, steps):
        """Counts what was taken from an iterator, which ends after all of it.

        Args:
          kind: str, of the run.
          iterator: what it reads; only a `tf.data.Iterator` is looked after.
          steps: how many batches it took, or tried to.
        """
        if not isinstance(iterator, tf.data.Iterator):
            return
        known, left = self._left.get(kind, (None, 0))
        if known is None or known() is not iterator:
            known = weakref.ref(iterator)
            left = self._batches.get(kind, math.inf)
        if left > 0 and left - steps <= 0:
            end_elsewhere(iterator)
        self._left[kind] = known, left - steps

    def ran_out(self, kind, iterator):
        """Has an iterator end that gave no more."""
        known, left = self._left.get(kind, (None, 0))
        if known is not None and known() is iterator and left > 0:
            self._left[kind] = known, 0
            end_elsewhere(iterator)


def end_elsewhere(iterator):
    """Has an iterator end in a thread of its own, when nobody holds it.

    The process does not exit before it has ended.

    Args:
      iterator: a `tf.data.Iterator`.
    """
    # The pipeline ends with the last reference to its resource.
    resource = tf.nest.flatten(iterator, expand_composites=True)
    weakref.finalize(iterator, _drop, resource).atexit = False


def _length(x):
    """How many batches an epoch takes; `math.inf` if only their end tells."""
    if isinstance(x, tf.data.Dataset):
        batches = int(x.cardinality())
        return batches if batches > 0 else math.inf
    # From the first batch on: nothing but memory is in use.
    is_arrays = all(hasattr(a, "__array__") for a in tf.nest.flatten(x))
    return 1 if is_arrays else math.inf


def _drop(resource):
    """Empties a list in another thread."""

    def drop():
        time.sleep(_PATIENCE)
        resource.clear()

    threading.Thread(target=drop, name="kdtf-end-of-iterator").start()

"""The batches that a teacher gets, from the first one of any shard on.

There are two kinds of data. A stream is read from its start to reach a batch
in the middle, so that whoever writes one shard after the other must not begin
anew at each. A function of a range of examples gives those of a shard alone.
"""

import math

from kdtf.soft_targets import checks, examples, sources


def of(data, augment, number, batch_size):
    """The batches of what `SoftTargets.write` was given.

    Args:
      data: see `kdtf.SoftTargets.write`.
      augment: function or None.
      number: int, of the examples of a function of a range; else None.
      batch_size: int or None.

    Returns:
      `Stream` or `Ranges`. Both have `count`, the number of batches of a view,
      None if it is not known; `start()`, a batched data set that begins as the
      data do; and `inputs(view, first, end)`.

    Raises:
      ValueError: if the data are of another kind, empty or endless, or an
        argument does not belong to such data.
    """
    if not sources.is_function(data):
        checks.require_no_number(number)
        return Stream(sources.batches(data, batch_size), augment)
    checks.require_sizes(number, batch_size)
    return Ranges(data, augment, number, batch_size)


class Stream:
    """Batches that come one after the other."""

    def __init__(self, dataset, augment):
        """Of a batched `tf.data.Dataset`, and a function or None."""
        self.count = checks.require_length(dataset)
        self._dataset, self._augment = dataset, augment
        # What the iterator, which reads on from shard to shard, gives next.
        self._view, self._batch, self._iterator = None, 0, None

    def start(self):
        """All batches, not augmented."""
        return self._dataset

    def inputs(self, view, first, end):
        """Yields the x of the batches of a shard, one after the other.

        Args:
          view: int.
          first: int, batch.
          end: int, the batch after the last one; if the number of batches is
            not known, the data may end before.

        Raises:
          ValueError: if there are fewer batches, or more, than there are said
            to be.
        """
        if self._view != view or self._batch > first:
            self._begin(view, first)
        while self._batch < end and (element := self._next()) is not None:
            if self._batch > first:
                yield examples.inputs(element)
        if self.count is None:
            return
        if self._batch < end:
            self._refuse(self._batch)
        if end == self.count and self._next() is not None:
            self._refuse("more")

    def _begin(self, view, first):
        shown = examples.view(self._dataset, view, self._augment, skip=first)
        self._iterator = iter(examples.prompt(shown.prefetch(2)))
        self._view, self._batch = view, first

    def _next(self):
        try:
            element = next(self._iterator, None)
        except BaseException:
            self._view = None  # nobody knows what it would give next
            raise
        self._batch += element is not None
        return element

    def _refuse(self, found):
        raise ValueError(
            f"`dataset` must yield {self.count} batches, as many as its "
            f"cardinality told. Received: {found}"
        )


class Ranges:
    """Batches of the examples that a function of their range gives."""

    def __init__(self, function, augment, number, batch_size):
        """See `of`."""
        self.count = math.ceil(number / batch_size)
        self._function, self._augment = function, augment
        self._number, self._size = number, batch_size
        self._signature = None  # of all ranges, as the first one has it

    def start(self):
        """As many of the first batches as `examples.start` reads."""
        batches = math.ceil(examples.EXAMPLES_OF_START / self._size)
        return self._batches(0, batches)

    def inputs(self, view, first, end):
        """Yields the x of the batches of a shard, one after the other.

        Args:
          view: int.
          first: int, batch.
          end: int, the batch after the last one.

        Raises:
          ValueError: if the function returns no such examples.
        """
        shown = examples.view(
            self._batches(first, end),
            view,
            self._augment,
            first=first * self._size,
        )
        for element in examples.prompt(shown.prefetch(2)):
            yield examples.inputs(element)

    def _batches(self, first, end):
        last = min(end * self._size, self._number)
        found = sources.of_range(self._function, first * self._size, last)
        batches = found.batch(self._size)
        signature = examples.signature(batches)
        self._signature = self._signature or signature
        if signature != self._signature:
            raise ValueError(
                "`dataset` must be a function (first, last) that returns "
                "examples of the same dtypes and shapes for every range. "
                f"Received: {self._signature} at first, {signature} of "
                f"({first * self._size}, {last})"
            )
        return batches

"""Batches as a pure function of the step, of data in memory or of any size.

Order and augmentation depend on the seed and the step alone, so that a run that
was killed and resumed sees what an uninterrupted one sees. Every epoch has an
order of its own; the few cases that are left over at its end sit it out.
"""

import dataclasses

import tensorflow as tf

from trainers.distill.sources import parts

# Keeps the draws of augmentation apart from those of the order.
_AUGMENT_STREAM = 1_000_003
# Of a data set whose cases take no more, every order is as likely as any other.
# Of a larger one cases are shuffled with those near to them.
BUFFER_BYTES = 2**29
# What may be held in memory as it comes out of the pipeline.
MEMORY_BYTES = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """All cases of a data set, in memory.

    Attributes:
      tensors: nest of `[cases, ...]` tensors, as the elements are nested.
    """

    tensors: object

    @property
    def dataset(self):
        """`tf.data.Dataset` of single cases."""
        return tf.data.Dataset.from_tensor_slices(self.tensors)


def loaded(dataset, *, cases, most_bytes=MEMORY_BYTES):
    """A data set in memory, if it is small.

    Its batches are then made many times as fast, and a run resumes at once.

    Args:
      dataset: `tf.data.Dataset` of single cases.
      cases: int, how many there are.
      most_bytes: int; a data set that takes more is returned as it is.

    Returns:
      `Loaded`, or `dataset`.
    """
    if cases * _bytes_of_a_case(dataset) > most_bytes:
        return dataset
    # One batch of all: parts that are joined would be in memory twice.
    return Loaded(dataset.batch(cases).get_single_element())


def loaded_views(dataset, *, cases, views, most_bytes=MEMORY_BYTES):
    """Views of the same cases, one after another, as `batches` takes them.

    Args:
      dataset: `tf.data.Dataset` of single cases, all of a view before the next.
      cases: int, how many a view has.
      views: int.
      most_bytes: int; what takes more stays on disk.

    Returns:
      List of `Loaded`, which one pass has read, or of `tf.data.Dataset`s.
    """
    if views * cases * _bytes_of_a_case(dataset) > most_bytes:
        return [dataset.skip(i * cases).take(cases) for i in range(views)]
    return [Loaded(tensors) for tensors in dataset.batch(cases)]


def mapped(source, function):
    """A function of the cases of a `Loaded`, or of a data set.

    Args:
      source: `Loaded` or `tf.data.Dataset`.
      function: of a case, or of many stacked, that does not ask which.
    """
    if isinstance(source, Loaded):
        return Loaded(function(*source.tensors))
    return source.map(function)


def chosen(source, rows, cases):
    """Some cases of a `Loaded`, or of a data set.

    Args:
      source: `Loaded` or `tf.data.Dataset` of single cases.
      rows: sorted int array of positions.
      cases: int, how many `source` has.
    """
    if len(rows) == cases:
        return source
    if isinstance(source, Loaded):
        return Loaded(
            tf.nest.map_structure(lambda t: tf.gather(t, rows), source.tensors)
        )
    return parts.chosen(source, rows, cases)


def steps_per_epoch(cases, batch_size):
    """How many batches an epoch has.

    Raises:
      ValueError: if there are fewer cases than a batch has.
    """
    if batch_size > cases:
        raise ValueError(
            f"--batch_size must be at most the number of training cases, "
            f"{cases}. Received: --batch_size={batch_size}"
        )
    return cases // batch_size


def batches(
    source,
    *,
    cases,
    batch_size,
    seed,
    first_step,
    last_step,
    augment=None,
    buffer_bytes=BUFFER_BYTES,
):
    """Batches from step to step.

    Args:
      source: what `loaded` returns, or a list of these, views of the same
        cases: an epoch shows one of them, the next epoch the next. Elements
        are a tuple, x first, or x alone.
      cases: int, how many there are.
      batch_size: int; at most the number of cases.
      seed: int.
      first_step: int, counted from 0 over all epochs.
      last_step: int, exclusive.
      augment: function (x, seed) of a case and an int32 seed `[2]`, as
        `augmentation.of_names` makes it, or None.
      buffer_bytes: int, what is shuffled at a time, of cases that are not in
        memory.

    Returns:
      A `tf.data.Dataset` of `last_step - first_step` batches, nested as cases
      are.

    Raises:
      ValueError: if there are fewer cases than a batch has.
    """
    steps = steps_per_epoch(cases, batch_size)
    views = source if isinstance(source, list) else [source]
    plan = _Plan(cases, batch_size, seed, steps, first_step, last_step, augment)
    streams = [
        plan.of_view(view, number, len(views), buffer_bytes)
        for number, view in enumerate(views)
    ]
    if len(streams) == 1:
        [shown] = streams
    else:
        shown = tf.data.Dataset.choose_from_datasets(
            streams,
            tf.data.Dataset.range(first_step, last_step).map(
                lambda step: step // steps % len(views)
            ),
        )
    return shown.apply(
        tf.data.experimental.assert_cardinality(last_step - first_step)
    ).prefetch(4)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Which batches are wanted; see `batches`."""

    cases: int
    batch_size: int
    seed: int
    steps: int
    first_step: int
    last_step: int
    augment: object

    def of_view(self, view, number, views, buffer_bytes):
        """The batches of all epochs that show one of the views."""
        epochs = range(
            self.first_step // self.steps, -(-self.last_step // self.steps)
        )
        mine = [epoch for epoch in epochs if epoch % views == number]
        if not mine:
            # Nothing is chosen from it; it only has to be of the same kind.
            mine = [epochs.start]
        if isinstance(view, Loaded):
            make = self._of_tensors(view.tensors)
        else:
            buffer = max(1, buffer_bytes // _bytes_of_a_case(view))
            make = self._of_stream(view, min(buffer, self.cases))
        return tf.data.Dataset.from_tensor_slices(
            tf.constant(mine, tf.int64)
        ).flat_map(lambda epoch: make(epoch, *self._places(epoch)))

    def _places(self, epoch):
        """The first place of an epoch's order that is wanted, and the end."""
        first = tf.maximum(self.first_step - epoch * self.steps, 0)
        last = tf.minimum(self.last_step - epoch * self.steps, self.steps)
        return first * self.batch_size, last * self.batch_size

    def _of_tensors(self, tensors):
        tensors = tf.nest.map_structure(tf.convert_to_tensor, tensors)

        def gathered(epoch, places):
            rows = tf.random.experimental.index_shuffle(
                places, seed=self._key(epoch), max_index=self.cases - 1
            )
            return tf.nest.map_structure(lambda t: tf.gather(t, rows), tensors)

        def of_epoch(epoch, first, last):
            places = tf.data.Dataset.range(first, last)
            if self.augment is None:
                return self._batched(places).map(
                    lambda some: gathered(epoch, some),
                    num_parallel_calls=2,
                    deterministic=True,
                )
            return self._batched(
                places.map(
                    lambda place: self._shown(
                        epoch, place, gathered(epoch, place)
                    ),
                    num_parallel_calls=tf.data.AUTOTUNE,
                    deterministic=True,
                )
            )

        return of_epoch

    def _of_stream(self, dataset, buffer):
        def of_epoch(epoch, first, last):
            # Of the function's graph alone: else the order depended on the
            # program's seed too. With 0 `shuffle` takes no tensor as a seed.
            if not tf.executing_eagerly():
                tf.random.set_seed(1 + self.seed % 2**30)
            placed = (
                dataset.shuffle(
                    buffer, seed=epoch, reshuffle_each_iteration=False
                )
                .enumerate()
                .skip(first)
                .take(last - first)
            )
            return self._batched(
                placed.map(
                    lambda place, case: self._shown(epoch, place, case),
                    num_parallel_calls=tf.data.AUTOTUNE,
                    deterministic=True,
                )
            )

        return of_epoch

    def _batched(self, dataset):
        return dataset.batch(self.batch_size, drop_remainder=True)

    def _shown(self, epoch, place, case):
        """A case as it looks in an epoch."""
        if self.augment is None:
            return case
        seed = tf.random.stateless_uniform(
            [2],
            self._key(epoch * self.cases + place, _AUGMENT_STREAM),
            minval=None,
            maxval=None,
            dtype=tf.int32,
        )
        if not isinstance(case, tuple):
            return self.augment(case, seed)
        x, *others = case
        return (self.augment(x, seed), *others)

    def _key(self, number, stream=0):
        return tf.stack([tf.constant(self.seed + stream, tf.int64), number])


def _bytes_of_a_case(dataset):
    specs = tf.nest.flatten(dataset.element_spec)
    if not all(spec.shape.is_fully_defined() for spec in specs):
        # The first case tells, as all have the same shape.
        specs = tf.nest.flatten(next(iter(dataset)))
    return sum(spec.shape.num_elements() * spec.dtype.size for spec in specs)

"""Soft targets of examples that come with their numbers, in any order."""

import dataclasses
import math
import os
from collections.abc import Callable
from typing import NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms import window

from kdtf.beam import _numbers, _shared
from kdtf.soft_targets import checks, inference, writer
from kdtf.soft_targets import examples as data_examples


class WriteNumberedSoftTargets(beam.PTransform):
    """Writes soft targets of a `PCollection` of pairs (number, example).

    The numbers are 0, 1, 2, ..., each once, and the order of the store. The
    examples themselves may come in any order: they are grouped into batches by
    their numbers, each batch goes to any of the workers, which runs the teacher
    on it, and what the store has of it to the worker that writes its shard. The
    bytes are those of `SoftTargets.write` on the same examples in that order,
    if it is told how many there are.

    Numbers, and not the examples' own keys, since `SoftTargets.join` reads data
    and targets side by side, without any index.

    Example:
      >>> import apache_beam as beam
      >>> import kdtf.beam
      >>> teacher.save("teacher.keras")
      >>> with beam.Pipeline("FnApiRunner") as pipeline:
      ...     written = (
      ...         pipeline
      ...         | beam.Create(list(enumerate(x))[::-1])
      ...         | kdtf.beam.WriteNumberedSoftTargets(
      ...             "targets",
      ...             lambda: keras.saving.load_model("teacher.keras"),
      ...             batch_size=4,
      ...         )
      ...     )
      >>> joined = kdtf.SoftTargets("targets").join(dataset)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        teacher: Callable[[], Callable],
        *,
        examples: int | None = None,
        batch_size: int,
        fingerprint: str | None = None,
        dtype: str = "float16",
        temperature: float | None = None,
        top_k: int | None = None,
        views: int = 1,
        augment: Callable | None = None,
        shards: int = 16,
        head: str = "softmax",
    ) -> None:
        """Checks the arguments; nothing is read or written yet.

        Args:
          directory: as of `WriteSoftTargets`.
          teacher: as of `WriteSoftTargets`.
          examples: int, the number of all examples; None to count them, if
            nothing can have been lost on the way.
          batch_size: int, what the teacher gets at once.
          fingerprint: str that names a teacher without Keras weights; for this
            and all that follows see `SoftTargets.write`.
          dtype: "float16", "float32" or "bfloat16".
          temperature: float, for an arithmetic ensemble and for `top_k`.
          top_k: int, how many of the largest logits to keep; None for all.
          views: int, number of augmented views of every example.
          augment: stateless function (x, seed) of one example.
          shards: int, number of files per view; what one of them holds must fit
            into a worker's memory.
          head: "softmax" or "sigmoid".

        Raises:
          ValueError: if an argument is invalid. While the pipeline runs (see
            `WriteSoftTargets`) if a number is missing, comes twice, or cannot
            be one; if an example is of another dtype or shape than the first;
            and as `SoftTargets.write`.
        """
        super().__init__()
        self._options = {
            "fingerprint": fingerprint,
            "dtype": dtype,
            "temperature": temperature,
            "top_k": top_k,
            "views": views,
            "augment": augment,
            "shards": shards,
            "head": head,
        }
        _shared.require_arguments(teacher, batch_size, self._options)
        if examples is not None:
            checks.require_count("examples", examples)
        self._directory = _shared.absolute(directory)
        self._teacher = _shared.OncePerProcess(teacher)
        self._examples, self._batch_size = examples, batch_size

    def expand(self, pairs: beam.PCollection) -> beam.PCollection:
        """Returns a `PCollection` of the store's path, when it is finished."""
        numbered = (
            pairs
            | "One window" >> beam.WindowInto(window.GlobalWindows())
            | "Number" >> beam.Map(_numbers.numbered)
        )
        job = self._planned(numbered)
        planned = beam.pvalue.AsSingleton(job)
        size = self._batch_size
        labelled = (
            numbered
            | "By batch" >> beam.Map(lambda pair: (pair[0] // size, pair))
            | "Batches" >> beam.GroupByKey()
            | "Label"
            >> beam.ParDo(_Label(self._teacher, self._options), planned)
        )
        shards = job | "List shards" >> beam.FlatMap(_expected)
        summaries = (
            {"labelled": labelled, "expected": shards}
            | "Shards" >> beam.CoGroupByKey()
            | "Write shards" >> beam.ParDo(_Write(), planned)
        )
        return (
            job
            | "Plan alone" >> beam.Map(lambda job: job.plan)
            | "Commit"
            >> beam.ParDo(_shared.Commit(), beam.pvalue.AsList(summaries))
        )

    def _planned(self, numbered):
        """The `_Job`, of which the first examples tell what the store is."""
        if self._examples is None:
            count = numbered | "Count" >> beam.combiners.Count.Globally()
        else:
            count = numbered.pipeline | "Count" >> beam.Create([self._examples])
        # As many as `examples.start` reads.
        some = data_examples.EXAMPLES_OF_START / self._batch_size
        some = math.ceil(some) * self._batch_size
        first = numbered | "First" >> beam.Filter(lambda p: 0 <= p[0] < some)
        plan = _Plan(
            self._directory,
            self._teacher,
            {**self._options, "batch_size": self._batch_size},
            some,
        )
        return count | "Plan" >> beam.ParDo(plan, beam.pvalue.AsList(first))


class _Job(NamedTuple):
    """What is to be done.

    Attributes:
      plan: `writer.Plan`, an `outline`.
      examples: int, number of all examples.
      batch_size: int.
      missing: set of (view, index) of the shards that are not there yet.
    """

    plan: writer.Plan
    examples: int
    batch_size: int
    missing: set[tuple[int, int]]

    def numbers(self, first: int, end: int) -> range:
        """The numbers of the examples of some batches."""
        last = min(end * self.batch_size, self.examples)
        return range(first * self.batch_size, last)


class _Plan(beam.DoFn):
    """Plans the store from its first examples."""

    def __init__(self, directory, teacher, options, some):
        self._directory, self._teacher = directory, teacher
        self._options, self._some = options, some

    def process(self, examples, first):
        if examples == 0:
            raise _numbers.refusal(0, "none at all")
        known = range(min(self._some, examples))
        x = _numbers.in_order(first, known, examples)
        options = dict(self._options)
        size = options.pop("batch_size")
        batches = math.ceil(examples / size)
        data = tf.data.Dataset.from_tensor_slices((x,)).batch(size)
        data = data.apply(tf.data.experimental.assert_cardinality(batches))
        plan = _shared.outline(
            writer.plan(self._directory, self._teacher.get(), data, **options)
        )
        shards = _shared.shards_of(plan)
        missing = {one for one in shards if not plan.path(*one).exists()}
        yield _Job(plan, examples, size, missing)


class _Label(beam.DoFn):
    """Runs the teacher on a batch, and tells of it what the store keeps."""

    def __init__(self, teacher, options):
        self._shared_teacher, self._options = teacher, options
        self._plan = None

    def setup(self):
        self._teacher = self._shared_teacher.get()

    def process(self, numbered_batch, job):
        batch, pairs = numbered_batch
        plan, expected = job.plan, job.numbers(batch, batch + 1)
        if plan.classes is None:
            return
        x = _numbers.in_order(
            pairs, expected, job.examples, plan.identity.examples
        )
        x = tf.nest.map_structure(tf.convert_to_tensor, x)
        self._prepare(plan)
        index = (
            (batch + 1) * plan.identity.shards - 1
        ) // plan.identity.batches
        for view in range(plan.identity.views):
            if (view, index) in job.missing:
                shown = self._show(x, expected[0], view)
                yield (view, index), (batch, self._infer(shown, batch))
                _shared.counter("batches").inc()
                _shared.counter("examples").inc(len(expected))

    def _prepare(self, plan):
        """Makes the functions that label, for the first batch."""
        if self._plan == plan:
            return
        options = self._options
        name = inference.identify(self._teacher, options["fingerprint"])
        _shared.require_same(plan.identity, {"teacher": name})
        self._infer = inference.function(
            self._teacher,
            plan.fields,
            plan.classes,
            **{
                name: options[name] for name in ("temperature", "top_k", "head")
            },
        )
        self._show = _augmentation(options["augment"])
        self._plan = plan


class _Write(beam.DoFn):
    """Writes a shard of the batches that are labelled."""

    def process(self, shard, job):
        (view, index), found = shard
        plan = dataclasses.replace(
            job.plan,
            source=_Labelled(dict(found["labelled"]), job),
            infer=lambda arrays, batch: arrays,
        )
        summary, _ = _shared.write_shard(plan, view, index)
        yield summary


class _Labelled:
    """The `batches.Ranges` of a shard whose batches are labelled already."""

    def __init__(self, arrays, job):
        self._arrays, self._job = arrays, job

    def inputs(self, view, first, end):
        """What the store keeps of each batch."""
        missing = [
            number
            for batch in range(first, end)
            if batch not in self._arrays
            for number in self._job.numbers(batch, batch + 1)
        ]
        if missing:
            raise _numbers.refusal(
                self._job.examples,
                f"none of the numbers {_numbers.some(missing)}",
            )
        return iter([self._arrays[batch] for batch in range(first, end)])


def _expected(job):
    return [(shard, None) for shard in _shared.shards_of(job.plan)]


def _augmentation(augment):
    """Function from x, the number of the first example, and the view to x."""
    if augment is None:
        return lambda x, first, view: x

    @tf.function(reduce_retracing=True)
    def show(x, first, view):
        rows = tf.shape(tf.nest.flatten(x)[0])[0]
        seeds = data_examples.seeds(first, rows, view)
        return data_examples.augmented(augment, x, seeds)

    def on_cpu(x, first, view):
        # Where tf.data augments, which is what `join` does.
        with tf.device("CPU"):
            return show(x, tf.constant(first, tf.int64), tf.constant(view))

    return on_cpu

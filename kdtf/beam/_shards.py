"""Soft targets of data that each worker reads for itself, shard by shard."""

import functools
import os
from collections.abc import Callable, Iterator

import apache_beam as beam
import tensorflow as tf

from kdtf._training import data_errors
from kdtf.beam import _shared
from kdtf.soft_targets import checks, sources, writer
from kdtf.soft_targets import shards as shard_files


class WriteSoftTargets(beam.PTransform):
    """Writes soft targets of a function of a range of examples.

    The workers share the shards of all views between them, so that there should
    be several `shards` for each. The bytes are those of `SoftTargets.write` on
    the same data.

    Example:
      >>> import apache_beam as beam
      >>> import kdtf.beam
      >>> teacher.save("teacher.keras")
      >>> rows = x  # or files, of which `dataset` reads a part
      >>> def dataset(first, last):
      ...     return tf.data.Dataset.from_tensor_slices(rows[first:last])
      >>> with beam.Pipeline("FnApiRunner") as pipeline:
      ...     written = pipeline | kdtf.beam.WriteSoftTargets(
      ...         "targets",
      ...         lambda: keras.saving.load_model("teacher.keras"),
      ...         dataset,
      ...         examples=8,
      ...         batch_size=4,
      ...     )
      >>> joined = kdtf.SoftTargets("targets").join(dataset(0, 8))
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        teacher: Callable[[], Callable],
        dataset: Callable[[int, int], tf.data.Dataset],
        *,
        examples: int,
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
          directory: path of a folder that all workers see.
          teacher: function without arguments that returns the teacher, which
            may be what `SoftTargets.write` takes. Every process of a worker
            calls it once; its threads share the teacher.
          dataset: function (first, last) to a `tf.data.Dataset` of the single
            examples first to last - 1.
          examples: int, number of all examples.
          batch_size: int, what the teacher gets at once.
          fingerprint: str that names a teacher without Keras weights; for this
            and all that follows see `SoftTargets.write`.
          dtype: "float16", "float32" or "bfloat16".
          temperature: float, for an arithmetic ensemble and for `top_k`.
          top_k: int, how many of the largest logits to keep; None for all.
          views: int, number of augmented views of every example.
          augment: stateless function (x, seed) of one example.
          shards: int, number of files per view.
          head: "softmax" or "sigmoid".

        Raises:
          ValueError: if an argument is invalid. While the pipeline runs also
            for all that `SoftTargets.write` refuses; Beam adds the step's name
            to it, and a runner with processes of its own makes a RuntimeError
            of it.
        """
        super().__init__()
        options = {
            "fingerprint": fingerprint,
            "dtype": dtype,
            "temperature": temperature,
            "top_k": top_k,
            "views": views,
            "augment": augment,
            "shards": shards,
            "head": head,
        }
        directory = _shared.absolute(directory)
        _shared.require_arguments(teacher, batch_size, options)
        if not sources.is_function(dataset):
            raise ValueError(
                "`dataset` must be a function (first, last) that returns a "
                "tf.data.Dataset of the single examples first to last - 1, "
                "which can be sent to the workers, unlike a data set. For "
                "arrays: lambda first, last: "
                "tf.data.Dataset.from_tensor_slices(x[first:last]). Received: "
                f"a {type(dataset).__name__}"
            )
        checks.require_sizes(examples, batch_size)
        options |= {"examples": examples, "batch_size": batch_size}
        self._plan = _shared.OncePerProcess(
            functools.partial(_plan, directory, teacher, dataset, options)
        )

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        """Returns a `PCollection` of the store's path, when it is finished."""
        plan = (
            pbegin
            | "Start" >> beam.Create([None])
            | "Plan" >> beam.ParDo(_Plan(self._plan))
        )
        summaries = (
            plan
            | "List shards" >> beam.FlatMap(_shared.shards_of)
            | "Spread shards" >> beam.Reshuffle()
            | "Write shards"
            >> beam.ParDo(_Write(self._plan), beam.pvalue.AsSingleton(plan))
        )
        return plan | "Commit" >> beam.ParDo(
            _shared.Commit(), beam.pvalue.AsList(summaries)
        )


def _plan(directory, load, dataset, options):
    with data_errors.in_plain_words("dataset"):
        return writer.plan(directory, load(), dataset, **options)


class _Plan(beam.DoFn):
    """What the first worker plans, less what cannot be sent to others."""

    def __init__(self, plan: _shared.OncePerProcess) -> None:
        self._plan = plan

    def process(self, _: None) -> Iterator[writer.Plan]:
        yield _shared.outline(self._plan.get())


class _Write(beam.DoFn):
    """Writes the shards that it gets, unless they are there."""

    def __init__(self, plan: _shared.OncePerProcess) -> None:
        self._shared_plan = plan

    def setup(self) -> None:
        self._plan = self._shared_plan.get()

    def process(
        self, shard: tuple[int, int], first: writer.Plan
    ) -> Iterator[shard_files.Summary]:
        own = self._plan.identity.content()
        _shared.require_same(first.identity, own)
        with data_errors.in_plain_words("dataset"):
            summary, written = _shared.write_shard(
                self._plan, *shard, _shared.counter("batches").inc
            )
        if written:
            _shared.counter("examples").inc(summary.examples)
        yield summary

"""TFRecord files as numbered examples."""

import itertools
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import tensorflow as tf

from kdtf import _disk
from kdtf.soft_targets import examples


class ReadNumberedTFRecords(beam.PTransform):
    """Reads TFRecord files as pairs (number, example).

    The files are taken in the order of their names, and their records one
    after another, so that the numbers are the positions in
    `tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(file_pattern)))`. All files
    are read twice, at first to count their records. A file is read by one
    worker: there should be some for each.

    Example:
      >>> import apache_beam as beam
      >>> import kdtf.beam
      >>> with tf.io.TFRecordWriter("rows.tfrecord") as file:
      ...     for row in x:
      ...         file.write(row.tobytes())
      >>> with beam.Pipeline("FnApiRunner") as pipeline:
      ...     numbered = pipeline | kdtf.beam.ReadNumberedTFRecords(
      ...         "rows.tfrecord", lambda row: tf.io.decode_raw(row, "float32")
      ...     )
      ...     last = numbered | beam.Filter(lambda pair: pair[0] == 7)
      ...     shape = last | beam.Map(lambda pair: print(pair[1].shape))
      (4,)
    """

    def __init__(
        self, file_pattern: str, parse: Callable[[tf.Tensor], Any]
    ) -> None:
        """Reads nothing yet.

        Args:
          file_pattern: str, for `tf.io.gfile.glob`, of uncompressed TFRecord
            files that all workers can read.
          parse: function of a record, a scalar string tensor, to one example as
            `kdtf.SoftTargets.write` takes it, `x`, `(x, y)` or `(x, y,
            sample_weight)`, unbatched. It is traced, as by `Dataset.map`: use
            the same for the student's data.

        Raises:
          ValueError: if an argument is invalid; while the pipeline runs, if
            there is no such file, one is damaged, or `parse` fails at a
            record.
        """
        super().__init__()
        if not (isinstance(file_pattern, str) and file_pattern):
            raise ValueError(
                "`file_pattern` must be a string, such as "
                f"'train-*.tfrecord'. Received: {file_pattern!r}"
            )
        if not callable(parse):
            raise ValueError(
                "`parse` must be a function of a record, a string tensor, to "
                f"an example. Received: {parse!r}"
            )
        self._file_pattern = file_pattern
        self._parse = parse

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        """Returns the `PCollection` of pairs (number, example)."""
        paths = (
            pbegin
            | "Pattern" >> beam.Create([self._file_pattern])
            | "Match" >> beam.FlatMap(_matching)
            | "Spread files" >> beam.Reshuffle()
        )
        firsts = (
            paths
            | "Count records" >> beam.Map(lambda path: (path, _count(path)))
            | "Counts" >> beam.combiners.ToList()
            | "Number files" >> beam.Map(_firsts)
        )
        reader = beam.ParDo(_Read(self._parse), beam.pvalue.AsSingleton(firsts))
        return paths | "Read" >> reader


class _Read(beam.DoFn):
    """Reads the records of a file, with their numbers."""

    def __init__(self, parse):
        self._parse = parse

    def process(self, path, firsts):
        number = first = firsts[path]
        parsed = tf.data.TFRecordDataset(path).map(
            self._parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        try:
            for example in examples.prompt(parsed).as_numpy_iterator():
                yield number, example
                number += 1
        except tf.errors.OpError as error:  # all could be read to be counted
            raise ValueError(
                "`parse` must make an example of every record. Received: "
                f"record {number - first} of {path}, at which it failed: "
                f"{_disk.reason(error)}"
            ) from error


def _matching(pattern: str) -> list[str]:
    paths = sorted(tf.io.gfile.glob(pattern))
    if not paths:
        raise ValueError(
            "`file_pattern` must match files that the workers can read. "
            f"Received: {pattern!r}, which matches none"
        )
    return paths


def _count(path):
    records = examples.prompt(tf.data.TFRecordDataset(path).batch(256))
    try:
        return sum(len(some) for some in records)
    except tf.errors.OpError as error:
        raise ValueError(
            "`file_pattern` must match uncompressed TFRecord files. Received: "
            f"{path}, which is damaged, or something else "
            f"({_disk.reason(error)})"
        ) from error


def _firsts(counts):
    """Dict from path to the number of its first example.

    Args:
      counts: list of (path, number of records), in any order.
    """
    paths, sizes = zip(*sorted(counts), strict=True)
    before = itertools.accumulate(sizes[:-1], initial=0)
    return dict(zip(paths, before, strict=True))

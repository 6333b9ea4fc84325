"""Soft targets written by many workers, on Apache Beam.

Both transforms write what `kdtf.SoftTargets.write` would, byte for byte, into a
folder that all workers see under the same path. They differ in what they get:

- `WriteSoftTargets` a function of a range of examples, which each worker calls
  for the shards that it writes. Nothing of the data passes through Beam.
- `WriteNumberedSoftTargets` a `PCollection` of pairs (number, example), in any
  order, such as `ReadNumberedTFRecords` makes. The teacher's work is spread
  batch by batch, whatever the number of shards.

A bundle that fails and is tried again, or is run twice at once, does no harm:
a shard is written whole, under its name, by the first who has it. A run that
was killed and is started again keeps the shards that are complete.

While it runs, and at the end through `PipelineResult.metrics()`, these counters
of the namespace "kdtf.beam" tell how far it is: `examples` and `batches` that
the teacher has labelled, for each view anew; `shards_written`; and
`shards_found`, of an earlier run. What is tried twice may be counted twice.
"""

try:
    import apache_beam as _beam  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "apache_beam":
        raise
    raise ImportError(
        "kdtf.beam runs on Apache Beam, which is not installed: "
        'pip install "kdtf[beam]"'
    ) from error

from kdtf.beam._numbered import WriteNumberedSoftTargets
from kdtf.beam._reading import ReadNumberedTFRecords
from kdtf.beam._shards import WriteSoftTargets

__all__ = [
    "ReadNumberedTFRecords",
    "WriteNumberedSoftTargets",
    "WriteSoftTargets",
]

"""What both ways of labelling share: the teacher, shards, counters, the end."""

import dataclasses
import inspect
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import keras
from apache_beam.utils.shared import Shared

from kdtf import _disk
from kdtf.soft_targets import checks, shards, writer
from kdtf.soft_targets import format as store_format


class OncePerProcess:
    """An object that a worker's process makes once, for all of its threads.

    This can be sent to workers, unlike the object.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` returns the object; it is not called yet."""
        self._make, self._shared = make, Shared()

    def get(self) -> Any:
        """The object, made now if it has not been."""
        # Kept: Beam's own reference goes when another object is shared.
        self._holder = self._shared.acquire(lambda: _Holder(self._make()))
        return self._holder.held


class _Holder:
    """Holds what weak references, by which Beam shares, may not point to."""

    def __init__(self, held: Any) -> None:
        self.held = held


def absolute(directory: Any) -> pathlib.Path:
    """The store's path, for workers that may run in other folders.

    Raises:
      ValueError: if it is none on a disk.
    """
    return _disk.local(directory, "directory")


def require_arguments(teacher: Any, batch_size: Any, options: dict) -> None:
    """Raises ValueError if an argument cannot be right, before anything runs.

    Args:
      teacher: function that loads one.
      batch_size: int.
      options: dict, the other options of `SoftTargets.write`.
    """
    if not _is_loader(teacher):
        raise ValueError(
            "`teacher` must be a function without arguments that loads the "
            "teacher, such as lambda: keras.saving.load_model(path): every "
            f"worker calls it once. Received: teacher={teacher!r}"
        )
    checks.require_count("batch_size", batch_size)
    checks.require_options(
        options["dtype"],
        options["top_k"],
        options["views"],
        options["augment"],
        options["shards"],
        batch_size,
    )


def _is_loader(teacher):
    if isinstance(teacher, keras.Layer) or not callable(teacher):
        return False
    try:
        inspect.signature(teacher).bind()
    except TypeError:
        return False
    except ValueError:  # a builtin, which tells nothing
        pass
    return True


def counter(name: str) -> Any:
    """One of Beam's counters."""
    return beam.metrics.Metrics.counter("kdtf.beam", name)


def outline(plan: writer.Plan) -> writer.Plan:
    """What of a plan can be sent to another worker."""
    return dataclasses.replace(plan, source=None, infer=None)


def shards_of(plan: writer.Plan) -> list[tuple[int, int]]:
    """The (view, index) of every shard; none of a store that was finished.

    Args:
      plan: an `outline`.
    """
    return [] if plan.classes is None else plan.shards()


def write_shard(
    plan: writer.Plan,
    view: int,
    index: int,
    tick: Callable[[int], Any] = lambda batches: None,
) -> tuple[shards.Summary, bool]:
    """`writer.write_shard`, counted, and whether the shard was not there yet.

    Args:
      plan: `Plan`.
      view: int.
      index: int, of the shard in its view.
      tick: function of the number of batches that are written.
    """
    is_new = not plan.path(view, index).exists()
    summary = writer.write_shard(
        plan, view, index, tick if is_new else lambda batches: None
    )
    counter("shards_written" if is_new else "shards_found").inc()
    return summary, is_new


def require_same(first: store_format.Identity, own: dict[str, Any]) -> None:
    """Raises ValueError if a worker has not what the first one planned with.

    Args:
      first: `Identity` that it planned.
      own: dict from some fields of it to what they are on this worker.
    """
    for name, value in own.items():
        before = getattr(first, name)
        if value != before:
            raise ValueError(
                "`teacher` and `dataset` must be the same on every worker. "
                f"Received: {name} {before} on the first and {value} on another"
            )


class Commit(beam.DoFn):
    """Finishes the store of a plan, all of whose shards have been written."""

    def process(
        self, plan: writer.Plan, summaries: Iterable[shards.Summary]
    ) -> Iterator[str]:
        if not writer.commit(plan, summaries):
            raise ValueError(
                "`directory` must be on a disk that all workers share, under "
                f"the same path. Received: {plan.directory}, where shards are "
                "missing that other workers have written"
            )
        yield str(plan.directory)

"""Runs a teacher once over a data set and writes its soft targets.

The unit of work is a shard of a view. Every process plans the same, writes the
shards that are its own, and whoever finds all of them there commits the store.
No process waits for another, and nothing is locked: of what two of them write
at once, the first one's stays, and the other's is the same.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kdtf import _atomic, _disk
from kdtf.soft_targets import batches, checks, inference, sources
from kdtf.soft_targets import examples as data_examples
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import manifest as store_manifest
from kdtf.soft_targets import shards as shard_files


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a process needs to write any shard of a store.

    Attributes:
      directory: `pathlib.Path`.
      identity: `Identity`.
      source: `batches.Stream` or `batches.Ranges`.
      classes: int; None, as are the next two, if the store is there already.
      fields: what `format.fields` returned.
      infer: what `inference.function` returned.
    """

    directory: pathlib.Path
    identity: store_format.Identity
    source: Any
    classes: int | None
    fields: dict | None
    infer: Callable | None

    @property
    def is_finished(self):
        """Whether the store was there already when this was planned."""
        return self.infer is None

    def shards(self, shard_index=None, shard_count=None):
        """List of (view, index): all shards, or the share of one process.

        They are numbered view by view. In a share is every one whose number is
        `shard_index` modulo `shard_count`. The length of the data must be
        known.
        """
        views, shards = self.identity.views, self.identity.shards
        every = itertools.product(range(views), range(shards))
        return list(itertools.islice(every, shard_index, None, shard_count))

    def path(self, view, index):
        """Path of a shard."""
        return self.directory / self.identity.shard(view, index)


def plan(
    directory,
    teacher,
    data,
    *,
    fingerprint=None,
    examples=None,
    batch_size=None,
    dtype="float16",
    temperature=None,
    top_k=None,
    views=1,
    augment=None,
    shards=16,
    head="softmax",
):
    """Checks all that was given, and writes nothing.

    Args:
      directory: path of the store, and all others: see `SoftTargets.write`.

    Returns:
      `Plan`. Every process that is given the same plans the same.

    Raises:
      ValueError: if an argument is invalid, the data are not the same when
        they are read again, or the directory holds something else.
    """
    directory = _disk.local(directory, "directory")
    checks.require_options(dtype, top_k, views, augment, shards, batch_size)
    inference.require_teacher(teacher, fingerprint, temperature, top_k, head)
    source = batches.of(data, augment, examples, batch_size)
    # Before an example is read: it says what cannot be stored.
    described = data_examples.signature(source.start())
    x, start = _start(source, augment)
    if sources.is_function(data):
        checks.require_range(data, examples, source.start())
    depends_on_t = inference.depends_on_temperature(teacher, top_k)
    count = source.count
    identity = store_format.Identity(
        teacher=inference.identify(teacher, fingerprint),
        examples=described,
        start=start,
        batches=count,
        dtype=dtype,
        top_k=top_k,
        temperature=float(temperature) if depends_on_t else None,
        views=views,
        shards=shards if count is None else min(shards, count),
        head=head,
    )
    _require_place(directory, identity)
    is_keras = isinstance(teacher, keras.Layer)
    is_finished = (directory / store_format.MANIFEST).exists()
    finished = Plan(directory, identity, source, None, None, None)
    if is_finished and not is_keras:
        return finished
    classes, axes = inference.output_shape(teacher, x, head)
    checks.require_top_k(top_k, classes)
    fields = store_format.fields(identity, classes, [None] * axes)
    infer = inference.function(
        teacher,
        fields,
        classes,
        temperature=temperature,
        top_k=top_k,
        head=head,
    )
    if is_keras:
        _require_same_answer(
            directory / identity.shard(0, 0), identity, infer, x
        )
    if is_finished:
        return finished
    return Plan(directory, identity, source, classes, fields, infer)


def write_shard(plan, view, index, tick=lambda batches: None):
    """Writes a shard, unless it is there already, which is then looked at.

    Args:
      plan: `Plan`.
      view: int.
      index: int, of the shard in its view.
      tick: function of an int: how many more batches are done.

    Returns:
      `Summary`; None if the data, of unknown length, end before this shard.

    Raises:
      ValueError: if the shard that is there is damaged or not this store's,
        another store is there, or the teacher or the data are not as they were.
      OSError: if it cannot be written.
    """
    path = plan.path(view, index)
    if not (path.exists() or plan.is_finished):
        try:
            return _write_shard(plan, view, index, tick)
        except OSError:
            # Another process may have had it, and finished and tidied up.
            if not path.exists():
                raise
    found = shard_files.look_at(path, plan.identity, view, index)
    tick(found.batches)
    return found


def commit(plan, summaries=()):
    """Makes a store that can be opened, if all of its shards are there.

    Args:
      plan: `Plan`.
      summaries: the `Summary`s of `write_shard`, from whichever process; all
        other shards are looked at. If the length of the data is not known, of
        all shards.

    Returns:
      Whether it is finished now; if not, shards are missing.

    Raises:
      ValueError: as `write_shard`, or if the views differ in length.
      OSError: if the manifest cannot be written.
    """
    directory, manifest = plan.directory, plan.directory / store_format.MANIFEST
    if not manifest.exists():
        views = _all_summaries(plan, summaries)
        if views is None:
            return False
        with shard_files.clear_errors(manifest):
            try:
                store_manifest.write(directory, _manifest(plan, views))
            except OSError:
                # Another process may have finished it, and tidied up.
                if not manifest.exists():
                    raise
    _require_place(directory, plan.identity)
    # It is finished all the same, also on a disk that may only be read.
    with contextlib.suppress(OSError):
        (directory / store_format.UNFINISHED).unlink(missing_ok=True)
    _atomic.remove_scratch(directory)
    return True


def write(
    directory, teacher, data, *, shard_index, shard_count, verbose, **options
):
    """See `kdtf.SoftTargets.write`; returns whether the store is finished."""
    planned = plan(directory, teacher, data, **options)
    identity = planned.identity
    shards = options["shards"] * options["views"]
    checks.require_share(shard_index, shard_count, identity.batches, shards)
    if planned.is_finished:
        return commit(planned)
    if identity.batches is None:
        bar = keras.utils.Progbar(None, verbose=verbose, unit_name="batch")
        return commit(planned, _write_until_the_end(planned, bar.add))
    share = planned.shards(shard_index, shard_count)
    total = sum(
        identity.first_batch_of(index + 1) - identity.first_batch_of(index)
        for _, index in share
    )
    bar = keras.utils.Progbar(total, verbose=verbose, unit_name="batch")
    found = [write_shard(planned, *shard, bar.add) for shard in share]
    return commit(planned, found)


def _start(source, augment):
    """The x of the first batch, and the hash of the first examples."""
    starts = [
        data_examples.start(data_examples.view(source.start(), 0, augment))
        for _ in range(2)
    ]
    checks.require_steady(source.start(), augment, starts)
    return starts[0]


def _require_place(directory, identity):
    """Raises ValueError if a directory holds anything but this store."""
    found = store_manifest.read_identity(directory)
    if found is None:
        checks.require_store_or_empty(directory)
    else:
        checks.require_same(directory, found, identity)


def _require_same_answer(path, identity, infer, x):
    """Raises if the first shard, where it is there, begins with other logits.

    A teacher may change while its weights do not. What another machine may
    make of the same teacher is no change, and one that draws numbers says
    something else each time.
    """
    before = shard_files.first_logits(path, identity)
    if before is None:
        return
    now, again = (infer(x, 0)["logits"].ravel() for _ in range(2))
    if not _are_close(now, before) and _are_close(now, again):
        raise ValueError(
            "`directory` must be another one for soft targets of another "
            "teacher: they are never overwritten. Delete it if they are not "
            f"needed any more. Received: {path}, to whose first batch a "
            "teacher of the same weights gave other answers"
        )


def _are_close(first, second):
    """Whether flat logits are the same, as far as they go, but for rounding."""
    count = min(len(first), len(second))
    first, second = (v[:count].astype(np.float32) for v in (first, second))
    off, size = (np.abs(v).sum() for v in (first - second, second))
    return off <= 0.05 * size + 1e-3 * count


def _write_until_the_end(plan, tick):
    """The `Summary`s of all shards of data whose length is not known."""
    found, identity = [], plan.identity
    for view in range(identity.views):
        for index in itertools.count():
            one = write_shard(plan, view, index, tick)
            if one is None:
                break
            found.append(one)
            end = identity.first_batch_of(index + 1)
            if one.batches < end - identity.first_batch_of(index):
                break
    return found


def _write_shard(plan, view, index, tick):
    """Writes a shard that is missing; arguments and result: `write_shard`."""
    identity, path = plan.identity, plan.path(view, index)
    first, end = (identity.first_batch_of(index + i) for i in (0, 1))
    inputs = plan.source.inputs(view, first, end)
    # Read before anything is made: there may be none.
    x = next(inputs, None)
    if x is None:
        return None
    rows, entries, tag = 0, [], identity.tag()
    with _claimed(plan), shard_files.writing(path) as put:
        for batch, one in enumerate(itertools.chain([x], inputs), first):
            arrays = plan.infer(one, batch)
            lengths = list(arrays["logits"].shape[1:-1])
            place = [view, batch, *lengths]
            put(store_format.encode(arrays, plan.fields, tag, place))
            rows += len(arrays["checksum"])
            entries.append(lengths)
            tick(1)
        _claim(plan)  # no shard without the file that says whose it is
    return shard_files.summary(path, rows, entries)


@contextlib.contextmanager
def _claimed(plan):
    """A directory for this store alone; as it was, if nothing comes of it."""
    is_new = not plan.directory.exists()
    try:
        _claim(plan)
        yield
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            _give_back(plan, is_new)
        raise


def _claim(plan):
    """Says in the directory what it is going to hold, before any other does."""
    directory = plan.directory
    with shard_files.clear_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    while (found := store_manifest.read_identity(directory)) is None:
        checks.require_store_or_empty(directory)
        with shard_files.clear_errors(directory / store_format.UNFINISHED):
            store_manifest.write_identity(directory, plan.identity)
    checks.require_same(directory, found, plan.identity)


def _give_back(plan, is_new):
    """Removes what `_claim` made, where no run has come further or goes on."""
    directory = plan.directory
    is_alone = os.listdir(directory) == [store_format.UNFINISHED]
    if is_alone and store_manifest.read_identity(directory) == plan.identity:
        (directory / store_format.UNFINISHED).unlink(missing_ok=True)
    if is_new:
        directory.rmdir()  # not if it holds anything


def _all_summaries(plan, summaries):
    """The `Summary`s of each view's shards; None if a shard is missing."""
    identity, known = plan.identity, {s.name: s for s in summaries}
    views = [_names(identity, view, known) for view in range(identity.views)]
    # A listing: network disks tell for a while that a file is still missing.
    there = os.listdir(plan.directory) if plan.directory.exists() else []
    if not set(itertools.chain(*views)) <= set(there):
        return None
    return [
        [
            known.get(name)
            or shard_files.look_at(plan.directory / name, identity, view, index)
            for index, name in enumerate(names)
        ]
        for view, names in enumerate(views)
    ]


def _names(identity, view, known):
    """The names of a view's shards: of `known`, if their number is not."""
    if identity.batches is not None:
        return [identity.shard(view, i) for i in range(identity.shards)]
    names = (identity.shard(view, i) for i in range(len(known)))
    return [name for name in names if name in known]


def _manifest(plan, views):
    """The `Manifest` of a store that has all of its shards.

    Args:
      views: the list of `Summary` of each view.
    """
    lengths = [
        (sum(s.batches for s in found), sum(s.examples for s in found))
        for found in views
    ]
    if len(set(lengths)) > 1:
        raise ValueError(
            "`dataset` must give the same examples each time it is read. "
            f"Received: views of (batches, examples) {lengths}"
        )
    found = [summary for view in views for summary in view]
    return store_manifest.Manifest(
        identity=plan.identity,
        classes=plan.classes,
        entries=shard_files.common_entries(s.entries for s in found),
        examples=lengths[0][1],
        batches=lengths[0][0],
        files={
            s.name: store_manifest.File(s.size, s.sha256, s.examples)
            for s in found
        },
    )

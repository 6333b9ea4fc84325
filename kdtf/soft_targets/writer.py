"""Runs a teacher once over a data set and writes its soft targets."""

import contextlib
import fcntl
import functools
import itertools
import operator
import os
import pathlib

import keras

from kdtf import _disk
from kdtf.soft_targets import checks, examples, inference, sources
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import manifest as store_manifest
from kdtf.soft_targets import shards as shard_files


def write(
    directory,
    teacher,
    data,
    *,
    fingerprint,
    batch_size,
    dtype,
    temperature,
    top_k,
    views,
    augment,
    shards,
    head,
    verbose,
):
    """See `kdtf.SoftTargets.write`."""
    checks.require_options(dtype, top_k, views, augment, shards, batch_size)
    inference.require_teacher(teacher, fingerprint, temperature, top_k, head)
    dataset = sources.batches(data, batch_size)
    batches = checks.require_length(dataset)
    shown = [examples.view(dataset, v, augment) for v in range(views)]
    starts = [examples.start(shown[0]) for _ in range(2)]
    checks.require_steady(dataset, augment, starts)
    x, start = starts[0]
    depends_on_t = inference.depends_on_temperature(teacher, top_k)
    identity = store_format.Identity(
        teacher=inference.identify(teacher, fingerprint),
        examples=examples.signature(dataset),
        start=start,
        batches=batches,
        dtype=dtype,
        top_k=top_k,
        temperature=float(temperature) if depends_on_t else None,
        views=views,
        shards=shards if batches is None else min(shards, batches),
        head=head,
    )
    directory = pathlib.Path(directory)
    if _is_finished(directory, identity):
        return
    classes, axes = inference.output_shape(teacher, x, head)
    checks.require_top_k(top_k, classes)
    infer = inference.function(
        teacher,
        store_format.fields(identity, classes, [None] * axes),
        classes,
        temperature=temperature,
        top_k=top_k,
        head=head,
    )
    with _opened(directory, identity):
        _write_all(directory, identity, infer, shown, classes, verbose)


def _is_finished(directory, identity):
    """Whether a directory holds this store already, and all of it."""
    if not (directory / store_format.MANIFEST).exists():
        return False
    finished = store_manifest.read(directory)
    checks.require_same(directory, finished.identity, identity)
    (directory / store_format.UNFINISHED).unlink(missing_ok=True)
    return True


def _write_all(directory, identity, infer, shown, classes, verbose):
    """Writes the shards that are missing, and then the manifest."""
    batches, names, found = identity.batches, [], []
    total = None if batches is None else batches * identity.views
    bar = keras.utils.Progbar(total, verbose=verbose, unit_name="batch")
    for view, dataset in enumerate(shown):
        summaries = _write_view(
            directory, identity, view, dataset, infer, batches, bar
        )
        names += [identity.shard(view, i) for i in range(len(summaries))]
        found.append(functools.reduce(operator.add, summaries))
        batches = found[0].batches
    manifest = _manifest(directory, identity, classes, found, names)
    with shard_files.clear_errors(directory / store_format.MANIFEST):
        store_manifest.write(directory, manifest)


def _manifest(directory, identity, classes, found, names):
    """The `Manifest` of a directory that has all of its shards.

    Args:
      found: list of `Summary`, of every view.
      names: list of str, the shards of all views.
    """
    of_views = [(view.batches, view.examples) for view in found]
    if len(set(of_views)) > 1:
        raise ValueError(
            "`dataset` must give the same examples each time it is read. "
            f"Received: views of (batches, examples) {of_views}"
        )
    paths = {name: directory / name for name in names}
    return store_manifest.Manifest(
        identity=identity,
        classes=classes,
        entries=functools.reduce(operator.add, found).entries,
        examples=found[0].examples,
        batches=found[0].batches,
        files={
            name: [path.stat().st_size, _disk.sha256(path)]
            for name, path in paths.items()
        },
    )


def _write_view(directory, identity, view, dataset, infer, batches, bar):
    """Writes the shards of a view that are missing.

    Args:
      batches: int, of the view; None if that is not known yet.

    Returns:
      The `Summary` of every shard.
    """
    found = _complete_shards(directory, identity, view)
    batch = sum(summary.batches for summary in found)
    if batch == batches:
        return found
    inputs, tag = _inputs(dataset, batch, batches), identity.tag()
    # The first batch of a shard is read before its file is made: there may be
    # none.
    while (x := next(inputs, None)) is not None:
        path = directory / identity.shard(view, len(found))
        rest = identity.first_batch_of(len(found) + 1) - batch - 1
        with shard_files.writing(path) as put:
            for one in itertools.chain([x], itertools.islice(inputs, rest)):
                arrays = infer(one, batch)
                lengths = arrays["logits"].shape[1:-1]
                place = [view, batch, *lengths]
                put(store_format.encode(arrays, tag, place))
                batch += 1
                bar.update(view * (batches or 0) + batch)
        found.append(shard_files.look_at(path, identity, view, len(found)))
    return found


def _complete_shards(directory, identity, view):
    """The `Summary` of every shard before the first that is missing."""
    found = []
    while (path := directory / identity.shard(view, len(found))).exists():
        found.append(shard_files.look_at(path, identity, view, len(found)))
    return found


def _inputs(dataset, first, batches):
    """Yields the x of every batch from `first` on.

    Raises:
      ValueError: if the data end before or after `batches`, unless that is
        None.
    """
    found = first
    for element in examples.prompt(dataset.skip(first).prefetch(2)):
        found += 1
        if batches is not None and found > batches:
            break
        yield examples.inputs(element)
    if batches not in (None, found):
        more = "more" if found > batches else found
        raise ValueError(
            f"`dataset` must yield {batches} batches, as many as its "
            f"cardinality or its first reading told. Received: {more}"
        )


@contextlib.contextmanager
def _opened(directory, identity):
    """A directory that holds this unfinished store, and no other writer."""
    checks.require_store_or_empty(directory)
    is_new = not directory.exists()
    with shard_files.clear_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY)
    _take(lock, directory)
    # From here on what is there is ours, to be removed where nothing is done.
    try:
        if (directory / store_format.UNFINISHED).exists():
            before = store_manifest.read_identity(directory)
            checks.require_same(directory, before, identity)
        else:
            with shard_files.clear_errors(directory / store_format.UNFINISHED):
                store_manifest.write_identity(directory, identity)
        yield
    except BaseException:
        if not any(directory.glob("*.tfrecord")):
            (directory / store_format.UNFINISHED).unlink(missing_ok=True)
            if is_new:
                with contextlib.suppress(OSError):
                    directory.rmdir()
        raise
    finally:
        os.close(lock)


def _take(lock, directory):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(
            "`directory` must not be written by another process. "
            f"Received: {directory}, which another process holds"
        ) from None

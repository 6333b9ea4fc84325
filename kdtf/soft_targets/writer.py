"""Runs a teacher once over a data set and writes its soft targets."""

import contextlib
import fcntl
import hashlib
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from kdtf import _atomic
from kdtf._math import softmax
from kdtf._math.top_logits import TopLogits
from kdtf._training import teachers
from kdtf.ensemble import Ensemble
from kdtf.soft_targets import checks, examples
from kdtf.soft_targets import format as store_format


def write(
    directory,
    teacher,
    dataset,
    *,
    dtype,
    temperature,
    top_k,
    views,
    augment,
    shards,
    verbose,
):
    """See `kdtf.SoftTargets.write`."""
    checks.require_options(dtype, top_k, views, augment, shards)
    checks.require_teacher(teacher, temperature, top_k)
    batches = checks.count_batches(dataset)
    shown = [examples.view(dataset, v, augment) for v in range(views)]
    x = examples.first_inputs(shown[0])
    if not teacher.built:
        teacher(x)
    depends_on_t = checks.depends_on_temperature(teacher, top_k)
    identity = store_format.Identity(
        teacher=_fingerprint(teacher),
        examples=examples.signature(dataset),
        first_batch=_sha256([examples.checksums(x).numpy().tobytes()]),
        batches=batches,
        dtype=dtype,
        top_k=top_k,
        temperature=float(temperature) if depends_on_t else None,
        views=views,
        shards=min(shards, batches),
    )
    directory = pathlib.Path(directory)
    if (directory / store_format.MANIFEST).exists():
        finished = store_format.read_manifest(directory)
        checks.require_same(directory, finished.identity, identity)
        (directory / store_format.UNFINISHED).unlink(missing_ok=True)
        return
    classes, entries = _output_shape(teacher, x, top_k)
    fields = store_format.fields(identity, classes, entries)
    infer = _inference(teacher, fields, temperature, top_k)
    with _opened(directory, identity):
        _write_shards(directory, identity, infer, shown, verbose)
        manifest = _manifest(directory, identity, classes, entries)
        store_format.write_manifest(directory, manifest)


def _manifest(directory, identity, classes, entries):
    """The `Manifest` of a directory that has all of its shards."""
    paths = [
        directory / identity.shard(view, shard)
        for view in range(identity.views)
        for shard in range(identity.shards)
    ]
    fields = store_format.fields(identity, classes, entries)
    return store_format.Manifest(
        identity=identity,
        classes=classes,
        entries=entries,
        examples=_count_examples(paths[: identity.shards], fields),
        bytes={path.name: path.stat().st_size for path in paths},
    )


def _write_shards(directory, identity, infer, shown, verbose):
    """Writes the shards that are missing."""
    total = identity.views * identity.batches
    bar = keras.utils.Progbar(total, verbose=verbose, unit_name="batch")
    for view, dataset in enumerate(shown):
        missing = [
            shard
            for shard in range(identity.shards)
            if not (directory / identity.shard(view, shard)).exists()
        ]
        if not missing:
            continue
        batch = identity.first_batch_of(missing[0])
        inputs = _inputs(dataset, batch, identity.batches)
        for shard in range(missing[0], identity.shards):
            with _shard_writer(directory / identity.shard(view, shard)) as put:
                while batch < identity.first_batch_of(shard + 1):
                    arrays = infer(next(inputs))
                    _require_finite(arrays, batch, identity.dtype)
                    put(store_format.encode(arrays))
                    batch += 1
                    bar.update(view * identity.batches + batch)


def _inputs(dataset, first, batches):
    """Yields the x of every batch from `first` on."""
    found = first
    for element in examples.prompt(dataset.skip(first).prefetch(2)):
        yield examples.inputs(element)
        found += 1
    if found != batches:
        raise ValueError(
            "`dataset` must yield as many batches as its cardinality says, "
            f"{batches}. Received: a data set of {found}"
        )


def _inference(teacher, fields, temperature, top_k):
    """Function from x to the arrays of a record, and "finite" `[batch]`."""
    teacher_logits = teachers.logits_function(teacher)
    temperature = 1.0 if temperature is None else temperature

    @tf.function(autograph=False, reduce_retracing=True)
    def targets(x):
        _, logits = teacher_logits(x, temperature)
        logits = softmax.at_least_float32(logits)
        # The softmax stays, and half precision keeps more of its digits.
        logits -= tf.reduce_max(logits, axis=-1, keepdims=True)
        values = {"checksum": examples.checksums(x), "logits": logits}
        if top_k is not None:
            values |= TopLogits.of(logits, top_k, temperature)._asdict()
        values = {n: tf.cast(values[n], fields[n][0]) for n in fields}
        axes = list(range(1, logits.shape.rank))
        finite = tf.reduce_all(tf.math.is_finite(logits), axes)
        finite &= tf.reduce_all(tf.math.is_finite(values["logits"]), axes)
        return {**values, "finite": finite}

    return lambda x: {n: value.numpy() for n, value in targets(x).items()}


def _require_finite(arrays, batch, dtype):
    finite = arrays.pop("finite")
    if not finite.all():
        raise ValueError(
            "`teacher` must return finite logits, whose distance from the "
            f"largest of their row {dtype} can hold. Received: logits that are "
            f"not, first in batch {batch}, row {int(np.argmin(finite))}"
        )


@contextlib.contextmanager
def _shard_writer(path):
    """Yields a function that appends a record to a shard, whole at the end."""
    with _atomic.whole_file(path) as scratch:
        with _clear_errors(path):
            writer = tf.io.TFRecordWriter(str(scratch))

        def put(record):
            with _clear_errors(path):
                writer.write(record)

        try:
            yield put
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                writer.close()
            raise
        with _clear_errors(path):
            writer.close()


@contextlib.contextmanager
def _clear_errors(path):
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(
            f"Soft targets could not be written to {path}: {error.message}. "
            "The complete shards are kept: make room and write again, with the "
            "same arguments."
        ) from error


@contextlib.contextmanager
def _opened(directory, identity):
    """A directory that holds this unfinished store, and no other writer."""
    checks.require_store_or_empty(directory)
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(
            "`directory` must not be written by another process. "
            f"Received: {directory}, which is"
        ) from None
    # From here on what is there is ours, to be removed where nothing is done.
    try:
        if (directory / store_format.UNFINISHED).exists():
            before = store_format.read_identity(directory)
            checks.require_same(directory, before, identity)
        else:
            store_format.write_identity(directory, identity)
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


def _fingerprint(teacher):
    """Hash of the teacher's weights, and of how an ensemble combines them."""
    parts = []
    if isinstance(teacher, Ensemble):
        parts.append(f"{teacher.combine} {teacher.weights_of_members}".encode())
    for weight in teacher.weights:
        value = np.asarray(weight)
        parts.append(f"{value.dtype} {value.shape}".encode())
        parts.append(value.tobytes())
    return _sha256(parts)


def _sha256(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _output_shape(teacher, x, top_k):
    """The number of classes, and the axes between batch and classes."""
    logits = teacher(x, training=False)
    batch = tf.nest.flatten(x)[0].shape[0]
    good = (
        tf.is_tensor(logits)
        and logits.dtype.is_floating
        and logits.shape.rank >= 2
        and logits.shape[0] == batch
    )
    if not good:
        received = tf.nest.map_structure(
            lambda t: f"{t.dtype.name} of shape {t.shape}", logits
        )
        raise ValueError(
            "`teacher` must return logits [batch, ..., classes]. "
            f"Received: {received} for a batch of {batch}"
        )
    *entries, classes = logits.shape[1:]
    if top_k is not None and top_k >= classes:
        raise ValueError(
            f"`top_k` must be below the number of classes, {classes}. "
            f"Received: top_k={top_k}"
        )
    return classes, entries


def _count_examples(paths, fields):
    only = {"checksum": fields["checksum"]}

    def add(count, some):
        rows = tf.size(store_format.decode(some, only)["checksum"])
        return count + tf.cast(rows, tf.int64)

    records = tf.data.TFRecordDataset([str(path) for path in paths]).batch(16)
    counted = examples.prompt(records).reduce(tf.constant(0, tf.int64), add)
    return int(counted)

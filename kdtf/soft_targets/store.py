"""SoftTargets: a teacher's outputs on disk, for any number of students."""

import functools
import math
import os
import pathlib
from collections.abc import Callable

import keras
import tensorflow as tf

from kdtf._training import targets
from kdtf.soft_targets import examples, writer
from kdtf.soft_targets import format as store_format


class SoftTargets:
    """A teacher's outputs on a data set, stored once and read many times.

    The soft targets of a fixed teacher change neither from epoch to epoch nor
    from student to student, so they are written once, with a checksum of each
    example, and joined to the data again in the same order.

    Stored are the logits minus the largest of their row: the softmax at any
    temperature stays, and half precision keeps more of its digits. An
    arithmetic `Ensemble`'s tempered probabilities are not those of any logits
    at another temperature, and neither is the tail of `top_k`: such targets
    belong to the temperature that they were written at, and a `Distiller` at
    another one refuses them.

    Example:
      >>> def net(units):
      ...     return keras.Sequential([
      ...         keras.Input((8,)),
      ...         keras.layers.Dense(units, "relu"),
      ...         keras.layers.Dense(3),
      ...     ])
      >>> x, y = np.random.normal(size=(32, 8)), np.zeros(32, "int32")
      >>> dataset = tf.data.Dataset.from_tensor_slices((x, y))
      >>> store = kdtf.SoftTargets.write(
      ...     "targets", net(64), dataset.batch(16), verbose=0
      ... )
      >>> joined = kdtf.SoftTargets("targets").join(dataset)
      >>> distiller = kdtf.Distiller(net(4), temperature=4.0)
      >>> distiller.compile("adam")
      >>> history = distiller.fit(joined.shuffle(32).batch(8), verbose=0)
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        """Opens a finished store.

        Args:
          directory: path of the folder that `write` made.

        Raises:
          ValueError: if it holds no finished store, a damaged one, or one that
            a newer version of kdtf wrote.
        """
        self._directory = pathlib.Path(directory)
        if not (self._directory / store_format.MANIFEST).exists():
            unfinished = self._directory / store_format.UNFINISHED
            what = (
                "an unfinished store: call `SoftTargets.write` again with the "
                "same arguments, it resumes where it stopped"
                if unfinished.exists()
                else "no manifest.json there"
            )
            raise ValueError(
                "`directory` must hold soft targets that "
                "`SoftTargets.write` has finished. "
                f"Received: {directory}, {what}"
            )
        self._manifest = store_format.read_manifest(self._directory)
        for name, size in self._manifest.bytes.items():
            path = self._directory / name
            found = path.stat().st_size if path.exists() else 0
            if found != size:
                raise ValueError(
                    "`directory` must hold the files of its manifest: delete "
                    "it and write the soft targets again. Received: "
                    f"{path} of {found} bytes, which had {size}"
                )

    @classmethod
    def write(
        cls,
        directory: str | os.PathLike,
        teacher: keras.Model,
        dataset: tf.data.Dataset,
        *,
        dtype: str = "float16",
        temperature: float | None = None,
        top_k: int | None = None,
        views: int = 1,
        augment: Callable | None = None,
        shards: int = 16,
        verbose: int = 1,
    ) -> "SoftTargets":
        """Runs a teacher once over a data set and writes its soft targets.

        Killed at any moment and run again with the same arguments, it resumes
        after the last complete shard, and ends with the same bytes. If the
        targets of this teacher, data set and these options are there already,
        it returns at once; it then recognises the data set by its structure,
        length and first batch, while `join` checks every example.

        Args:
          directory: path of a folder: new, empty, or this store's own.
          teacher: a `keras.Model`, perhaps a `kdtf.Ensemble`, that returns
            logits `[batch, ..., classes]`; it runs in inference mode.
          dataset: batched `tf.data.Dataset` of known length, `x`, `(x, y)` or
            `(x, y, sample_weight)`, in the same order each time.
          dtype: "float16", "float32" or "bfloat16", of the stored logits.
          temperature: float T > 0, required for an arithmetic ensemble and for
            `top_k`; all other targets hold for any temperature.
          top_k: int, how many of the largest logits to keep in addition to the
            mass of all other classes; see `kdtf.TopLogits`. None keeps all.
          views: int, number of augmented views of every example.
          augment: function (x, seed) of one example (without the batch axis)
            and an int32 seed `[2]`, made of the example's position and the
            view; stateless, such as `tf.image.stateless_random_crop`. Teacher
            and student then see the same augmented inputs (consistent
            teaching). None for the inputs as they are.
          shards: int, number of files per view, and of points at which a
            killed run resumes.
          verbose: 0 for no progress bar.

        Returns:
          The `SoftTargets`.

        Raises:
          ValueError: if an argument is invalid, the teacher's logits are not
            finite, or the directory holds something else, which then stays as
            it was.
          OSError: if the files cannot be written.
        """
        writer.write(
            directory,
            teacher,
            dataset,
            dtype=dtype,
            temperature=temperature,
            top_k=top_k,
            views=views,
            augment=augment,
            shards=shards,
            verbose=verbose,
        )
        return cls(directory)

    def __len__(self) -> int:
        """The number of examples, the same for every view."""
        return self._manifest.examples

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return sum(self._manifest.bytes.values())

    @property
    def bytes_per_example(self) -> float:
        """Bytes of all shards divided by the number of examples."""
        return self.nbytes / len(self)

    def verify(self) -> None:
        """Reads all that is stored.

        Raises:
          ValueError: if a byte is not as it was written; names the file.
        """
        for name in self._manifest.bytes:
            records = self._records([name])
            try:
                for _ in records:
                    pass
            except tf.errors.OpError as error:
                raise ValueError(
                    "`directory` must hold soft targets as they were written: "
                    "delete it and write them again. Received: "
                    f"{self._directory / name}, which is damaged "
                    f"({error.message})"
                ) from error

    def join(
        self,
        dataset: tf.data.Dataset,
        *,
        temperature: float | None = None,
        augment: Callable | None = None,
    ) -> tf.data.Dataset:
        """The data set with its soft targets next to its labels.

        The store is read while the data set is iterated over, and every
        example is checked. Shuffle the joined data set, before batching it.

        Args:
          dataset: the `tf.data.Dataset` that was written, in the same order,
            unbatched or in batches, which come out in the size of the first.
          temperature: float, that of the `Distiller`; required if the targets
            depend on it.
          augment: what `write` was given.

        Returns:
          A `tf.data.Dataset` of `(x, targets)` or `(x, targets,
          sample_weight)`, with the views one after another. `targets` is a
          dict of "labels", if there are any, and "teacher_logits" `[...,
          classes]` float32; or, for `top_k`, "teacher_top_logits" `[..., k]`
          float32, "teacher_top_classes" `[..., k]` int32 and "teacher_tail"
          `[...]` float32. Targets that depend on the temperature have one key
          more, such as "teacher_temperature=2.0", by which a Distiller at
          another temperature refuses them.

        Raises:
          ValueError: if the data set cannot be the one that was written, or
            `temperature` is not the one that the targets depend on.
          tf.errors.InvalidArgumentError: while iterating, if an example is not
            the one that was written.
          tf.errors.FailedPreconditionError: while iterating, if the data set
            has another length.
          tf.errors.DataLossError: while iterating, if a file is damaged.
        """
        identity = self._manifest.identity
        self._require_temperature(temperature)
        if identity.views > 1 and augment is None:
            raise ValueError(
                "`augment` must be the function that the soft targets were "
                f"written with, for {identity.views} views. "
                "Received: augment=None"
            )
        if examples.is_batched(dataset, identity.examples):
            joined = self._join_batches(dataset, augment)
        else:
            self._require_length(dataset, len(self), "examples")
            batches = dataset.batch(examples.at_once(dataset, batched=False))
            joined = _with_length(
                self._join_batches(batches, augment).unbatch(),
                identity.views * len(self),
            )
        options = tf.data.Options()
        # By files, workers would pair their labels with others' targets.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        return joined.with_options(options).prefetch(tf.data.AUTOTUNE)

    def _join_batches(self, dataset, augment):
        """`join` of a batched data set."""
        size = examples.batch_size(dataset)
        length = math.ceil(len(self) / size)
        self._require_length(dataset, length, f"batches of {size}")
        chunk = size * max(1, examples.at_once(dataset, batched=True) // size)
        views = []
        for view in range(self._manifest.identity.views):
            shown = examples.view(dataset, view, augment)
            shown = _in_chunks(_with_length(shown, length), size, chunk)
            stored = self._stored(view).rebatch(chunk)
            stored = _with_length(stored, math.ceil(len(self) / chunk))
            # In this order: the first one's end or excess is seen.
            joined = tf.data.Dataset.zip(
                (shown, stored, tf.data.Dataset.range(0, len(self), chunk))
            ).map(
                functools.partial(
                    _attach, temperature=self._manifest.identity.temperature
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            whole = len(self) % size == 0  # then the batch axis is static
            views.append(_in_chunks(joined, chunk, size, whole))
        joined = functools.reduce(tf.data.Dataset.concatenate, views)
        return _with_length(joined, len(views) * length)

    def _stored(self, view):
        """The stored arrays of a view, in batches of several records."""
        identity = self._manifest.identity
        names = [identity.shard(view, i) for i in range(identity.shards)]
        return self._records(names, together=16)

    def _records(self, names, together=1):
        """The records of shards, decoded, several at a time."""
        paths = [str(self._directory / name) for name in names]
        decode = functools.partial(
            store_format.decode, fields=self._manifest.fields()
        )
        return tf.data.TFRecordDataset(paths).batch(together).map(decode)

    def _require_temperature(self, temperature):
        stored = self._manifest.identity.temperature
        if stored is not None and temperature != stored:
            raise ValueError(
                "`temperature` must be the one that the soft targets were "
                f"written at, {stored}: they depend on it. "
                f"Received: temperature={temperature}"
            )

    def _require_length(self, dataset, length, unit):
        found = int(dataset.cardinality())
        if found not in (length, int(tf.data.UNKNOWN_CARDINALITY)):
            infinite = int(tf.data.INFINITE_CARDINALITY)
            received = "infinitely many" if found == infinite else found
            raise ValueError(
                "`dataset` must be the one that was written, of "
                f"{len(self)} examples, which is {length} {unit}. "
                f"Received: {received} {unit}"
            )


def _in_chunks(dataset, size, chunk, drop_remainder=False):
    """Batches of `size` as batches of `chunk`."""
    if size == chunk:
        return dataset
    return dataset.rebatch(chunk, drop_remainder=drop_remainder)


def _with_length(dataset, length):
    return dataset.apply(tf.data.experimental.assert_cardinality(length))


def _attach(element, stored, position, *, temperature):
    """A batch with its soft targets, if it is the one they were written for.

    Args:
      element: the batch, as the data set gives it.
      stored: dict, what the store has for it.
      position: int64, of its first example in the data set.
      temperature: float that the targets belong to, or None for any.

    Returns:
      The batch, with a dict as y.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(element)
    stored = dict(stored)
    found = examples.checksums(x)
    _require_checksums(found, stored.pop("checksum"), position)
    joined = _targets(stored, temperature)
    if isinstance(y, dict):
        joined = {**y, **joined}
    elif y is not None:
        joined = {"labels": y, **joined}
    return keras.utils.pack_x_y_sample_weight(x, joined, sample_weight)


def _targets(stored, temperature):
    """What is added to y, under the keys of `kdtf._training.targets`."""
    logits = tf.cast(stored["logits"], tf.float32)
    if "tail" in stored:
        classes = tf.cast(stored["classes"], tf.int32)
        parts = (logits, classes, stored["tail"])
        found = dict(zip(targets.TOP_KEYS, parts, strict=True))
    else:
        found = {"teacher_logits": logits}
    if temperature is not None:
        # The key tells it; as the value any number per example will do.
        key = targets.temperature_key(temperature)
        found[key] = tf.fill(tf.shape(logits)[:1], temperature)
    return found


def _require_checksums(found, stored, position):
    """Fails where an example is not the one that the teacher saw."""
    sizes = (tf.size(found), tf.size(stored))
    same_size = tf.debugging.Assert(
        sizes[0] == sizes[1],
        [
            "`dataset` must have the examples that were written, in batches of "
            "one size. Received: a batch of",
            sizes[0],
            "where the soft targets are",
            sizes[1],
        ],
    )
    with tf.control_dependencies([same_size] if same_size is not None else []):
        same = tf.equal(found, stored)
    first = tf.argmin(tf.cast(same, tf.int32))
    tf.debugging.Assert(
        tf.reduce_all(same),
        [
            "`dataset` must be the one that was written, in the same order "
            "(and with the same `augment`). Received: as example",
            position + first,
            "one of checksum",
            found[first],
            "where the soft targets' is",
            stored[first],
        ],
    )

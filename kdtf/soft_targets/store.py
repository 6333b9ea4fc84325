"""SoftTargets: a teacher's outputs on disk, for any number of students."""

import os
from collections.abc import Callable
from typing import Any, overload

import keras
import numpy as np
import tensorflow as tf

from kdtf import _disk
from kdtf._training import data_errors
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import joining, manifest, sources, writer

_ROWS_AT_ONCE = 1024  # of arrays that are loaded


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
        self._directory = _disk.local(directory, "directory")
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
        self._manifest = manifest.read(self._directory)
        for name, (size, _, _) in self._manifest.files.items():
            path = self._directory / name
            found = path.stat().st_size if path.exists() else 0
            if found != size:
                raise ValueError(
                    "`directory` must hold the files of its manifest: delete "
                    "it and write the soft targets again. Received: "
                    f"{path} of {found} bytes, which had {size}"
                )

    @overload
    @classmethod
    def write(
        cls,
        directory: str | os.PathLike,
        teacher: Callable,
        dataset: Any,
        *,
        fingerprint: str | None = None,
        examples: int | None = None,
        batch_size: int | None = None,
        dtype: str = "float16",
        temperature: float | None = None,
        top_k: int | None = None,
        views: int = 1,
        augment: Callable | None = None,
        shards: int = 16,
        head: str = "softmax",
        verbose: int = 1,
        shard_index: None = None,
        shard_count: None = None,
    ) -> "SoftTargets": ...

    @overload
    @classmethod
    def write(
        cls,
        directory: str | os.PathLike,
        teacher: Callable,
        dataset: Any,
        *,
        fingerprint: str | None = None,
        examples: int | None = None,
        batch_size: int | None = None,
        dtype: str = "float16",
        temperature: float | None = None,
        top_k: int | None = None,
        views: int = 1,
        augment: Callable | None = None,
        shards: int = 16,
        head: str = "softmax",
        verbose: int = 1,
        shard_index: int,
        shard_count: int,
    ) -> "SoftTargets | None": ...

    @classmethod
    def write(
        cls,
        directory: str | os.PathLike,
        teacher: Callable,
        dataset: Any,
        *,
        fingerprint: str | None = None,
        examples: int | None = None,
        batch_size: int | None = None,
        dtype: str = "float16",
        temperature: float | None = None,
        top_k: int | None = None,
        views: int = 1,
        augment: Callable | None = None,
        shards: int = 16,
        head: str = "softmax",
        verbose: int = 1,
        shard_index: int | None = None,
        shard_count: int | None = None,
    ) -> "SoftTargets | None":
        """Runs a teacher once over a data set and writes its soft targets.

        Killed at any moment and run again with the same arguments, it writes
        the shards that are missing, and ends with the same bytes. If the
        targets of this teacher, data set and these options are there already,
        it writes nothing; it then recognises the data set by its structure,
        length and first examples, while `join` checks every one, and a Keras
        teacher by its weights and by what it says of the first batch.

        With `shard_index` and `shard_count` several processes that share a
        disk write one store: each calls `write` with the same arguments and an
        index of its own, and writes its share of the shards, of all views. They
        may run at the same time or one after the other, on one machine or
        several; the bytes are those of one process, if the machines compute the
        same.

        Args:
          directory: path of a folder on a local or mounted disk: new, empty,
            or this store's own.
          teacher: a `keras.Model`, perhaps a `kdtf.Ensemble`, with its trained
            weights, that returns logits `[batch, ..., classes]`; it runs in
            inference mode. Or any other callable from x to logits, such as a
            SavedModel or a Python function: it gets eager tensors, batch by
            batch (the first one twice), and may return a NumPy array.
          dataset: `x`, `(x, y)` or `(x, y, sample_weight)`, in the same order
            each time, as a batched `tf.data.Dataset`, as a
            `keras.utils.PyDataset`, whose batches are taken in the order of
            their indices, or as arrays. The time axis of x and of the logits
            may differ from batch to batch, as `padded_batch` makes it. Or a
            function (first, last) that returns a `tf.data.Dataset` of the
            single examples first, first + 1, ..., last - 1: only those of a
            shard are then read to write it, while a data set is read from its
            start to reach a shard in the middle.
          fingerprint: str that names the teacher, required if it has no Keras
            weights to be known by; change it when the teacher changes. Beside
            weights, both count.
          examples: int, the number of examples of a function, and for it alone.
          batch_size: int, for a function, which needs it, and for arrays; None
            for 32.
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
            killed run resumes. For data of unknown length there are more: the
            first `shards` hold one batch each, the next two, then four.
          head: "softmax", or "sigmoid" for a teacher of labels that do not
            exclude each other; see `kdtf.losses`.
          verbose: 0 for no progress bar.
          shard_index: int from 0, which share of the shards to write: those
            whose number, counted over all views, is `shard_index` modulo
            `shard_count`. None, for both, to write all.
          shard_count: int, the number of shares, at most `shards` times
            `views`. (If there are fewer batches, some shares are empty.)

        Returns:
          The `SoftTargets`; or None, where shares are written, if shards of
          other processes are still missing. Whichever process finds all of them
          there finishes the store; if none did (a network disk may show new
          files late), call one of them again.

        Raises:
          ValueError: if an argument is invalid (shares need data of known
            length), the data are not the same when they are read again, the
            teacher's logits are not finite, a shard that is there already is
            damaged or not this store's, or the directory holds something else,
            which then stays as it was.
          OSError: if the files cannot be written.
        """
        with data_errors.in_plain_words("dataset"):
            is_finished = writer.write(
                directory,
                teacher,
                dataset,
                shard_index=shard_index,
                shard_count=shard_count,
                verbose=verbose,
                fingerprint=fingerprint,
                examples=examples,
                batch_size=batch_size,
                dtype=dtype,
                temperature=temperature,
                top_k=top_k,
                views=views,
                augment=augment,
                shards=shards,
                head=head,
            )
        return cls(directory) if is_finished else None

    def __len__(self) -> int:
        """The number of examples, the same for every view."""
        return self._manifest.examples

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return self._manifest.nbytes

    @property
    def bytes_per_example(self) -> float:
        """Bytes of all shards divided by the number of examples."""
        return self.nbytes / len(self)

    def verify(self) -> None:
        """Reads all that is stored.

        Raises:
          ValueError: if a byte is not as it was written, or a file has taken
            the place of another; names the file.
        """
        for name, (_, digest, _) in self._manifest.files.items():
            path = self._directory / name
            if _disk.sha256(path) != digest:
                raise ValueError(
                    "`directory` must hold soft targets as they were written: "
                    "delete it and write them again. Received: "
                    f"{path}, which is damaged, or was written elsewhere"
                )

    def join(
        self,
        dataset: Any,
        *,
        augment: Callable | None = None,
        shard_index: int | None = None,
        shard_count: int | None = None,
        interleave: int | None = None,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """The data set with its soft targets next to its labels.

        The store is read while the data set is iterated over, and every
        example is checked. Shuffle the joined data set, before batching it.
        Nothing is written or locked: any number of processes may read a store
        at once.

        Args:
          dataset: the data that were written, in the same order. A
            `tf.data.Dataset` may be unbatched or in other batches, which come
            out in the size of the first; if the time axis of the targets
            differs from batch to batch, it must be in the same batches. Arrays
            come out as single examples, a `PyDataset` in its batches. A
            function `(first, last)` of two ints must return a
            `tf.data.Dataset` of the single examples first to last - 1, and
            those come out.
          augment: what `write` was given.
          shard_index: int, the number of this worker, from 0: only its part of
            the shards is read. No file of the store is opened for it but
            those, and a function is asked for no other examples; other data
            are read from their start, and what precedes is dropped.
          shard_count: int, the number of workers, at most that of the shards.
            Each example is one worker's.
          interleave: int, how many shards to read at once, one example of each
            in turn. The shards, of all views, come in an order that is another
            one in every epoch. None for all examples in order. Only for a
            function of a range, which is called once for every shard.
          seed: int, of that order: in the same program the same seed gives the
            same orders, epoch by epoch. None for orders that nobody knows.

        Returns:
          A `tf.data.Dataset` of `(x, targets)` or `(x, targets,
          sample_weight)`, with the views one after another. `targets` is a
          dict of "labels", if there are any, and "teacher_logits" `[...,
          classes]` float32; or, for `top_k`, "teacher_top_logits" `[..., k]`
          float32, "teacher_top_classes" `[..., k]` int32 and "teacher_tail"
          `[...]` float32. The key "teacher_head=softmax" tells their head, and
          "teacher_temperature=2.0" the temperature of those that depend on it:
          by them a Distiller of another head or temperature refuses them. A
          worker's part is not sharded again by `tf.distribute`. If there are
          several, it does not tell its length: `fit` then ends an epoch when
          all parts have ended, of which some are larger than others.

        Raises:
          ValueError: if the data set cannot be the one that was written, or an
            argument is invalid. Inside `Distiller.fit` and `evaluate` also
            instead of the errors below.
          tf.errors.InvalidArgumentError: while iterating, if an example is not
            the one that was written, or a shard is another store's.
          tf.errors.FailedPreconditionError: while iterating, if the data set
            has another length.
          tf.errors.DataLossError: while iterating, if a file is damaged.

        Example:
          >>> store = kdtf.SoftTargets.write(
          ...     "targets", teacher, (x, y), shards=2, batch_size=2, verbose=0
          ... )
          >>> def read(first, last):
          ...     arrays = (x[first:last], y[first:last])
          ...     return tf.data.Dataset.from_tensor_slices(arrays)
          >>> part = store.join(read, shard_index=1, shard_count=2)
          >>> [int(targets["labels"]) for _, targets in part]
          [1, 2, 0, 1]
          >>> mixed = store.join(read, interleave=2, seed=0)
          >>> sorted(int(targets["labels"]) for _, targets in mixed)
          [0, 0, 0, 1, 1, 1, 2, 2]
        """
        return joining.join(
            self._directory,
            self._manifest,
            dataset,
            augment=augment,
            worker=(shard_index, shard_count),
            interleave=interleave,
            seed=seed,
        )

    def load(
        self, arrays: Any, *, augment: Callable | None = None
    ) -> tuple[Any, ...]:
        """Arrays with their soft targets next to their labels, in memory.

        As `join`, for stores and data that fit into memory: `Distiller.fit`
        trains fastest on arrays.

        Args:
          arrays: `x`, `(x, y)` or `(x, y, sample_weight)`, the arrays that
            were written.
          augment: what `write` was given; it is applied to all views at once.

        Returns:
          `(x, targets)` or `(x, targets, sample_weight)` as in `join`, NumPy
          arrays with `len(self)` rows for each view, the views one after
          another: the arguments of `fit`.

        Raises:
          ValueError: if the arrays are not those that were written, or no
            arrays, or an example or a file is not as it was.

        Example:
          >>> store = kdtf.SoftTargets.write(
          ...     "loaded", teacher, (x, y), verbose=0
          ... )
          >>> arrays, targets = store.load((x, y))
          >>> targets["teacher_logits"].shape
          (8, 3)
        """
        if isinstance(arrays, (tf.data.Dataset, keras.utils.PyDataset)):
            raise ValueError(
                "`arrays` must be x, (x, y) or (x, y, sample_weight): `join` "
                f"takes other data. Received: a {type(arrays).__name__}"
            )
        with data_errors.in_plain_words("arrays"):
            batches = sources.batches(arrays, _ROWS_AT_ONCE)
            joined = self.join(batches, augment=augment).as_numpy_iterator()
            return keras.tree.map_structure(
                lambda *parts: np.concatenate(parts), *joined
            )

"""Callbacks of `fit`: a backup that a kill at any moment leaves whole."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kdtf import _atomic, _disk, _models, _workers
from kdtf import _keras_private as keras_private

_KEPT = "backup"
_WRITING = "writing"  # where Keras writes; nothing is read from there


class BackupAndRestore(keras.callbacks.BackupAndRestore):
    """`keras.callbacks.BackupAndRestore`, with a backup that is always whole.

    The callback of Keras writes over its only backup: killed meanwhile, it
    leaves one that cannot be loaded, or the weights of one epoch beside the
    number of another. Here each backup is written beside the last one, and
    takes its place at once, so that a run which is started again finds either.
    For any `keras.Model`. A backup has checksums: one that has changed since is
    refused.

    Restored are the weights, the optimizer and the epoch; and of a
    `kdtf.Distiller` temperature, weights of the loss, and the seed states of
    the student's dropout. Other callbacks and the order of the data are not.

    Under `tf.distribute.MultiWorkerMirroredStrategy` the folder is one that all
    workers see: the chief alone writes, all of them read, and whether all have
    found the same is compared before the first step.

    Example:
      >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
      >>> model.compile(
      ...     "adam", keras.losses.SparseCategoricalCrossentropy(True))
      >>> backup = kdtf.callbacks.BackupAndRestore("backup")
      >>> # Run again after a kill, `fit` does the epochs that are missing.
      >>> model.fit(x, y, epochs=2, callbacks=[backup], verbose=0).epoch
      [0, 1]
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        *,
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        """Builds the callback.

        Args:
          backup_dir: path of a folder for this backup alone, on a local disk:
            new, empty, or with a backup of the same model.
          save_freq: "epoch", or an int, the number of batches from one backup
            to the next. As in Keras, a run that goes on begins its epoch anew,
            with the weights of the backup: only "epoch" resumes bit for bit.
          delete_checkpoint: whether the backup is deleted when `fit` ends.

        Raises:
          ValueError: if `backup_dir` is no path on a disk, such as "gs://...".
        """
        self._directory = _disk.local(backup_dir, "backup_dir")
        self._kept = self._directory / _KEPT
        self._writing = self._directory / _WRITING
        super().__init__(
            str(self._writing),
            save_freq=save_freq,
            delete_checkpoint=delete_checkpoint,
        )

    def set_model(self, model: keras.Model) -> None:
        """As in Keras."""
        super().set_model(model)
        strategy = getattr(model, "distribute_strategy", None)
        self._strategy = strategy or tf.distribute.get_strategy()

    def on_train_begin(self, logs: Any = None) -> None:
        """Restores the backup, if there is one.

        Raises:
          ValueError: if the folder holds something else, the backup has changed
            since it was written, the model is not built, or other workers have
            found another backup.
        """
        self._require_own_directory()
        if self._is_chief():
            shutil.rmtree(self._writing, ignore_errors=True)  # a killed run's
        if self._kept.exists():
            self._require_unchanged()
            reader = keras.callbacks.BackupAndRestore(str(self._kept))
            reader.set_model(self.model)
            reader.on_train_begin(logs)
        if _workers.spans(self._strategy):
            self._require_one_backup()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Has the next `fit` begin with its own first epoch again."""
        keras_private.forget_initial_epoch(self.model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Backs up, if it is time.

        Raises:
          OSError: if there is no room for a backup; the last one is then as it
            was.
        """
        if self._is_chief():
            with self._kept_whole():
                super().on_epoch_end(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Backs up, if it is time; raises as `on_epoch_end` does."""
        if self._is_chief():
            with self._kept_whole():
                super().on_train_batch_end(batch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Deletes the backup, if it is to be deleted."""
        keras_private.forget_initial_epoch(self.model)
        if not self._is_chief():
            return
        super().on_train_end(logs)
        if self.delete_checkpoint and self._kept.exists():
            with self._named_failures():
                _atomic.remove_directory(self._kept)
            with contextlib.suppress(OSError):
                self._directory.rmdir()

    @contextlib.contextmanager
    def _kept_whole(self) -> Iterator[None]:
        """Puts what Keras writes, if anything, in the place of the last."""
        model = self.model
        self.set_model(_SavedThroughMemory(model))
        try:
            with self._named_failures():
                yield
                if self._writing.exists():
                    self._keep()
        finally:
            self.set_model(model)

    def _keep(self) -> None:
        _disk.seal(self._writing)
        with _atomic.whole_directory(self._kept, replace=True) as scratch:
            os.rename(self._writing, scratch)

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                "`backup_dir` must be writable, on a disk with room for two "
                "backups: see to that and run again, `fit` goes on from the "
                "last backup, which is as it was. "
                f"Received: {self._directory} ({_disk.reason(error)})"
            ) from error

    def _is_chief(self) -> bool:
        return _workers.is_chief(self._strategy)

    def _require_one_backup(self) -> None:
        """Raises ValueError unless all workers have restored the same."""
        model = self.model
        digest = hashlib.sha256()
        _models.hash_weights(digest, model.trainable_variables)
        _models.hash_weights(digest, model.optimizer.variables)
        epoch = keras_private.initial_epoch(model)
        found = f"a backup of epoch {epoch}, hash {digest.hexdigest()[:12]}"
        _workers.require_same(
            self._strategy,
            {"backup_dir": f"{found} (in {self._directory})"},
            advice="give one folder on a disk that they share",
        )

    def _require_unchanged(self) -> None:
        changed = _disk.changed(self._kept)
        if changed is not None:
            raise ValueError(
                "`backup_dir` must hold a backup as it was written: delete it "
                "to begin anew, from the first epoch. "
                f"Received: {self._kept / changed}, which has changed"
            )

    def _require_own_directory(self) -> None:
        if not self._directory.exists():
            return
        if not self._directory.is_dir():
            raise ValueError(
                "`backup_dir` must be a folder. "
                f"Received: {self._directory}, which is a file"
            )
        found = sorted(
            path.name
            for path in self._directory.iterdir()
            if path.name not in (_KEPT, _WRITING)
            and not path.name.endswith(_atomic.SCRATCH)
        )
        if found:
            raise ValueError(
                "`backup_dir` must be new, empty, or hold a backup of this "
                "callback: give it a folder of its own. "
                f"Received: {self._directory}, which holds {found[:3]}"
            )


class _SavedThroughMemory:
    """A model as Keras's callback sees it while it saves."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def save_weights(self, filepath: str, overwrite: bool = True) -> None:
        _disk.write_weights(self._model, filepath)

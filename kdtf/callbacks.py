"""Callbacks of `fit`: a backup that a kill at any moment leaves whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import keras

from kdtf import _atomic, _disk

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

    def on_train_begin(self, logs: Any = None) -> None:
        """Restores the backup, if there is one.

        Raises:
          ValueError: if the folder holds something else, the backup has changed
            since it was written, or the model is not built.
          OSError: if there is no room for a copy of the backup.
        """
        self._require_own_directory()
        shutil.rmtree(self._writing, ignore_errors=True)  # a killed run's
        if self._kept.exists():
            self._require_unchanged()
            with self._named_failures():
                shutil.copytree(self._kept, self._writing)
        super().on_train_begin(logs)
        shutil.rmtree(self._writing, ignore_errors=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Backs up, if it is time.

        Raises:
          OSError: if there is no room for a backup; the last one is then as it
            was.
        """
        with self._kept_whole():
            super().on_epoch_end(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Backs up, if it is time; raises as `on_epoch_end` does."""
        with self._kept_whole():
            super().on_train_batch_end(batch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Deletes the backup, if it is to be deleted."""
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

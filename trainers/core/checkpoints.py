"""Checkpoints of one arm: a folder an epoch, committed by one rename."""

import contextlib
import json
import math
import re
import shutil
import time

import keras

from kdtf import _atomic, _disk
from trainers.core import run_directory, seals, strategies
from trainers.core.errors import FlagsError

_WEIGHTS = "weights.weights.h5"
_STATE = "state.json"
_BEST = "best"


def restore(distiller, directory):
    """Loads the newest checkpoint into a built and compiled Distiller.

    Args:
      distiller: a `kdtf.Distiller` as it was when it was saved.
      directory: `pathlib.Path` of the arm's checkpoints; need not exist.

    Returns:
      The saved state, a dict with "epoch" (epochs done), "seconds" and
      "curve"; that of a fresh start where there is no checkpoint.

    Raises:
      FlagsError: if the checkpoint has changed since it was written.
    """
    name = strategies.on_chief(lambda: _newest(directory))
    if name is None:
        return {"epoch": 0, "seconds": 0.0, "curve": []}
    newest = directory / name
    with seals.opened(newest):
        distiller.load_weights(newest / _WEIGHTS)
        state = json.loads((newest / _STATE).read_text())
    if state.get("best"):
        with _opened_best(directory):
            pass  # noticed now, and not after the last epoch
    return state


def restore_best(distiller, directory):
    """Gives a Distiller's student the weights that `keep_best` kept."""
    with _opened_best(directory) as best:
        distiller.student.load_weights(best / _WEIGHTS)


@contextlib.contextmanager
def _opened_best(directory):
    """Checks the best student; checkpoints without it are of no use."""
    best = directory / _BEST
    with seals.opened(best, delete=directory):
        if not (best / _WEIGHTS).exists():
            raise FileNotFoundError(f"{_WEIGHTS} is missing")
        yield best


class Checkpoints(keras.callbacks.Callback):
    """Keeps the learning curve, and saves both it and the Distiller.

    The Distiller's weights file holds weights, optimizer, hyper-parameters and
    seed states: all that the next epoch depends on.
    """

    def __init__(
        self,
        directory,
        state,
        *,
        every,
        evaluate,
        epochs,
        shown=(),
        keep_best=None,
    ):
        """Builds the callback.

        Args:
          directory: `pathlib.Path` of the arm's checkpoints.
          state: what `restore` returned; updated in place.
          every: int, epochs between two checkpoints.
          evaluate: function without arguments that returns a dict of figures,
            such as the errors on the evaluation cases.
          epochs: int, the arm's number of epochs.
          shown: names of the figures that the callbacks which follow are told.
          keep_best: name of the figure by which the best student so far, of the
            points of the curve, is kept beside the checkpoints; or None.
        """
        super().__init__()
        self._directory = directory
        self._state = state
        self._every = every
        self._evaluate = evaluate
        self._epochs = epochs
        self._shown = shown
        self._keep_best = keep_best
        # About forty points draw a curve; more only cost time.
        self._curve_every = max(1, epochs // 40)

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Adds to the curve, and saves where it is time.

        Raises:
          FlagsError: if the loss is not finite; no such net is kept.
        """
        done = epoch + 1
        self._require_finite(float(logs["loss"]), done)
        self._state["epoch"] = done
        self._state["seconds"] += time.monotonic() - self._began
        if done % self._curve_every == 0 or done == self._epochs:
            figures = self._evaluate()
            logs.update({name: figures[name] for name in self._shown})
            point = {"epoch": done, "loss": float(logs["loss"]), **figures}
            self._state["curve"].append(point)
            if self._keep_best:
                self._keep_if_best(point)
        is_time = done % self._every == 0 and done < self._epochs
        if is_time and strategies.is_chief():
            self._save(done)

    def _require_finite(self, loss, epoch):
        if not math.isfinite(loss):
            raise FlagsError(
                "The loss of a net must stay finite: give a smaller learning "
                "rate, and another --run_dir. Received: a loss of "
                f"{loss} in epoch {epoch} of {self._directory.parent}"
            )

    def _keep_if_best(self, point):
        """Keeps the student of the first of the best points.

        A killed run may leave one that is later than its checkpoint; going on,
        it comes by that point again, and writes the same.
        """
        best = self._state.get("best")
        if best and point[self._keep_best] <= best[self._keep_best]:
            return
        self._state["best"] = point
        if not strategies.is_chief():
            return
        path = self._directory / _BEST
        with _atomic.whole_directory(path, replace=True) as scratch:
            _disk.write_weights(self.model.student, scratch / _WEIGHTS)
            _disk.seal(scratch)

    def _save(self, epoch):
        path = self._directory / f"epoch-{epoch:05d}"
        older = _epochs(self._directory)
        with _atomic.whole_directory(path) as scratch:
            _disk.write_weights(self.model, scratch / _WEIGHTS)
            run_directory.write_json(scratch / _STATE, self._state)
            _disk.seal(scratch)
        for folder in older.values():
            shutil.rmtree(folder)


def _newest(directory):
    """The name of the newest complete checkpoint's folder, or None."""
    epochs = _epochs(directory)
    return epochs[max(epochs)].name if epochs else None


def _epochs(directory):
    """Dict from epoch to the folder of its complete checkpoint."""
    if not directory.exists():
        return {}
    matches = {
        p: re.fullmatch(r"epoch-(\d+)", p.name) for p in directory.iterdir()
    }
    return {int(m[1]): path for path, m in matches.items() if m}

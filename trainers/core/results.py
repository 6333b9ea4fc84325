"""The results of arms: a trained net each, stored whole, loaded again."""

import dataclasses
import json
import pathlib
import shutil

import keras
import numpy as np

from kdtf import _atomic, _disk
from trainers.core import run_directory, seals, strategies, training
from trainers.core.errors import FlagsError

_RESULT = "result"
_WEIGHTS = "student.weights.h5"
_LOGITS = "eval_logits.npy"
_STATE = "state.json"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of an arm and a seed.

    Attributes:
      model: the arm's `keras.Model`; as it began if `has_weights` is False.
      has_weights: bool; a published result may hold its logits alone.
      curve: list of {"epoch", "loss", and figures of the experiment}.
      seconds_per_epoch: float.
      best: the point of the curve that `model` is of; None for the last.
      eval_logits: `[cases, classes]` float32 on the evaluation cases, or None
        if the experiment does not keep them.
      stored: `pathlib.Path` of the folder that it was loaded from, if any.
    """

    model: keras.Model
    has_weights: bool
    curve: list
    seconds_per_epoch: float
    best: dict | None = None
    eval_logits: np.ndarray | None = None
    stored: pathlib.Path | None = None

    @property
    def net(self):
        """The trained `keras.Model`.

        Raises:
          FlagsError: if the result came without weights. It is not trained
            again unasked: its logits, and what was made of them, are those of
            weights that may have come from another machine.
        """
        self.require_weights()
        return self.model

    def require_weights(self):
        """Raises what `net` raises."""
        if not self.has_weights:
            raise FlagsError(
                f"A result must have its weights, {_WEIGHTS}, where its net is "
                f"used or exported: put them there, or delete {self.stored} to "
                "train the net again, and run again. Received: a result "
                f"without them, {self.stored}"
            )


def of(net, directory, train):
    """The result of a net, which is trained unless a result is stored.

    Args:
      net: the arm's `keras.Model`; gets the trained weights.
      directory: `pathlib.Path` of the arm and seed.
      train: function without arguments that trains the net and calls `save`.

    Returns:
      `Result`.

    Raises:
      FlagsError: if what is stored has changed since.
    """
    if not strategies.on_chief(lambda: is_finished(directory)):
        if strategies.is_chief():
            directory.mkdir(parents=True, exist_ok=True)
        train()
    return _load(net, directory)


def is_finished(directory):
    """Whether the directory of an arm and seed holds its result."""
    return (directory / _RESULT).exists()


def save(net, state, directory, *, eval_logits=None):
    """Stores the result of an arm, whole or not at all; all workers call it.

    Args:
      net: the trained `keras.Model`.
      state: what `training.fit` returned.
      directory: `pathlib.Path` of the arm and seed.
      eval_logits: array, see `Result`, or None.
    """

    def write():
        with _atomic.whole_directory(directory / _RESULT) as scratch:
            _disk.write_weights(net, scratch / _WEIGHTS)
            if eval_logits is not None:
                np.save(scratch / _LOGITS, eval_logits)
            run_directory.write_json(scratch / _STATE, state)
            _disk.seal(scratch)

    strategies.on_chief(write)


def _load(net, directory):
    """The stored `Result`; removes the checkpoints that led to it."""
    stored = directory / _RESULT
    weights, logits = stored / _WEIGHTS, stored / _LOGITS
    with seals.opened(stored, may_lack=(_WEIGHTS,)):
        if weights.exists():
            net.load_weights(weights)
        state = json.loads((stored / _STATE).read_text())
        result = Result(
            model=net,
            has_weights=weights.exists(),
            curve=state["curve"],
            seconds_per_epoch=state["seconds"] / state["epoch"],
            best=state.get("best"),
            eval_logits=np.load(logits) if logits.exists() else None,
            stored=stored,
        )
    checkpoints = directory / training.CHECKPOINTS
    if strategies.is_chief() and checkpoints.exists():
        shutil.rmtree(checkpoints)
    return result

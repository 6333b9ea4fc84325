"""The results of arms: a trained net each, stored whole, loaded again."""

import dataclasses
import json
import shutil

import keras
import numpy as np

from kdtf import _atomic
from trainers.core import run_directory, training

_RESULT = "result"
_WEIGHTS = "student.weights.h5"
_LOGITS = "eval_logits.npy"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of an arm and a seed.

    Attributes:
      net: the trained `keras.Model`; as it began if `has_weights` is False.
      has_weights: bool; a published result may hold its logits alone.
      curve: list of {"epoch", "loss", and figures of the experiment}.
      seconds_per_epoch: float.
      best: the point of the curve that `net` is of; None for the last.
      eval_logits: `[cases, classes]` float32 on the evaluation cases, or None
        if the experiment does not keep them.
    """

    net: keras.Model
    has_weights: bool
    curve: list
    seconds_per_epoch: float
    best: dict | None = None
    eval_logits: np.ndarray | None = None


def of(net, directory, train):
    """The result of a net, which is trained unless a result is stored.

    Args:
      net: the arm's `keras.Model`; gets the trained weights.
      directory: `pathlib.Path` of the arm and seed.
      train: function without arguments that trains the net and calls `save`.

    Returns:
      `Result`.
    """
    if not is_finished(directory):
        directory.mkdir(parents=True, exist_ok=True)
        train()
    return _load(net, directory)


def is_finished(directory):
    """Whether the directory of an arm and seed holds its result."""
    return (directory / _RESULT).exists()


def save(net, state, directory, *, eval_logits=None):
    """Stores the result of an arm, whole or not at all.

    Args:
      net: the trained `keras.Model`.
      state: what `training.fit` returned.
      directory: `pathlib.Path` of the arm and seed.
      eval_logits: array, see `Result`, or None.
    """
    with _atomic.whole_directory(directory / _RESULT) as scratch:
        net.save_weights(scratch / _WEIGHTS)
        if eval_logits is not None:
            np.save(scratch / _LOGITS, eval_logits)
        run_directory.write_json(scratch / "state.json", state)


def _load(net, directory):
    """The stored `Result`; removes the checkpoints that led to it."""
    if (directory / training.CHECKPOINTS).exists():
        shutil.rmtree(directory / training.CHECKPOINTS)
    stored = directory / _RESULT
    weights, logits = stored / _WEIGHTS, stored / _LOGITS
    if weights.exists():
        net.load_weights(weights)
    state = json.loads((stored / "state.json").read_text())
    return Result(
        net=net,
        has_weights=weights.exists(),
        curve=state["curve"],
        seconds_per_epoch=state["seconds"] / state["epoch"],
        best=state.get("best"),
        eval_logits=np.load(logits) if logits.exists() else None,
    )

"""Gaussian mixtures with diagonal covariances, one for each state."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

# Distance of the two halves of a component from its mean, in standard
# deviations.
_SPLIT = 0.2
_FLOOR = 0.01  # of the variance of all frames


@dataclasses.dataclass(frozen=True)
class Mixtures:
    """The densities of all states.

    Attributes:
      log_weights: `[states, components]` float64 array; -inf for components
        that a state does not have.
      means: `[states, components, features]` float64 array.
      variances: `[states, components, features]` float64 array, at least
        `floor`.
      floor: `[features]` float64 array.
    """

    log_weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    floor: np.ndarray

    @classmethod
    def flat(cls, frames: npt.ArrayLike, num_states: int) -> "Mixtures":
        """Gives every state the same density: one Gaussian of all frames.

        Args:
          frames: `[frames, features]` array; features should have variances of
            a similar size.
          num_states: int > 0.

        Returns:
          `Mixtures` with one component per state. Its floor, under which no
          variance will fall, is a hundredth of the variance of all frames.
        """
        frames = np.asarray(frames, np.float64)
        variance = frames.var(0)
        variance = np.where(variance > 0, variance, 1.0)
        shape = (num_states, 1, frames.shape[1])
        return cls(
            np.zeros(shape[:2]),
            np.broadcast_to(frames.mean(0), shape).copy(),
            np.broadcast_to(variance, shape).copy(),
            _FLOOR * variance,
        )

    def log_likelihoods(
        self, frames: np.ndarray, states: npt.ArrayLike | None = None
    ) -> np.ndarray:
        """Returns log p(frame | state).

        Args:
          frames: `[frames, features]` array.
          states: `[states]` ints, or None for all states.

        Returns:
          `[frames, states]` float64 array.
        """
        chosen = slice(None) if states is None else np.asarray(states)
        return _log_sum_exp(self._joint(frames, chosen))

    def reestimated(self, frames: np.ndarray, labels: np.ndarray) -> "Mixtures":
        """Performs one step of expectation maximisation.

        Each state learns from its own frames. The likelihood of the frames,
        given their states, does not fall: a variance at its floor is the best
        that the floor allows, and components without frames are left as they
        are.

        Args:
          frames: `[frames, features]` array.
          labels: `[frames]` ints, the state of each frame.

        Returns:
          `Mixtures`.
        """
        new = dataclasses.replace(
            self,
            log_weights=self.log_weights.copy(),
            means=self.means.copy(),
            variances=self.variances.copy(),
        )
        for state, rows in _rows_of(labels):
            x = frames[rows]
            joint = self._joint(x, [state])[:, 0]
            shares = np.exp(joint - _log_sum_exp(joint)[:, None])
            counts = shares.sum(0)
            used = counts > 1e-8
            with np.errstate(divide="ignore"):
                new.log_weights[state] = np.log(counts / len(x))
            divisor = counts[used, None]
            mean = shares.T[used] @ x / divisor
            for c, m in zip(np.flatnonzero(used), mean, strict=True):
                squares = shares[:, c] @ (x - m) ** 2 / counts[c]
                new.variances[state, c] = np.maximum(squares, self.floor)
                new.means[state, c] = m
        return new

    def split(self, labels: np.ndarray, *, fewest: int = 10) -> "Mixtures":
        """Splits every component that has enough frames into two.

        Args:
          labels: `[frames]` ints, the state of each frame.
          fewest: int > 0. A component is split if each half can have this many
            frames.

        Returns:
          `Mixtures` of twice as many components; those of components that were
          not split have weight 0.
        """
        counts = np.bincount(labels, minlength=len(self.means))
        enough = np.exp(self.log_weights) * counts[:, None] >= 2 * fewest
        offset = _SPLIT * np.sqrt(self.variances) * enough[..., None]
        halved = self.log_weights - np.log(2) * enough
        return dataclasses.replace(
            self,
            log_weights=np.concatenate(
                [halved, np.where(enough, halved, -np.inf)], axis=1
            ),
            means=np.concatenate(
                [self.means + offset, self.means - offset], axis=1
            ),
            variances=np.concatenate([self.variances] * 2, axis=1),
        )

    def _joint(
        self, frames: np.ndarray, states: slice | np.ndarray | Sequence[int]
    ) -> np.ndarray:
        """Returns log p(frame, component | state).

        The result is of shape `[frames, states, components]`.
        """
        weights, means = self.log_weights[states], self.means[states]
        precisions = 1 / self.variances[states]
        shape, features = weights.shape, means.shape[-1]
        # sum_d (x_d - m_d)^2 / v_d, multiplied out: matrix products are much
        # faster than an array of all differences.
        flat = precisions.reshape(-1, features)
        scaled = (means * precisions).reshape(-1, features)
        distances = frames**2 @ flat.T - 2 * frames @ scaled.T
        constants = weights - 0.5 * (
            (means**2 * precisions).sum(-1)
            + np.log(2 * np.pi / precisions).sum(-1)
        )
        return constants - 0.5 * distances.reshape(-1, *shape)


def _log_sum_exp(joint: np.ndarray) -> np.ndarray:
    """Returns log sum exp over the last axis; one value must be finite."""
    if joint.shape[-1] == 1:
        return joint[..., 0]
    peak = joint.max(-1)
    return peak + np.log(np.exp(joint - peak[..., None]).sum(-1))


def _rows_of(labels: npt.ArrayLike) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each state that occurs, with the rows of its frames."""
    labels = np.asarray(labels)
    order = np.argsort(labels, kind="stable")
    states, starts = np.unique(labels[order], return_index=True)
    return zip(states, np.split(order, starts[1:]), strict=True)

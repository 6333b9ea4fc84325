"""Gaussian mixtures with diagonal covariances, one a state."""

import dataclasses

import numpy as np

_SPLIT = 0.2  # of a standard deviation, to either side
_FLOOR = 0.01  # of the variance of all frames


@dataclasses.dataclass(frozen=True)
class Mixtures:
    """The densities of all states.

    Attributes:
      log_weights: `[states, components]` float64; -inf where a state has fewer
        components than others.
      means: `[states, components, features]` float64.
      variances: `[states, components, features]` float64, at least `floor`.
      floor: `[features]` float64.
    """

    log_weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    floor: np.ndarray

    @classmethod
    def flat(cls, frames, num_states):
        """One Gaussian for all states alike: that of all frames.

        Args:
          frames: `[frames, features]` array; features should have variances of
            a similar size.
          num_states: int > 0.

        Returns:
          `Mixtures` of one component a state. No variance will ever be less
          than a hundredth of that of all frames.
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

    def log_likelihoods(self, frames, states=None):
        """log p(frame | state).

        Args:
          frames: `[frames, features]` array.
          states: ints, or None for all.

        Returns:
          `[frames, states]` float64 array.
        """
        states = slice(None) if states is None else np.asarray(states)
        return _log_sum_exp(self._joint(frames, states))

    def reestimated(self, frames, labels):
        """One step of expectation maximisation, each state on its own frames.

        The likelihood of the frames, given their states, does not fall: a
        variance at its floor is the best that the floor allows, and what no
        frame belongs to stays as it is.

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

    def split(self, labels, *, fewest=10):
        """Every component with enough frames becomes two, a bit apart.

        Args:
          labels: `[frames]` ints, the state of each frame.
          fewest: int > 0, the frames that each of the two should be left with.

        Returns:
          `Mixtures` of twice as many components, some of them of weight 0.
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

    def _joint(self, frames, states):
        """`[frames, states, components]`: log p(frame, component | state)."""
        weights, means = self.log_weights[states], self.means[states]
        precisions = 1 / self.variances[states]
        shape, features = weights.shape, means.shape[-1]
        # sum_d (x - m)^2 / v, as three products of matrices.
        flat = precisions.reshape(-1, features)
        scaled = (means * precisions).reshape(-1, features)
        distances = frames**2 @ flat.T - 2 * frames @ scaled.T
        constants = weights - 0.5 * (
            (means**2 * precisions).sum(-1)
            + np.log(2 * np.pi / precisions).sum(-1)
        )
        return constants - 0.5 * distances.reshape(-1, *shape)


def _log_sum_exp(joint):
    """log sum exp over the last axis, of which not all may be -inf."""
    if joint.shape[-1] == 1:
        return joint[..., 0]
    peak = joint.max(-1)
    return peak + np.log(np.exp(joint - peak[..., None]).sum(-1))


def _rows_of(labels):
    """Pairs of a state and the rows of its frames."""
    labels = np.asarray(labels)
    order = np.argsort(labels, kind="stable")
    states, starts = np.unique(labels[order], return_index=True)
    return zip(states, np.split(order, starts[1:]), strict=True)

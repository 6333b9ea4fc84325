"""Biases for classes that are rarer or more frequent than in the training data.

A student that never saw a class learns from the soft targets what the class
looks like, and that it is rare. The paper corrects that with another bias for
the class (section 3: without any 3 in the transfer set, the bias of 3 was
raised by 3.5). The functions here choose such biases without the test set; add
their results to the logits, or to the bias of the last layer.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

_TOLERANCE = 1e-9  # of a share
# In logits: keeps Newton's steps where its quadratic model is accurate.
_LONGEST_STEP = 5.0
_MOST_STEPS = 200
# Relative, of a mean over rows: near the minimum steps gain less, and each is
# taken for what its slope promises.
_ROUNDING = 1e-13


def match_prior(
    logits: npt.ArrayLike, prior: Mapping[int, float]
) -> np.ndarray:
    """Finds biases with which the mean predicted shares equal known shares.

    Solves mean_rows softmax(z + b)_c = prior_c for b_c of all classes c in
    `prior`; the other biases are 0. The solution is the minimum of the convex
    function mean_rows log sum_i exp(z_i + b_i) - sum_c prior_c b_c, which is
    found with Newton's method. No labels are needed.

    Args:
      logits: `[rows, classes]` array of finite values, for examples in which
        the classes are as frequent as `prior` says.
      prior: dict from class to its share of the examples. Shares are positive,
        with a sum of less than 1. At least one class must not be in it.

    Returns:
      `[classes]` float64 array to be added to logits.

    Raises:
      ValueError: if `logits` is not a finite `[rows, classes]` array with at
        least one row, `prior` is empty or names all classes or an unknown one,
        its shares are not positive with a sum of less than 1, or no bias
        reaches them in float64.

    Example:
      >>> logits = np.array([[3.0, 0.0, -1.0], [0.0, 2.0, -2.0]])
      >>> shift = kdtf.output_bias.match_prior(logits, {2: 0.4})
      >>> shares = tf.nn.softmax(logits + shift).numpy().mean(axis=0)
      >>> shares[2].round(6).item()
      0.4
    """
    z = _finite_rows(logits)
    classes = list(prior)
    _check_classes(classes, z.shape[1], "prior")
    shares = np.array([prior[c] for c in classes], np.float64)
    if not (shares > 0).all() or shares.sum() >= 1:
        raise ValueError(
            "`prior` must hold positive shares that sum to less than 1. "
            f"Received: prior={prior}"
        )
    bias = np.zeros(len(classes))
    value, slope, curvature = _distance(z, classes, shares, bias)
    for _ in range(_MOST_STEPS):
        if np.abs(slope).max() < _TOLERANCE:
            shift = np.zeros(z.shape[1])
            shift[classes] = bias
            return shift
        step = np.linalg.lstsq(curvature, -slope, rcond=None)[0]
        step *= min(1.0, _LONGEST_STEP / np.abs(step).max())
        # Halve the step until it gains a fair part of what the slope promises.
        while True:
            new = _distance(z, classes, shares, bias + step)
            rounding = _ROUNDING * (1.0 + abs(value))
            if new[0] <= value + 1e-4 * slope @ step + rounding:
                break
            step /= 2
        bias, (value, slope, curvature) = bias + step, new
    raise ValueError(
        "`prior` must be shares that some bias can reach. Received: "
        f"prior={prior}; the nearest shares found differ by {slope}"
    )


def fewest_errors(
    logits: npt.ArrayLike, labels: npt.ArrayLike, classes: Sequence[int]
) -> np.ndarray:
    """Finds the bias, shared by some classes, with the fewest errors.

    The solution is exact: the prediction for an example changes where the bias
    equals the difference between its largest logit outside `classes` and its
    largest logit inside.

    Args:
      logits: `[rows, classes]` array of finite values.
      labels: `[rows]` integer array.
      classes: the classes that get the bias; not all classes.

    Returns:
      `[classes]` float64 array to be added to logits. Of the intervals of
      biases with the fewest errors, the one nearest to 0 is chosen, and of it
      the middle.

    Raises:
      ValueError: if `logits` is not a finite `[rows, classes]` array with at
        least one row, `labels` does not have one integer per row, or `classes`
        is empty, has duplicates, or names all classes or an unknown one.

    Example:
      >>> logits = np.array([[2.0, 1.0], [3.0, 0.0], [9.0, 1.0]])
      >>> kdtf.output_bias.fewest_errors(logits, [1, 1, 0], classes=[1])
      array([0. , 5.5])
    """
    z, labels = _finite_rows(logits), np.asarray(labels)
    classes = list(classes)
    _check_classes(classes, z.shape[1], "classes")
    if labels.shape != z.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be {len(z)} integers here. Received: labels of "
            f"shape {labels.shape} and dtype {labels.dtype}"
        )
    inside = np.zeros(z.shape[1], bool)
    inside[classes] = True
    ours, others = (np.where(mask, z, -np.inf) for mask in (inside, ~inside))
    gaps = others.max(-1) - ours.max(-1)
    # A bias above an example's gap moves its prediction into `classes`; this is
    # by how much the number of errors then changes.
    change = (others.argmax(-1) == labels) * 1 - (ours.argmax(-1) == labels)
    order = np.argsort(gaps)
    bounds = np.concatenate([[-np.inf], gaps[order], [np.inf]])
    errors = np.concatenate([[0], np.cumsum(change[order])])
    open_ = bounds[1:] > bounds[:-1]  # there is no bias between equal gaps
    best = np.flatnonzero(open_ & (errors == errors[open_].min()))
    low, high = bounds[:-1][best], bounds[1:][best]
    nearest = np.argmin(np.maximum(0, np.maximum(low, -high)))
    shift = np.zeros(z.shape[1])
    shift[classes] = _middle(low[nearest], high[nearest])
    return shift


def _distance(
    z: np.ndarray, classes: list[int], shares: np.ndarray, bias: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns the convex function of `match_prior`, its slope and curvature."""
    shifted = z.copy()
    shifted[:, classes] += bias
    peak = shifted.max(-1, keepdims=True)
    exponentials = np.exp(shifted - peak)
    total = exponentials.sum(-1, keepdims=True)
    p = exponentials[:, classes] / total
    value = np.mean(peak + np.log(total)) - shares @ bias
    mean = p.mean(0)
    return value, mean - shares, np.diag(mean) - p.T @ p / len(p)


def _middle(low: float, high: float) -> float:
    """Returns the middle of an interval, or 1 from its only finite end."""
    if np.isinf(low) and np.isinf(high):
        return 0.0
    if np.isinf(low):
        return high - 1.0
    return low + 1.0 if np.isinf(high) else (low + high) / 2


def _finite_rows(logits: npt.ArrayLike) -> np.ndarray:
    z = np.asarray(logits, np.float64)
    if z.ndim != 2 or not len(z) or not np.isfinite(z).all():
        raise ValueError(
            "`logits` must be finite, of shape [rows, classes], with at least "
            f"one row. Received: logits of shape {z.shape}"
        )
    return z


def _check_classes(classes: list[int], count: int, name: str) -> None:
    valid = all(c in range(count) for c in classes)
    if not valid or not 0 < len(set(classes)) == len(classes) < count:
        raise ValueError(
            f"`{name}` must name some of the {count} classes, each once, but "
            f"not all. Received: {classes}"
        )

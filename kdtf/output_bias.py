"""Biases for classes that a transfer set had too few of, or too many.

A student that never saw a class has learned from the soft targets what the
class looks like, and that it is rare. The paper repairs that by another bias of
the class (section 3: all threes left out, the bias of three raised by 3.5).
Here are two ways to choose it without the test set; either gives what is to be
added to the logits, or to the bias of the last layer.
"""

import numpy as np

_TOLERANCE = 1e-9  # of a share
_LONGEST_STEP = 5.0  # in logits; keeps Newton's steps where the model is good
_MOST_STEPS = 200


def match_prior(logits, prior):
    """The biases that make mean predicted shares equal to known ones.

    Finds b, 0 but for the classes in `prior`, with mean_rows softmax(z + b)_c =
    prior_c for each of those: the least of the convex function
    mean_rows log sum_i exp(z_i + b_i) - sum_c prior_c b_c, by Newton's method.
    Needs no label.

    Args:
      logits: `[rows, classes]` array, finite, of examples as they come.
      prior: dict from class to its known share of them, each positive, together
        less than 1. At least one class must not be in it.

    Returns:
      `[classes]` float64 array, to be added to logits.

    Raises:
      ValueError: where an argument is none of these, or the shares cannot be
        reached within float64.

    Example:
      >>> shift = kdtf.output_bias.match_prior(unlabelled_logits, {3: 0.1})
      >>> predictions = np.argmax(test_logits + shift, axis=-1)
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
        # Halved until it gains at least a part of what the slope promises.
        while True:
            new = _distance(z, classes, shares, bias + step)
            if new[0] <= value + 1e-4 * slope @ step + 1e-15:
                break
            step /= 2
        bias, (value, slope, curvature) = bias + step, new
    raise ValueError(
        "`prior` must be shares that some bias can reach. Received: "
        f"prior={prior}, of which the nearest found differ by {slope}"
    )


def fewest_errors(logits, labels, classes):
    """The one bias on some classes that makes the fewest errors on labels.

    Exact: an example changes sides where the bias equals the gap between its
    largest logit outside of the classes and its largest inside.

    Args:
      logits: `[rows, classes]` array, finite.
      labels: `[rows]` integer array.
      classes: sequence of the classes that get the bias, not all there are.

    Returns:
      `[classes]` float64 array, to be added to logits: of the biases with the
      fewest errors those nearest to 0, and of these the one in the middle.

    Raises:
      ValueError: where an argument is none of these.

    Example:
      >>> shift = kdtf.output_bias.fewest_errors(logits, labels, classes=[7, 8])
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
    # Above its gap an example is one of ours; what that does to the errors.
    change = (others.argmax(-1) == labels) * 1 - (ours.argmax(-1) == labels)
    order = np.argsort(gaps)
    bounds = np.concatenate([[-np.inf], gaps[order], [np.inf]])
    errors = np.concatenate([[0], np.cumsum(change[order])])
    open_ = bounds[1:] > bounds[:-1]  # no bias lies between equal gaps
    best = np.flatnonzero(open_ & (errors == errors[open_].min()))
    low, high = bounds[:-1][best], bounds[1:][best]
    nearest = np.argmin(np.maximum(0, np.maximum(low, -high)))
    shift = np.zeros(z.shape[1])
    shift[classes] = _middle(low[nearest], high[nearest])
    return shift


def _distance(z, classes, shares, bias):
    """The convex function of `match_prior`, its slope and its curvature."""
    shifted = z.copy()
    shifted[:, classes] += bias
    peak = shifted.max(-1, keepdims=True)
    exponentials = np.exp(shifted - peak)
    total = exponentials.sum(-1, keepdims=True)
    p = exponentials[:, classes] / total
    value = np.mean(peak + np.log(total)) - shares @ bias
    mean = p.mean(0)
    return value, mean - shares, np.diag(mean) - p.T @ p / len(p)


def _middle(low, high):
    """The middle of an interval; of one without an end, a little inside."""
    if np.isinf(low) and np.isinf(high):
        return 0.0
    if np.isinf(low):
        return high - 1.0
    return low + 1.0 if np.isinf(high) else (low + high) / 2


def _finite_rows(logits):
    z = np.asarray(logits, np.float64)
    if z.ndim != 2 or not len(z) or not np.isfinite(z).all():
        raise ValueError(
            "`logits` must be finite, of shape [rows, classes], with a row at "
            f"least. Received: logits of shape {z.shape}"
        )
    return z


def _check_classes(classes, count, name):
    valid = all(c in range(count) for c in classes)
    if not valid or not 0 < len(set(classes)) == len(classes) < count:
        raise ValueError(
            f"`{name}` must name some of the {count} classes, each once, and "
            f"not all. Received: {classes}"
        )

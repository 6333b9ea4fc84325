"""The right outputs of a loss, in float64, and the error of other outputs."""

import numpy as np

_ROWS_AT_ONCE = 256


def loss_and_gradient(values, soft_term, gradient_rows=32):
    """The mean loss and its gradient in closed form, in float64.

    With p = softmax(v / T), q = softmax(z / T), r = softmax(z) and the weights
    a and b, a row's loss is (a T^2 KL(p || q) - b log r_label) / (a + b), or
    with -sum p log q for the KL, and its gradient by z is (a T (q - p) +
    b (r - onehot)) / (a + b).

    Args:
      values: list of arrays: student logits and teacher logits `[rows,
        classes]`, labels `[rows]`, temperature, soft weight, hard weight.
      soft_term: "divergence" or "cross-entropy"; or "top", the divergence from
        a teacher that is, in place of its logits, the largest of them, their
        classes `[rows, k]` each, and the log-mass of the others `[rows]`.
      gradient_rows: int, the rows whose gradient is returned.

    Returns:
      float and array `[gradient_rows, classes]`.
    """
    z, *teacher, labels, temperature, soft_weight, hard_weight = values
    hyperparameters = list(map(float, (temperature, soft_weight, hard_weight)))
    total, gradient = 0.0, None
    for start in range(0, len(z), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        losses, slopes = _rows(
            z[part].astype(np.float64),
            _teacher_logits([each[part] for each in teacher], z, temperature),
            labels[part],
            soft_term,
            *hyperparameters,
        )
        total += losses.sum()
        if gradient is None:
            gradient = slopes[:gradient_rows] / len(z)
    return total / len(z), gradient


def _teacher_logits(teacher, z, temperature):
    """`[rows, classes]`, of top logits with the other mass spread evenly."""
    largest = teacher[0].astype(np.float64)
    if len(teacher) == 1:
        return largest
    _, chosen, tail = teacher
    log_mass = _log_sum(largest / float(temperature))[:, 0]
    log_mass += tail - np.log(-np.expm1(tail.astype(np.float64)))
    rest = log_mass - np.log(z.shape[1] - largest.shape[1])
    logits = np.repeat(float(temperature) * rest[:, None], z.shape[1], axis=1)
    np.put_along_axis(logits, chosen.astype(np.int64), largest, axis=1)
    return logits


def error(measured, right):
    """The largest difference, as a part of the largest right value.

    Args:
      measured: array.
      right: array of that shape.

    Returns:
      float.
    """
    measured = np.asarray(measured).astype(np.float64)
    right = np.asarray(right).astype(np.float64)
    gap = float(np.max(np.abs(measured - right)))
    return gap / (float(np.max(np.abs(right))) or 1.0)


def _rows(z, v, labels, soft_term, temperature, soft_weight, hard_weight):
    """Losses `[rows]` and gradients `[rows, classes]`."""
    log_p, log_q = (_log_softmax(each / temperature) for each in (v, z))
    log_r, p = _log_softmax(z), np.exp(log_p)
    entropy = 0.0 if soft_term == "cross-entropy" else log_p
    soft = np.sum(p * (entropy - log_q), axis=-1)
    rows = np.arange(len(z))
    hard = -log_r[rows, labels]
    total = soft_weight + hard_weight
    residual = np.exp(log_r)
    residual[rows, labels] -= 1.0
    slopes = soft_weight * temperature * (np.exp(log_q) - p)
    slopes += hard_weight * residual
    losses = soft_weight * temperature**2 * soft + hard_weight * hard
    return losses / total, slopes / total


def _log_softmax(x):
    return x - _log_sum(x)


def _log_sum(x):
    """`[rows, 1]`."""
    peak = x.max(axis=-1, keepdims=True)
    return peak + np.log(np.exp(x - peak).sum(axis=-1, keepdims=True))

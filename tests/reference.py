"""The losses once more, in float64 numpy, straight from their definitions."""

import numpy as np


def log_softmax(logits, temperature=1.0):
    """`[..., classes]` float64 log-probabilities."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))


def softmax(logits, temperature=1.0):
    """`[..., classes]` float64 probabilities."""
    return np.exp(log_softmax(logits, temperature))


def soft_loss(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T, `[...]`.

    Where the two are close the sum of p (log p - log q) cancels even in
    float64, so p - q, which sums to 0, is added term by term.
    """
    log_p = log_softmax(teacher_logits, temperature)
    log_q = log_softmax(student_logits, temperature)
    p, q = np.exp(log_p), np.exp(log_q)
    return (p * (log_p - log_q) - p + q).sum(-1)


def soft_gradient(student_logits, teacher_logits, temperature):
    """(q - p) / T."""
    q = softmax(student_logits, temperature)
    return (q - softmax(teacher_logits, temperature)) / temperature


def hard_loss(student_logits, labels):
    """Cross-entropy `[...]`; 0 where the label is -1."""
    log_q = log_softmax(student_logits)
    picked = np.take_along_axis(
        log_q, np.maximum(labels, 0)[..., None], axis=-1
    )[..., 0]
    return np.where(labels == -1, 0.0, -picked)


def hard_gradient(student_logits, labels):
    """q - one_hot, and 0 where the label is -1."""
    q = softmax(student_logits)
    one_hot = np.eye(q.shape[-1])[np.maximum(labels, 0)]
    return np.where((labels == -1)[..., None], 0.0, q - one_hot)


def distillation_loss(
    student_logits,
    teacher_logits,
    labels,
    temperature,
    soft_weight,
    hard_weight,
):
    """(ws T^2 soft + wh hard) / (ws + wh)."""
    soft = soft_loss(student_logits, teacher_logits, temperature)
    hard = hard_loss(student_logits, labels)
    total = soft_weight * temperature**2 * soft + hard_weight * hard
    return total / (soft_weight + hard_weight)


def top_probabilities(top_logits, top_classes, tail, classes, temperature):
    """`[rows, classes]`: k classes share 1 - e^tail, all others e^tail evenly.

    From the definition: by probabilities, one row after another.
    """
    rows = []
    for u, chosen, t in zip(top_logits, top_classes, tail, strict=True):
        row = np.full(classes, np.exp(np.float64(t)) / (classes - len(u)))
        row[chosen] = -np.expm1(np.float64(t)) * softmax(u, temperature)
        rows.append(row)
    return np.array(rows)


def sigmoid(logits, temperature=1.0):
    """float64 probabilities, also where they are near 0."""
    return np.exp(-np.logaddexp(0.0, -np.float64(logits) / temperature))


def binary_soft_loss(student_logits, teacher_logits, temperature):
    """KL(teacher || student) at T of every label: both of its outcomes.

    As in `soft_loss`, p - q is added to each outcome's term.
    """
    total = 0.0
    for sign in (1.0, -1.0):
        a = sign * np.float64(teacher_logits) / temperature
        b = sign * np.float64(student_logits) / temperature
        log_p, log_q = -np.logaddexp(0.0, -a), -np.logaddexp(0.0, -b)
        p, q = np.exp(log_p), np.exp(log_q)
        total += p * (log_p - log_q) - p + q
    return total


def binary_soft_gradient(student_logits, teacher_logits, temperature):
    """(q - p) / T of every label."""
    q = sigmoid(student_logits, temperature)
    return (q - sigmoid(teacher_logits, temperature)) / temperature


def binary_hard_loss(student_logits, labels):
    """-y log q - (1 - y) log(1 - q) of every label; 0 where y is negative."""
    z = np.float64(student_logits)
    loss = labels * np.logaddexp(0.0, -z) + (1 - labels) * np.logaddexp(0.0, z)
    return np.where(labels < 0, 0.0, loss)


def binary_hard_gradient(student_logits, labels):
    """q - y of every label, and 0 where y is negative."""
    return np.where(labels < 0, 0.0, sigmoid(student_logits) - labels)

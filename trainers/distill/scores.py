"""What nets' logits say on test cases, in float64.

Logits are `[cases, classes]` of any float dtype; they become float64 a block of
rows at a time, so that many cases of many classes fit into memory.
"""

import numpy as np

_ROWS = 4096  # of a block


def log_probabilities(logits):
    """Logarithms of the softmax.

    Args:
      logits: `[..., classes]` array.

    Returns:
      `[..., classes]` float64 array.
    """
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def negative_log_likelihoods(logits, labels):
    """`[cases]`: -log of the probability of the label."""

    def of_block(logits, labels):
        found = log_probabilities(logits)
        return -np.take_along_axis(found, labels[:, None], -1)[:, 0]

    return _by_block(of_block, logits, labels)


def brier_scores(logits, labels):
    """`[cases]`: squared distance of the probabilities from the label's."""

    def of_block(logits, labels):
        found = np.exp(log_probabilities(logits))
        found[np.arange(len(labels)), labels] -= 1.0
        return (found**2).sum(-1)

    return _by_block(of_block, logits, labels)


def divergences(teacher_logits, logits):
    """`[cases]`: KL of the probabilities from the teacher's, at T = 1."""

    def of_block(teacher, student):
        teacher, student = map(log_probabilities, (teacher, student))
        p = np.exp(teacher)
        # A teacher may rule a class out, by a logit of minus infinity.
        gaps = np.subtract(
            teacher, student, out=np.zeros_like(p), where=p > 0.0
        )
        return (p * gaps).sum(-1)

    return _by_block(of_block, teacher_logits, logits)


def confidences(logits):
    """`[cases]`: the probability of the class that is chosen."""
    return _by_block(lambda z: np.exp(log_probabilities(z).max(-1)), logits)


def _by_block(function, *arrays):
    """A function of rows, `_ROWS` at a time."""
    cases = len(arrays[0])
    blocks = [
        function(*(a[i : i + _ROWS] for a in arrays))
        for i in range(0, cases, _ROWS)
    ]
    return np.concatenate([np.zeros(0), *blocks])

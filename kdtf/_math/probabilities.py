"""Numbers that look like probabilities where logits belong."""

import warnings

import numpy as np

# So many numbers from 0 to 1 are no logits of a sigmoid by chance.
_ENOUGH = 64


def check_no_probabilities(logits, argument, head_name):
    """Raises ValueError if all rows of a batch look like probabilities.

    Args:
      logits: numpy array `[..., classes]`, as they were given.
      argument: str, what the error calls them, or the model that made them.
      head_name: str, "softmax" or "sigmoid".
    """
    values = np.asarray(logits, np.float32)
    within = values.size > 0 and bool(((values >= 0) & (values <= 1)).all())
    if head_name == "softmax":
        found = within and np.allclose(values.sum(-1), 1, atol=1e-3)
    else:
        found = within and values.size >= _ENOUGH
    if found:
        raise ValueError(
            f"`{argument}` must give logits, not probabilities: all "
            f"{values.size} numbers looked at lie between 0 and 1"
            f"{' and sum to 1' if head_name == 'softmax' else ''}. Use "
            "kdtf.logits_of(model) for a model that ends in a softmax or "
            "sigmoid, kdtf.logits_from_probabilities for what gives nothing "
            f"else. Received: {values.reshape(-1, values.shape[-1])[0]}, ..."
        )


def check_teacher(logits, head_name):
    """As `check_no_probabilities`, of what a teacher said of some rows.

    Raises, or warns where logits might be such numbers by chance: those of
    labels, and those of classes whose sigmoids are each for itself.
    """
    if head_name == "softmax":
        check_no_probabilities(logits, "teacher", head_name)
    try:
        check_no_probabilities(logits, "teacher", "sigmoid")
    except ValueError as error:
        warnings.warn(str(error), stacklevel=2)

"""Random inputs that both sides draw identically, with NumPy alone."""

import math

import ml_dtypes
import numpy as np

HYPERPARAMETERS = {"temperature": 4.0, "soft_weight": 0.9, "hard_weight": 0.1}
_MOST_DRAWN = 2**24


def draw(parameters, seed=0):
    """The values of a program's parameters, drawn as they say.

    Args:
      parameters: list of dicts with "shape", "dtype" and "draw", which is
        ["normal", standard deviation], ["integers", upper bound], ["distinct",
        upper bound], integers that differ within a row, or ["constant", value].
      seed: int.

    Returns:
      List of arrays.

    Raises:
      ValueError: if a parameter is drawn in no known way.
    """
    rng = np.random.default_rng(seed)
    return [
        as_dtype(_draw_one(rng, each["shape"], *each["draw"]), each["dtype"])
        for each in parameters
    ]


def as_dtype(array, name):
    """The array in the dtype of that name, "bfloat16" included."""
    return np.asarray(array).astype(
        ml_dtypes.bfloat16 if name == "bfloat16" else name
    )


def _draw_one(rng, shape, how, size):
    if how == "normal":
        count = min(math.prod(shape), _MOST_DRAWN)  # and then again
        return np.resize(size * rng.standard_normal(count, np.float32), shape)
    if how == "integers":
        return rng.integers(0, size, shape)
    if how == "distinct":
        count = shape[-1]
        step = size // count
        columns = step * np.arange(count) + rng.integers(0, step, shape)
        return rng.permuted(columns, axis=1)
    if how == "constant":
        return np.full(shape, size)
    raise ValueError(
        "`draw` must start with normal, integers, distinct or constant. "
        f"Received: {[how, size]}"
    )

"""The inputs that are drawn by a recipe."""

import numpy as np
import pytest

from benchmarks.gpu import inputs


def test_inputs_are_what_their_recipes_say():
    recipes = [
        {"shape": [999], "dtype": "bfloat16", "draw": ["normal", 5.0]},
        {"shape": [999], "dtype": "int32", "draw": ["integers", 3]},
        {"shape": [], "dtype": "float32", "draw": ["constant", 4.0]},
        {"shape": [50, 7], "dtype": "int32", "draw": ["distinct", 20]},
    ]
    drawn = inputs.draw(recipes)
    assert [a.dtype.name for a in drawn] == [r["dtype"] for r in recipes]
    logits, labels, constant, distinct = drawn
    assert all(len(set(row)) == 7 for row in distinct.tolist())
    assert distinct.min() >= 0 and distinct.max() < 20
    assert distinct[0, 0] != distinct[1, 0] or distinct[0, 1] != distinct[1, 1]
    # The standard error of a standard deviation is sigma / sqrt(2 n).
    spread = logits.astype(np.float64).std()
    assert spread == pytest.approx(5.0, abs=4 * 5.0 / np.sqrt(2 * 999))
    assert set(labels) == {0, 1, 2} and constant == 4.0
    with pytest.raises(ValueError, match="uniform"):
        inputs.draw([{"shape": [], "dtype": "int32", "draw": ["uniform", 1]}])


def test_large_inputs_repeat_what_was_drawn(monkeypatch):
    monkeypatch.setattr(inputs, "_MOST_DRAWN", 5)
    recipe = {"shape": [4, 3], "dtype": "float32", "draw": ["normal", 2.0]}
    [drawn] = inputs.draw([recipe])
    first = drawn.ravel()[:5]
    assert len(set(first)) == 5
    np.testing.assert_array_equal(drawn.ravel(), [*first, *first, *first[:2]])

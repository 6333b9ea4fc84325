"""kdtf.specialists.correlations: those of float64, in little memory."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from kdtf.specialists import correlations
from tests import reference


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks and tiles so small that tests have many, and parts of some."""
    monkeypatch.setattr(correlations, "ROWS", 64)
    monkeypatch.setattr(correlations, "TILE", 16)


def predictions(cases=1000, classes=40, seed=0, scale=2.0):
    """`[cases, classes]` float32: each case has some similar classes."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(cases, 5)) @ rng.normal(size=(5, classes))
    return reference.softmax(scale * factors).astype(np.float32)


def in_float64(p):
    """Correlations from their definition."""
    centred = p.astype(np.float64) - p.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred / len(p)
    deviations = np.sqrt(np.diagonal(covariance))
    return covariance / deviations / deviations[:, None], deviations


def check(found, p, atol=1e-6):
    matrix, deviations = in_float64(p)
    np.testing.assert_allclose(found.matrix, matrix, rtol=0, atol=atol)
    np.testing.assert_allclose(found.deviations, deviations, rtol=1e-5)


def in_batches(p, size=50):
    return [p[start : start + size] for start in range(0, len(p), size)]


@pytest.mark.parametrize(
    "form",
    [
        lambda p: p,
        tf.constant,
        tf.Variable,
        in_batches,
        lambda p: iter(in_batches(p, 333)),
        lambda p: [p[:0], p[:1], p[1:]],
        lambda p: tf.data.Dataset.from_tensor_slices(p).batch(100),
    ],
    ids=["array", "tensor", "variable", "list", "generator", "empty", "data"],
)
def test_all_forms_give_those_of_float64(form):
    p = predictions()
    found = correlations.correlations(form(p))
    assert found.matrix.dtype == found.deviations.dtype == np.float32
    check(found, p)


def test_batches_do_not_matter():
    p = predictions()
    whole = correlations.correlations(p)
    parts = correlations.correlations(in_batches(p, 7))
    np.testing.assert_array_equal(whole.matrix, parts.matrix)


def test_order_of_batches_matters_only_in_rounding():
    p = predictions()
    whole = correlations.correlations(p)
    back = correlations.correlations(reversed(in_batches(p)))
    np.testing.assert_allclose(whole.matrix, back.matrix, rtol=0, atol=1e-6)


def test_cases_sorted_by_class_lose_no_digits():
    """The first block's mean is far from that of all."""
    p = predictions(scale=8.0)
    found = correlations.correlations(p[np.argsort(p.argmax(axis=1))])
    # Sums of 64 products in a block, and of 16 blocks, are rounded by 2^-25 at
    # most: eight times what that makes at random. About the first block's mean
    # the error is larger; processors with AVX2 alone come to 1.2e-6.
    check(found, p, atol=8 * np.sqrt(64 + 16) * 2.0**-25)


def test_predictions_that_hardly_vary_lose_no_digits():
    """Squares of the values would cancel to 1e-3 of the variance."""
    p = predictions(cases=20_000, classes=20, scale=0.001)
    check(correlations.correlations(p), p, atol=1e-5)


def test_as_many_blocks_as_of_a_million_cases_lose_no_digits():
    p = predictions(cases=64_000, classes=20)
    check(correlations.correlations(p), p)


def test_constant_columns_are_0():
    p = predictions() * np.float32(0.75)
    constant = np.full((len(p), 2), 0.125, np.float32)
    tiny = np.random.default_rng(1).random((len(p), 1)).astype(np.float32)
    found = correlations.correlations(
        np.hstack([p, constant, tiny * 1e-9, np.zeros_like(tiny)])
    )
    assert found.varying.tolist() == [True] * 40 + [False] * 4
    assert not found.matrix[40:].any() and not found.matrix[:, 40:].any()
    np.testing.assert_allclose(
        found.matrix[:40, :40], in_float64(p)[0], rtol=0, atol=1e-6
    )


def test_one_case_does_not_vary():
    assert not correlations.correlations(predictions(cases=1)).varying.any()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_other_dtypes(dtype):
    p = tf.cast(predictions(), dtype)
    check(correlations.correlations(p), np.asarray(p).astype(np.float32))


def test_one_matrix_is_in_memory(monkeypatch):
    monkeypatch.setattr(correlations, "TILE", 128)
    batches = in_batches(predictions(cases=500, classes=1000))
    tracemalloc.start()
    try:
        correlations.correlations(batches)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    matrix, block, tile = 4 * 1000**2, 4 * 64 * 1000, 4 * 128**2
    assert matrix < peak < matrix + block + tile + 200_000


P = predictions(cases=10)
LOGITS = np.log(P) + 5


@pytest.mark.parametrize(
    ("probabilities", "received"),
    [
        (LOGITS, "tf.nn.softmax"),
        (np.abs(LOGITS), "tf.nn.softmax"),
        ([P, np.log(P)], "tf.nn.softmax"),
        (np.full((3, 2), np.nan), "sum nan"),
        (np.array([[0.5, 0.5], [np.inf, 0.5]]), "sum inf"),
        (np.array([[1.5, -0.5]]), "smallest value of -0.5"),
        (P[0], r"shape \(40,\)"),
        (P[None], r"shape \(1, 10, 40\)"),
        (list(P), r"shape \(40,\)"),
        (P.tolist(), "a list"),
        (P[:, :1], "at least 2 classes"),
        ([P, P[:, :20]], r"40 classes, and a batch of shape \(10, 20\)"),
        ([(P, np.zeros(10))], "a tuple"),
        ({"x": P}, "a str"),
        (P.astype(str), "dtype <U"),
        (P.astype(complex), "dtype complex128"),
        (P.astype(object), "dtype object"),
        (None, "a NoneType"),
        (0.5, "a float"),
        ([], "Received: none"),
        (P[:0], "Received: none"),
        (iter(()), "Received: none"),
    ],
)
def test_bad_probabilities(probabilities, received):
    with pytest.raises(ValueError, match=f"`probabilities` must.*{received}"):
        correlations.correlations(probabilities)


def test_endless_data():
    data = tf.data.Dataset.from_tensors(P).repeat()
    with pytest.raises(ValueError, match="`probabilities` must end"):
        correlations.correlations(data)

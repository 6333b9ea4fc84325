"""kdtf.specialists.spherical: K-means by cosines."""

import tracemalloc

import numpy as np
import pytest

from kdtf.specialists import spherical


def blocks(sizes, inside=0.5, zeros=0):
    """A correlation matrix with `inside` between the classes of a block."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    matrix = np.where(owner[:, None] == owner, inside, 0.0)
    np.fill_diagonal(matrix, 1)
    return np.pad(matrix, (0, zeros)).astype(np.float32), owner


def same_partition(a, b):
    return np.array_equal(a[:, None] == a, b[:, None] == b)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_the_clusters(seed):
    matrix, owner = blocks([10, 20, 5, 40])
    cosines = spherical.cluster(
        spherical.columns(matrix), 4, np.random.default_rng(seed)
    )
    assert same_partition(cosines.argmax(axis=1), owner)


def test_cosines_are_those_of_the_final_clusters():
    """At the end of Lloyd's rounds: centres are the clusters' directions."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(60, 4))
    matrix = np.corrcoef(factors @ rng.normal(size=(4, 500)), rowvar=True)
    found = spherical.cluster(
        spherical.columns(matrix.astype(np.float32)), 5, rng
    )
    unit = matrix / np.linalg.norm(matrix, axis=0)
    clusters = found.argmax(axis=1)
    centres = np.stack([unit[:, clusters == k].sum(axis=1) for k in range(5)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit.T @ centres.T, atol=1e-5)


def largest_of_plain_k_means(matrix, count, rng):
    """Lloyd's rounds with means as centres and Euclidean distances."""
    centres = matrix[rng.choice(len(matrix), count, replace=False)]
    for _ in range(20):
        squares = (centres**2).sum(axis=1)
        nearest = (squares - 2 * matrix @ centres.T).argmin(axis=1)
        centres = np.stack(
            [
                matrix[nearest == k].mean(axis=0) if k in nearest else c
                for k, c in enumerate(centres)
            ]
        )
    return np.bincount(nearest).max()


def test_nearly_orthogonal_columns_do_not_collapse():
    """The mean of many has a norm near 0; plain K-means takes it for near."""
    matrix, _ = blocks([6] * 50, inside=0.15)
    rng = np.random.default_rng(0)
    cosines = spherical.cluster(spherical.columns(matrix), 50, rng)
    largest = np.bincount(cosines.argmax(axis=1)).max()
    assert largest < largest_of_plain_k_means(matrix, 50, rng) / 2


def test_columns_of_zeros_are_in_no_cluster():
    matrix, owner = blocks([3, 4], zeros=5)
    columns = spherical.columns(matrix)
    cosines = spherical.cluster(columns, 2, np.random.default_rng(0))
    assert same_partition(cosines[:7].argmax(axis=1), owner)
    assert not cosines[7:].any()


def test_equal_columns_make_as_many_clusters_as_asked_for():
    """No distance is left to draw seeds by, nor to tell clusters by."""
    columns = spherical.columns(np.pad(np.ones((4, 4), np.float32), (0, 3)))
    cosines = spherical.cluster(columns, 4, np.random.default_rng(0))
    np.testing.assert_allclose(cosines[:4], 1, atol=1e-6)
    assert not cosines[4:].any()


def test_without_empty():
    clusters = np.array([0, 0, -1, 0, 2])
    fits = np.array([0.5, 0.9, 0.0, 0.7, 0.1])
    found = spherical.without_empty(clusters, fits, 4)
    # 4 is the only one of its cluster; then the worst are 0 and 3.
    assert found.tolist() == [1, 0, -1, 3, 2]
    assert clusters.tolist() == [0, 0, -1, 0, 2]


def test_memory_is_of_count_times_classes():
    matrix, _ = blocks([100] * 10)
    columns = spherical.columns(matrix)
    tracemalloc.start()
    try:
        spherical.columns(matrix)
        spherical.cluster(columns, 10, np.random.default_rng(0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < matrix.nbytes / 8

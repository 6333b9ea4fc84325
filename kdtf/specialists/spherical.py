"""Spherical K-means on the columns of a correlation matrix.

The columns of confusable classes point in similar directions, but most pairs of
columns are nearly orthogonal. The mean of many of them has a norm near 0 and is
nearest to all of them, so plain K-means puts nearly everything into one
cluster. Centres of unit length, compared by the cosine, do not have that pull.

No array here is larger than `[count, classes]`: columns are scaled to unit
length within each product.
"""

from typing import NamedTuple

import numpy as np

_CANDIDATES = 4  # of which each new centre is the best
_LEAST_WEIGHT = 1e-6  # so that there is a column to draw if all equal a seed
_MOST_ROUNDS = 10  # more of them hardly change the sets


class Columns(NamedTuple):
    """The columns of a symmetric matrix, as directions.

    Attributes:
      matrix: `[classes, classes]` float32 symmetric array.
      scales: `[classes]` float32 array, 1 / norm of each column; 0 for columns
        of zeros, which belong to no cluster.
    """

    matrix: np.ndarray
    scales: np.ndarray

    def cosines(self, directions: np.ndarray) -> np.ndarray:
        """Cosines `[classes, count]` with unit vectors `[count, classes]`."""
        return (self.matrix @ directions.T) * self.scales[:, None]

    def centres(self, clusters: np.ndarray, count: int) -> np.ndarray:
        """Unit vectors `[count, classes]`: directions of the clusters' sums."""
        members = one_hot(clusters, count) * self.scales
        # As the matrix is symmetric; members @ matrix takes BLAS ten times as
        # long on two threads.
        sums = (self.matrix @ members.T).T
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.maximum(norms, np.finfo(np.float32).tiny)


def columns(matrix: np.ndarray) -> Columns:
    """`Columns` of a `[classes, classes]` float32 symmetric array."""
    # einsum makes no array of squares.
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    scales = np.zeros_like(norms)
    np.divide(1, norms, out=scales, where=norms > 0)
    return Columns(matrix, scales)


def cluster(
    columns: Columns, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Cosines of the columns with the centres of spherical K-means.

    Lloyd's rounds, from the seeds of k-means++.

    Args:
      columns: `Columns`, at least `count` of them not of zeros.
      count: int, the number of clusters.
      rng: draws the seeds.

    Returns:
      `[classes, count]` float32 array.
    """
    cosines = columns.cosines(_seeds(columns, count, rng))
    previous = None
    for _ in range(_MOST_ROUNDS):
        clusters = np.where(columns.scales > 0, cosines.argmax(axis=1), -1)
        clusters = without_empty(clusters, cosines.max(axis=1), count)
        if previous is not None and np.array_equal(clusters, previous):
            break
        cosines = columns.cosines(columns.centres(clusters, count))
        previous = clusters
    return cosines


def one_hot(clusters: np.ndarray, count: int) -> np.ndarray:
    """`[count, classes]` float32 array, 1 where a class is of a cluster."""
    return (clusters == np.arange(count)[:, None]).astype(np.float32)


def without_empty(
    clusters: np.ndarray, fits: np.ndarray, count: int
) -> np.ndarray:
    """Gives every empty cluster a class that fits badly where it is.

    Args:
      clusters: `[classes]` integer array; -1 for classes of no cluster, which
        stay there.
      fits: `[classes]` array, how well a class fits its cluster.
      count: int, the number of clusters; not more than there are classes in
        clusters.

    Returns:
      `[classes]` integer array in which each of the `count` clusters occurs.
    """
    clusters = clusters.copy()
    sizes = np.bincount(clusters[clusters >= 0], minlength=count)
    for empty in np.flatnonzero(sizes == 0):
        movable = (clusters >= 0) & (sizes[clusters] > 1)
        worst = np.where(movable, fits, np.inf).argmin()
        sizes[clusters[worst]] -= 1
        clusters[worst], sizes[empty] = empty, 1
    return clusters


def _seeds(
    columns: Columns, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Unit vectors `[count, classes]`: columns chosen by greedy k-means++.

    A column is drawn with a probability proportional to its squared distance,
    2 - 2 cos, to the nearest of those that are chosen; of some draws the one
    that brings all columns nearest to a seed is taken.
    """
    valid = columns.scales > 0
    nearest = np.where(valid, -1.0, 1.0)
    seeds = np.zeros(0, int)
    for _ in range(count):
        weights = (np.maximum(1 - nearest, 0) + _LEAST_WEIGHT) * valid
        drawn = rng.choice(len(valid), _CANDIDATES, p=weights / weights.sum())
        directions = columns.matrix[drawn] * columns.scales[drawn, None]
        nearer = np.maximum(columns.cosines(directions), nearest[:, None])
        best = nearer.sum(axis=0).argmax()
        nearest = nearer[:, best]
        seeds = np.append(seeds, drawn[best])
    return columns.matrix[seeds] * columns.scales[seeds, None]

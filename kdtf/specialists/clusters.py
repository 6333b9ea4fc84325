"""Classes that a generalist confuses, as sets for specialists.

No labels are needed: classes are confusable if they are predicted together.
"""

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kdtf.specialists import _checks, spherical
from kdtf.specialists.correlations import (
    Correlations,
    Probabilities,
    blocks,
    correlations,
)

_RESTARTS = 4
# Of the classes' number / count: what a set takes before sets overlap. With
# less, classes go where they do not belong; with more, sets are left small.
_ROOM = 1.05
_MOST_ROUNDS = 20


def confusable_classes(
    probabilities: Probabilities, *, count: int, size: int, seed: int = 0
) -> list[np.ndarray]:
    """Finds sets of classes that are predicted together.

    The paper's way (section 5): K-means on the columns of the covariance of
    the generalist's predictions, here scaled to correlations and on the sphere
    (`kdtf.specialists.spherical`). Each class goes to the nearest centre that
    has room, then some rounds move classes to the set with whose classes they
    share the most covariance, and each set is filled up to `size` with those
    classes of other sets that share the most with it. So sets overlap where
    classes are confused across sets, and a class is in no set only if its
    probability never varies or count * size places do not suffice.

    Predictions are read once. Beside one `[classes, classes]` float32 matrix
    little is in memory. `kdtf.specialists.covered_confusion` tells how good the
    sets are.

    Args:
      probabilities: `[cases, classes]` array, or an iterable of such batches,
        such as a generator or a `tf.data.Dataset`; the generalist's softmax
        for inputs that need no labels. Best of cases that it has not learned
        from; several cases a class.
      count: int, the number of sets.
      size: int, the number of classes in each; at least 2.
      seed: int, from 0; the same sets for the same seed.

    Returns:
      List of `count` sorted integer arrays `[size]`.

    Raises:
      ValueError: if `probabilities` have another form, are endless, or no
        probabilities; `count` is not from 1 to the number of classes whose
        probability varies; `size` is not from 2 to that number, or is that of
        all classes; or `seed` is no integer from 0.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> labels = rng.integers(0, 6, 300)
      >>> logits = rng.normal(size=(300, 6))
      >>> logits += 3.0 * (labels[:, None] // 2 == np.arange(6) // 2)
      >>> kdtf.specialists.confusable_classes(
      ...     tf.nn.softmax(logits), count=3, size=2
      ... )
      [array([0, 1]), array([2, 3]), array([4, 5])]
    """
    _checks.integer("count", count, 1)
    _checks.integer("size", size, 2)
    _checks.integer("seed", seed, 0)
    found = correlations(probabilities)
    _check_fits(found.varying, count, size)
    columns = spherical.columns(found.matrix)
    room = np.ceil(_ROOM * found.varying.sum() / count)
    rng = np.random.default_rng(seed)
    best, most = np.zeros(0), -np.inf
    for _ in range(_RESTARTS):
        cosines = spherical.cluster(columns, count, rng)
        sets, covered = _moved(found, cosines, int(min(room, size)))
        if covered > most:
            best, most = sets, covered
    return sorted(_filled(found, best, count, size), key=lambda s: s.tolist())


def covered_confusion(
    probabilities: Probabilities, sets: Sequence[npt.ArrayLike]
) -> float:
    """The share of the confused mass that sets of classes cover.

    Of the probability that a generalist gives to other classes than its most
    probable one, summed over all cases, the part that lies inside of a set that
    holds the most probable one, too: what the active specialists (with top=1)
    can put right. A class that no set holds counts as not covered. No labels
    are needed; cases that did not choose the sets tell most.

    Args:
      probabilities: as for `kdtf.specialists.confusable_classes`.
      sets: non-empty list of integer arrays, the classes of each set.

    Returns:
      float from 0 to 1.

    Raises:
      ValueError: if `probabilities` have another form, are endless, no
        probabilities, or all mass is on the most probable classes; or if `sets`
        is empty, or one is, repeats a class, has an unknown one or all.

    Example:
      >>> probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
      >>> share = kdtf.specialists.covered_confusion(probabilities, [[0, 1]])
      >>> round(share, 6)  # 0.3 of 0.3 + 0.1 + 0.2 + 0.2
      0.375
    """
    inside = everything = 0.0
    members = None
    for block in blocks(probabilities):
        if members is None:
            members = _members(sets, block.shape[1])
        top = block.argmax(axis=1)
        np.put_along_axis(block, top[:, None], 0, axis=1)
        everything += block.sum(dtype=np.float64)
        together = members[:, top].T @ members
        inside += block.sum(dtype=np.float64, where=together > 0)
    if not everything:
        raise ValueError(
            "`probabilities` must leave some mass to other classes than the "
            "most probable one. Received: none; take the softmax of a "
            "generalist, not its choices"
        )
    return float(inside / everything)


def _moved(
    found: Correlations, cosines: np.ndarray, room: int
) -> tuple[np.ndarray, float]:
    """Sets that do not overlap, and the covariance inside of them.

    Starts at the centres and moves all classes at once, so a round may lose;
    the best of the rounds is kept.
    """
    count = cosines.shape[1]
    sets = _with_room(cosines, found.varying, room)
    best, most = sets, -np.inf
    for _ in range(_MOST_ROUNDS):
        shared = _shared(found, sets, count)
        inside = shared[sets >= 0, sets[sets >= 0]].sum(dtype=np.float64)
        if inside > most:
            best, most = sets, inside
        moved = _with_room(shared, found.varying, room)
        if np.array_equal(moved, sets):
            break
        sets = moved
    return best, most


def _with_room(fits: np.ndarray, varying: np.ndarray, room: int) -> np.ndarray:
    """Sets of at most `room` classes: the pairs that fit best, best first.

    A class whose best set is full waits with its fit to the best of the others,
    and does not take the place of one that fits better there.

    Args:
      fits: `[classes, count]` array.
      varying: `[classes]` bool array; the others go to no set.
      room: int, the most classes of a set.

    Returns:
      `[classes]` integer array of sets, none of them empty; -1 for no set.
    """
    count = fits.shape[1]
    sets, left = np.full(len(fits), -1), np.full(count, room)
    # Of each class its best fit, which is too high once that set is full.
    waiting = [(-fits[each].max(), each) for each in np.flatnonzero(varying)]
    heapq.heapify(waiting)
    while waiting and left.any():
        bound, each = heapq.heappop(waiting)
        of_open = np.where(left > 0, fits[each], -np.inf)
        best = of_open.argmax()
        if -of_open[best] > bound:
            heapq.heappush(waiting, (-of_open[best], each))
        else:
            sets[each] = best
            left[best] -= 1
    chosen = fits[np.arange(len(fits)), sets]
    return spherical.without_empty(sets, chosen, count)


def _shared(found: Correlations, sets: np.ndarray, count: int) -> np.ndarray:
    """Covariance `[classes, count]` of a class with the others of each set."""
    members = spherical.one_hot(sets, count) * found.deviations
    shared = (found.matrix @ members.T) * found.deviations[:, None]
    # Without that of the class with itself.
    placed = np.flatnonzero(sets >= 0)
    shared[placed, sets[placed]] -= found.deviations[placed] ** 2
    return shared


def _filled(
    found: Correlations, sets: np.ndarray, count: int, size: int
) -> list[np.ndarray]:
    """The sets' classes and those that share the most with them."""
    shared = _shared(found, sets, count)
    shared[~found.varying] = -np.inf
    members = sets == np.arange(count)[:, None]
    shared[members.T] = np.inf
    return [np.sort(np.argsort(-s, kind="stable")[:size]) for s in shared.T]


def _members(sets: Sequence[npt.ArrayLike], classes: int) -> np.ndarray:
    """`[sets, classes]` float32 array, 1 where a set has a class."""
    checked = _checks.class_sets("sets", sets, classes)
    members = np.zeros((len(checked), classes), np.float32)
    for row, each in zip(members, checked, strict=True):
        row[each] = 1
    return members


def _check_fits(varying: np.ndarray, count: int, size: int) -> None:
    usable = int(varying.sum())
    if size >= len(varying) or size > usable:
        raise ValueError(
            "`size` must be less than the number of classes, and not more than "
            "that of the classes whose probability varies. Received: "
            f"size={size}, {len(varying)} classes, {usable} that vary"
        )
    if count > usable:
        raise ValueError(
            "`count` must not be more than the number of classes whose "
            f"probability varies. Received: count={count}, {usable} that vary"
        )

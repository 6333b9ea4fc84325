"""kdtf.specialists.clusters: planted sets are found, and told from bad ones."""

import itertools
import tracemalloc

import numpy as np
import pytest

from kdtf.specialists import clusters, correlations
from tests import reference


def planted(cases, sizes, seed=0, noise=1.0, away=4.0):
    """`[cases, classes]` float32: cases confuse the classes of one block."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = rng.integers(0, len(owner), cases)
    logits = rng.normal(scale=noise, size=(cases, len(owner)))
    logits[np.arange(cases), labels] += 1.0
    logits += away * (owner[labels][:, None] == owner)
    return reference.softmax(logits).astype(np.float32), owner


def as_lists(sets):
    return [each.tolist() for each in sets]


def covered_by_hand(p, sets):
    """From the definition, case by case."""
    inside = everything = 0.0
    for row in p.astype(np.float64):
        top = int(row.argmax())
        active = {c for each in sets if top in each for c in each}
        everything += row.sum() - row[top]
        inside += sum(row[c] for c in active - {top})
    return inside / everything


@pytest.mark.parametrize("seed", range(3))
def test_planted_blocks_are_the_sets(seed):
    p, owner = planted(2000, [8] * 6, seed)
    sets = clusters.confusable_classes(p, count=6, size=8, seed=seed)
    blocks = [np.flatnonzero(owner == k).tolist() for k in range(6)]
    assert as_lists(sets) == sorted(blocks)


def test_the_best_pairs_by_brute_force():
    """Of all ways to pair six classes: the one that covers the most."""
    p, _ = planted(500, [2, 2, 2], noise=1.5, away=1.5)
    pairs = list(itertools.combinations(range(6), 2))
    ways = [
        list(way)
        for way in itertools.combinations(pairs, 3)
        if len({c for pair in way for c in pair}) == 6
    ]
    best = max(ways, key=lambda way: covered_by_hand(p, way))
    found = clusters.confusable_classes(p, count=3, size=2)
    assert as_lists(found) == [list(pair) for pair in best]


def test_sets_have_their_size_and_every_class():
    p, _ = planted(3000, [40, 3, 20, 9, 30, 18], noise=2.0)
    sets = clusters.confusable_classes(p, count=8, size=20)
    assert [len(each) for each in sets] == [20] * 8
    assert all((np.diff(each) > 0).all() for each in sets)
    assert len(np.unique(np.concatenate(sets))) == 120
    assert len(set(map(tuple, as_lists(sets)))) == 8


def test_sets_overlap_where_confusion_does():
    """Class 0 is confused with two blocks, each of them with no other."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 9))
    block = rng.integers(0, 2, 3000)
    logits[:, 1:5] += 4.0 * (block[:, None] == 0)
    logits[:, 5:] += 4.0 * (block[:, None] == 1)
    logits[:, 0] += 3.0
    p = reference.softmax(logits)
    sets = clusters.confusable_classes(p, count=2, size=5)
    assert as_lists(sets) == [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8]]


def test_classes_are_left_out_where_places_are_few():
    p, owner = planted(1000, [8] * 6)
    sets = clusters.confusable_classes(p, count=3, size=5)
    assert len(np.unique(np.concatenate(sets))) == 15
    assert all(len(np.unique(owner[each])) == 1 for each in sets)


def test_classes_that_are_never_predicted_are_in_no_set():
    p, _ = planted(1000, [5] * 4)
    p = np.insert(p, [0, 7, 20], 0.0, axis=1)  # as classes 0, 8 and 22
    sets = clusters.confusable_classes(p, count=4, size=6)
    assert sorted(np.unique(np.concatenate(sets))) == [
        c for c in range(23) if c not in (0, 8, 22)
    ]


def test_better_than_random_and_than_the_nearest_to_a_class():
    p, _ = planted(4000, [50, 10, 25, 5, 40, 20], noise=2.0, away=3.0)
    chosen, fresh = p[:2000], p[2000:]
    sets = clusters.confusable_classes(chosen, count=10, size=18)
    rng = np.random.default_rng(0)
    draws = [rng.choice(150, 18, replace=False) for _ in range(10)]
    matrix = correlations.correlations(chosen).matrix
    nearest = [np.argsort(-matrix[draw[0]])[:18] for draw in draws]
    covered, random, of_a_class = (
        clusters.covered_confusion(fresh, each)
        for each in (sets, draws, nearest)
    )
    assert covered > of_a_class + 0.05 > random + 0.1


def test_seed_decides():
    p, _ = planted(300, [50], noise=2.0)
    first, again, other = (
        as_lists(clusters.confusable_classes(p, count=5, size=12, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_generators_and_arrays_give_the_same_sets():
    p, _ = planted(2500, [10] * 5, noise=2.0)
    batches = (p[start : start + 100] for start in range(0, 2500, 100))
    assert as_lists(
        clusters.confusable_classes(batches, count=5, size=12)
    ) == as_lists(clusters.confusable_classes(p, count=5, size=12))


def test_the_restart_that_covers_most_is_taken(monkeypatch):
    restarts = iter(
        [(np.repeat([0, 1], 5), 1.0), (np.tile([0, 1], 5), 3.0)]
        + [(np.repeat([1, 0], 5), 2.0)] * (clusters._RESTARTS - 2)
    )
    monkeypatch.setattr(clusters, "_moved", lambda *_: next(restarts))
    p, _ = planted(300, [10])
    sets = clusters.confusable_classes(p, count=2, size=5)
    assert as_lists(sets) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_rounds_lose_nothing_of_what_is_covered(monkeypatch):
    """Some rounds lose; the best is kept, and its covariance is told."""
    p, _ = planted(500, [6] * 5, noise=3.0, away=1.0)
    found = correlations.correlations(p)
    covariance = np.cov(p.astype(np.float64), rowvar=False, bias=True)
    np.fill_diagonal(covariance, 0)
    start = np.random.default_rng(0).random((30, 5))
    kept = []
    for rounds in range(1, 12):
        monkeypatch.setattr(clusters, "_MOST_ROUNDS", rounds)
        sets, inside = clusters._moved(found, start, 7)
        by_hand = covariance[sets[:, None] == sets].sum()
        assert inside == pytest.approx(by_hand, rel=1e-4)
        kept.append(by_hand)
    assert kept == sorted(kept) and kept[-1] > kept[0]


def test_as_many_sets_as_classes():
    p, _ = planted(500, [3, 3])
    sets = clusters.confusable_classes(p, count=6, size=2)
    assert len(np.unique(np.concatenate(sets))) == 6


@pytest.mark.slow
def test_one_matrix_is_in_memory(monkeypatch):
    monkeypatch.setattr(correlations, "ROWS", 64)
    monkeypatch.setattr(correlations, "TILE", 128)
    p, _ = planted(500, [50] * 20)
    tracemalloc.start()
    try:
        clusters.confusable_classes(p, count=20, size=50)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * 4 * 1000**2


@pytest.mark.parametrize(
    "sets", [[[0, 1, 2, 3]], [[0, 1, 2], [2, 3, 4], [2, 9]], [range(9)]]
)
def test_covered_confusion_by_hand(sets, monkeypatch):
    monkeypatch.setattr(correlations, "ROWS", 64)
    p, _ = planted(200, [4, 4, 2])
    sets = [list(each) for each in sets]
    assert clusters.covered_confusion(p, sets) == pytest.approx(
        covered_by_hand(p, sets), rel=1e-5
    )


def test_covered_confusion_leaves_the_caller_its_array():
    p, _ = planted(50, [4, 4])
    before = p.copy()
    clusters.covered_confusion(p, [[0, 1]])
    clusters.confusable_classes(p, count=2, size=4)
    np.testing.assert_array_equal(p, before)


PLANTED, _ = planted(200, [5, 5])
NEVER = np.hstack([PLANTED, np.zeros((200, 5), np.float32)])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("count", {"count": 0}),
        ("count", {"count": 11}),
        ("count", {"count": 2.0}),
        ("count", {"count": True}),
        ("count", {"count": None}),
        ("count", {"probabilities": NEVER, "count": 11}),
        ("size", {"size": 1}),
        ("size", {"size": 10}),
        ("size", {"size": 11}),
        ("size", {"size": "5"}),
        ("size", {"probabilities": NEVER, "size": 11}),
        ("size", {"probabilities": PLANTED[:1]}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": None}),
        ("probabilities", {"probabilities": np.log(PLANTED)}),
        ("probabilities", {"probabilities": []}),
    ],
)
def test_bad_arguments(name, changed):
    arguments = {"probabilities": PLANTED, "count": 2, "size": 5} | changed
    with pytest.raises(ValueError, match=f"`{name}` must .*Received: "):
        clusters.confusable_classes(**arguments)


@pytest.mark.parametrize(
    "sets",
    [
        [],
        [[]],
        [[0, 0]],
        [[0, 10]],
        [[-1]],
        [[0.0, 1.0]],
        [3],
        [[[0, 1]]],
        [range(10)],
        3,
        "01",
    ],
)
def test_bad_sets(sets):
    with pytest.raises(ValueError, match=r"`sets.* must .*Received: "):
        clusters.covered_confusion(PLANTED, sets)


def test_choices_leave_nothing_to_cover():
    with pytest.raises(ValueError, match="`probabilities` must leave"):
        clusters.covered_confusion(np.eye(4), [[0, 1]])

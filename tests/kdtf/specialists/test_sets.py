"""kdtf.specialists.ClassSets: tables, and who is called."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf import specialists

SETS = [[4, 1, 2], [2, 3], [5], [3, 2, 6, 1]]


def called(logits, sets):
    """By definition: whose set has one of the `top` classes."""
    best = set(np.argsort(-np.asarray(logits))[: sets.top].tolist())
    found = [m for m, each in enumerate(sets.sets) if best & set(each.tolist())]
    return found + [-1] * (sets.most_active - len(found))


@pytest.mark.parametrize("top", [1, 2, 3, 8])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_active_are_those_whose_set_has_a_top_class(top, jit_compile):
    sets = specialists.ClassSets(SETS, 8, top=top)
    z = np.random.default_rng(0).normal(size=(50, 8))
    active = tf.function(sets.active, jit_compile=jit_compile)(z)
    assert active.dtype == tf.int32
    np.testing.assert_array_equal(active, [called(row, sets) for row in z])


@pytest.mark.parametrize("top, most", [(1, 3), (2, 4), (8, 4)])
def test_no_more_specialists_than_can_be_called(top, most):
    """Class 2 is in three sets, and there are four specialists."""
    assert specialists.ClassSets(SETS, 8, top=top).most_active == most


def test_members_are_in_the_given_order():
    sets = specialists.ClassSets(SETS, 8)
    assert sets.largest == 4 and sets.num_classes == 8
    for m, each in enumerate(SETS):
        np.testing.assert_array_equal(sets.sets[m], each)
        np.testing.assert_array_equal(sets.members[m][sets.is_member[m]], each)
    assert not sets.is_member[-1].any()


def test_a_group_is_in_the_sets_that_its_classes_are_in():
    sets = specialists.ClassSets(SETS, 8)
    for m, each in enumerate(SETS):
        for place, c in enumerate(each):
            group = sets.groups[m, sets.group_of[m, place]]
            having = [n for n, other in enumerate(SETS) if c in other]
            np.testing.assert_array_equal(
                np.flatnonzero(sets.group_sets[group]), having
            )
    assert not sets.group_sets[sets.groups[-1]].any()


@pytest.mark.parametrize(
    "sets, top, can",
    [
        ([[0, 1], [1, 2]], 1, True),
        ([[0, 1], [2]], 1, False),  # no class calls both
        ([[0, 1], [2]], 2, True),
        ([[0, 1], [1]], 2, False),  # class 2 is in no set
    ],
)
def test_can_cover_all(sets, top, can):
    assert specialists.ClassSets(sets, 3, top=top).can_cover_all() == can


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [0, 0],
        [-1],
        [3],
        [0, 1, 2],
        [0.0],
        [[0]],
        [[0], [1, 2]],
        "ab",
        None,
        [True],
    ],
)
def test_a_wrong_set_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`sets\[1\]` must .*Received"):
        specialists.ClassSets([[0], wrong], 3)


@pytest.mark.parametrize("wrong", [[], None, "ab", 3, {0: [1]}])
def test_what_is_no_list_of_sets_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`sets` must .*Received"):
        specialists.ClassSets(wrong, 3)


@pytest.mark.parametrize("wrong", [0, 4, -1, 1.0, True, None])
def test_wrong_top_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`top` must be .*at most 3.*Rec"):
        specialists.ClassSets([[0]], 3, top=wrong)


@pytest.mark.parametrize("wrong", [1, 0, -1, 3.0, True, None])
def test_wrong_num_classes_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`num_classes` must be .*Received"):
        specialists.ClassSets([[0]], wrong)

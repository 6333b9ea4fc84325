"""What is refused of integers, flags and sets of classes."""

import numpy as np
import pytest

from kdtf.specialists import _checks


@pytest.mark.parametrize("good", [2, 5, np.int64(3), np.uint8(5)])
def test_integers_in_their_range_pass(good):
    _checks.integer("n", good, 2, 5)


@pytest.mark.parametrize("bad", [1, 6, 2.0, "3", None, True, np.float32(3)])
def test_other_integers_are_refused(bad):
    with pytest.raises(ValueError, match=r"`n` must be an integer.*2.*5.*Rec"):
        _checks.integer("n", bad, 2, 5)


def test_a_flag_is_true_or_false():
    for good in (True, False, np.bool_(True)):
        _checks.flag("f", good)
    for bad in (1, 0, None, "no", [], np.array([True])):
        with pytest.raises(ValueError, match=r"`f` must be True or.*Received"):
            _checks.flag("f", bad)


@pytest.mark.parametrize(
    "good", [[3, 0], (3, 0), np.uint8([3, 0]), range(3, -1, -3)]
)
def test_a_set_keeps_its_order(good):
    found = _checks.class_set("s", good, 4)
    assert found.dtype == np.int64 and found.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ([], "be a list of one or more integers"),
        ([1.0], "be a list of one or more integers"),
        ([True], "be a list of one or more integers"),
        (1, "be a list of one or more integers"),
        ("12", "be a list of one or more integers"),
        (None, "be a list of one or more integers"),
        ({1, 2}, "be a list of one or more integers"),
        ([[1], [2, 3]], "be a list of one or more integers"),
        ([-1, 2], "hold classes from 0 to 3"),
        ([4], "hold classes from 0 to 3"),
        ([1, 1], "name each class once"),
        (range(4), "leave out some of the 4 classes"),
    ],
)
def test_no_set_of_some_classes(bad, rule):
    with pytest.raises(ValueError, match=f"`s` must {rule}.*Received: s="):
        _checks.class_set("s", bad, 4)
    with pytest.raises(ValueError, match=rf"`t\[1\]` must {rule}.*Received"):
        _checks.class_sets("t", [[0], bad], 4)


def test_lists_of_sets():
    found = _checks.class_sets("t", np.array([[0, 2], [3, 1]]), 4)
    assert [each.tolist() for each in found] == [[0, 2], [3, 1]]
    for bad in ([], None, 3, "01", {0: [1]}, np.zeros((0, 2), int)):
        with pytest.raises(ValueError, match=r"`t` must be a list.*Received"):
            _checks.class_sets("t", bad, 4)

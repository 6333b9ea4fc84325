"""trainers.distill.sources.labels: classes 0 to n - 1 of anything."""

import numpy as np
import pytest

from trainers.distill.sources import labels


def of(values, names=None, **kwargs):
    return labels.of_values(np.array(values), names, "here", "data", **kwargs)


@pytest.mark.parametrize(
    "values, classes, names",
    (
        ([2, 0, 1, 0], [2, 0, 1, 0], ("0", "1", "2")),
        ([[1], [0]], [1, 0], ("0", "1")),
        ([1.0, 0.0], [1, 0], ("0", "1")),
        ([True, False], [1, 0], ("0", "1")),
        ([1, -1, 0], [1, -1, 0], ("0", "1")),
        (["1", "", "0"], [1, -1, 0], ("0", "1")),
        (["dog", "cat", "", "dog"], [1, 0, -1, 1], ("cat", "dog")),
        ([b"b", b"a"], [1, 0], ("a", "b")),
        (["1", "b"], [0, 1], ("1", "b")),
        (["1_0", "0_1"], [1, 0], ("0_1", "1_0")),
        ([-1, -1], [-1, -1], ()),
        (["none", "one"], [0, 1], ("none", "one")),
        (["Na", "K"], [1, 0], ("K", "Na")),
    ),
)
def test_classes_and_names(values, classes, names):
    found, called = of(values)
    assert found.dtype == np.int32 and called == names
    np.testing.assert_array_equal(found, classes)


def test_names_that_there_are():
    assert of(["dog"], ("cat", "dog"))[0] == [1]
    names = ("cat", "dog")
    assert of([1], names, by_number=True) == (np.array([1]), names)
    assert of([-1], names)[0] == [-1]
    # Names that happen to be numbers, of other classes than their own.
    assert of(["7"], ("3", "7"))[0] == [1]


@pytest.mark.parametrize(
    "values, names, message",
    (
        ([1, 2, 3], None, "without a gap; subtract 1.* labels 1, 2, 3"),
        ([0, 1, 3], None, "without a gap. Received: here .* labels 0, 1, 3"),
        ([-2, 0, 1], None, "labels -2, 0, 1"),
        ([0.5, 1.0], None, "whole numbers.*with 0.5"),
        (np.eye(3), None, r"one label a case.*argmax.*\[3, 3\]"),
        ([0, 2], ("0", "1"), "0 to 1. Received: here with the labels 0, 2"),
        (["dog", "cow"], ("cat", "dog"), "cat, dog. Received: here with cow"),
        ([1j], None, "whole numbers"),
        ([1j], ("cat", "dog"), "whole numbers"),
        ([0, 1], ("cat", "dog"), "cat, dog. Received: here with 0, 1"),
        ([True], ("cat", "dog"), "cat, dog. Received: here with 1"),
        ([1234567], ("cat", "dog"), "Received: here with 1234567"),
        ([0.5, np.nan], ("cat", "dog"), "Received: here with 0.5, nan"),
        (["cat", "-1", "dog"], None, "with -1 among -1, cat, dog"),
        (["cat", "NA", "dog"], None, "empty those .* with NA among NA, cat"),
        (["0", "1", "01"], None, "written alike: 1 and .* with 01 and 1"),
        ([b"cat", b"d\xff"], None, r"UTF-8. Received: here with b.d\\xff"),
    ),
)
def test_labels_that_cannot_be(values, names, message):
    with pytest.raises(ValueError, match=rf"^--data must have.*{message}"):
        of(values, names)


def test_a_few_of_many():
    assert labels.listed(range(3)) == "0, 1, 2"
    assert labels.listed(range(14)).endswith("11 and 2 more")

"""kdtf.specialists._structures."""

from kdtf.specialists._structures import as_tuples


def test_lists_become_tuples_at_any_depth():
    given = {"a": [1, (2, [3])], "b": {"c": []}, "d": 4}
    assert as_tuples(given) == {"a": (1, (2, (3,))), "b": {"c": ()}, "d": 4}

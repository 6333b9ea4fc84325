"""trainers.specialists.gallery."""

import dataclasses
import types

import numpy as np
import pytest

from tests import specialist_runs as runs
from trainers.core import pages
from trainers.specialists import gallery

LABELS = np.array([0, 1, 2, 3, 4])


def pick(before, after, sets=((0, 1, 2), (3, 4, 5))):
    given = types.SimpleNamespace(test=(None, LABELS))
    members = [types.SimpleNamespace(classes=list(s)) for s in sets]
    found = {
        "generalist/choices": np.array(before),
        "specialists, top 1/choices": np.array(after),
    }
    group = types.SimpleNamespace(members=members)
    return gallery.pick(given, group, found)


def test_cases_put_right_and_wrong():
    found = pick([0, 2, 2, 9, 4], [0, 1, 0, 8, 3])
    assert found["right"] == [{"case": 1, "label": 1, "before": 2, "after": 1}]
    assert found["wrong"] == [
        {"case": 2, "label": 2, "before": 2, "after": 0},
        {"case": 4, "label": 4, "before": 4, "after": 3},
    ]
    assert found["sets"] == [[0, 1, 2], [3, 4, 5]]


def test_large_sets_are_cut():
    found = pick(LABELS, LABELS, [range(100)] * 50)
    assert len(found["sets"]) == 12
    assert {len(s) for s in found["sets"]} == {30}


def picture(axes):
    return axes.images[0].get_array()


def test_pictures_are_of_their_classes_and_cases():
    data = runs.data()
    found = pick([0, 2, 2, 9, 4], [0, 1, 0, 8, 3])
    _, sets, _, cases = gallery.blocks(found, data)
    expected = np.concatenate(
        [np.concatenate(data.class_images[s], 1) for s in found["sets"]]
    )
    found_sets = picture(sets.figure.axes[0])
    np.testing.assert_array_equal(found_sets[:, : 3 * 8], expected)
    assert not found_sets[:, 3 * 8 :].any()  # white
    right = picture(cases.figure.axes[0])
    column = [data.test_images[1], *data.class_images[[1, 2, 1]]]
    np.testing.assert_array_equal(right[:, :8], np.concatenate(column))
    assert not right[:, 8:].any()  # white
    wrong = picture(cases.figure.axes[1])
    column = [data.test_images[4], *data.class_images[[4, 4, 3]]]
    np.testing.assert_array_equal(wrong[:, 8:16], np.concatenate(column))


@pytest.mark.parametrize("after", ([0, 1, 2, 3, 0], list(LABELS)))
def test_no_case_put_right(after):
    found = pick(LABELS, after)
    blocks = gallery.blocks(found, runs.data())
    assert blocks[-1].figure.axes[0].get_title() == "put right: none"
    assert all(b.png for b in blocks if isinstance(b, pages.Plot))


def test_colours_are_filled_up_with_white():
    data = runs.data()
    coloured = {
        name: np.stack([getattr(data, name)] * 3, -1)
        for name in ("test_images", "class_images")
    }
    found = pick([0, 2, 2, 9, 4], LABELS, [(0, 1, 2), (3, 4)])
    blocks = gallery.blocks(found, dataclasses.replace(data, **coloured))
    sets = picture(blocks[1].figure.axes[0])
    assert sets.shape == (2 * 8, 20 * 8, 3)
    assert (sets[8:, 16:] == 255).all()
    assert blocks[3].png

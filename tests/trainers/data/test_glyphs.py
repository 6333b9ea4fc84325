"""trainers.data.glyphs: what is drawn, and that it is always the same."""

import dataclasses

import numpy as np
import pytest

from trainers.data import SplitImages, dejavu, glyphs

SMALL = {"classes": 60, "train": 150, "held_out": 70, "test": 61}


def load(**others):
    return glyphs.load(**{**SMALL, "progress": False, **others})


@pytest.fixture(scope="module")
def data():
    return load()


def interpolated(bitmap, x, y):
    """The value of a bitmap at a point, in float64, by its four neighbours."""
    height, width = bitmap.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    total = 0.0
    for row in range(height):
        for column in range(width):
            share = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
            total += share * bitmap[row, column]
    return total


def test_images_are_bitmaps_between_their_pixels():
    rng = np.random.default_rng(0)
    bitmaps = rng.integers(256, size=(2, 3, 7, 9), dtype=np.uint8)
    which = np.array([4, 0], np.int32)
    # Some points are outside of the bitmap.
    matrices = rng.normal(0, 0.3, (2, 2, 2)).astype(np.float32)
    offsets = np.array([[4, 3], [2, 1]], np.float32)
    images = glyphs.sample(bitmaps, which, matrices, offsets)
    assert images.shape == (2, 24, 24) and images.dtype == np.uint8
    for image, bitmap, matrix, offset in zip(
        images, (bitmaps[1, 1], bitmaps[0, 0]), matrices, offsets, strict=True
    ):
        for y in range(0, 24, 3):
            for x in range(24):
                at = matrix.astype(float) @ (x, y) + offset
                expected = interpolated(bitmap, *at)
                assert abs(image[y, x] - expected) <= 0.5 + 1e-3


def test_the_last_row_and_column_are_reached():
    bitmaps = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    one = np.eye(2, dtype=np.float32)[None]
    image = glyphs.sample(
        bitmaps, np.zeros(1, np.int32), one, np.zeros((1, 2), np.float32)
    )[0]
    np.testing.assert_array_equal(image[:8, :8], bitmaps[0])
    np.testing.assert_array_equal(image[7:, 7:], 63)


def test_changes_are_even_within_their_ranges():
    """Scales, shear, rotation and shift are taken out of the maps again."""
    matrices, offsets = glyphs._changes(20_000, np.random.default_rng(1))
    matrices = matrices.astype(float)
    # matrix = 64 / 24 * rotation @ [[a, shear * b], [0, b]]
    angles = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0])
    cos, sin = np.cos(angles), np.sin(angles)
    back = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)
    upper = back @ matrices * 24 / 64
    np.testing.assert_allclose(upper[:, 1, 0], 0, atol=1e-6)
    a, b = upper[:, 0, 0], upper[:, 1, 1]
    # The pixel that shows the middle of the bitmap.
    shown = np.linalg.solve(matrices, (31.5 - offsets)[..., None])[..., 0]
    for found, most in (
        (np.degrees(angles), 12),
        (upper[:, 0, 1] / b, 0.2),
        (np.log(a), 0.15),
        (np.log(b), 0.15),
        (shown[:, 0] - 11.5, 1.75),
        (shown[:, 1] - 11.5, 1.75),
    ):
        assert abs(found).max() <= most * (1 + 1e-5)
        counts, _ = np.histogram(found, 8, (-most, most))
        # 2,500 expected, with a standard deviation below 50.
        assert abs(counts - 2500).max() < 250
    changes = np.stack([angles, upper[:, 0, 1] / b, a, b, *shown.T])
    off_diagonal = np.corrcoef(changes) - np.eye(6)
    assert abs(off_diagonal).max() < 0.05


def test_blur_is_the_mean_of_nine_pixels():
    bitmap = np.random.default_rng(2).integers(
        256, size=(1, 5, 6), dtype=np.uint8
    )
    around = np.pad(bitmap[0].astype(float), 1)
    expected = [
        [np.rint(around[y : y + 3, x : x + 3].mean()) for x in range(6)]
        for y in range(5)
    ]
    np.testing.assert_array_equal(glyphs._blurred(bitmap)[0], expected)


def test_parts(data):
    assert isinstance(data, SplitImages)
    assert data.classes == 60 and data.white == 255
    for images, labels, cases in (
        (data.train_images, data.train_labels, 150),
        (data.held_out_images, data.held_out_labels, 70),
        (data.test_images, data.test_labels, 61),
    ):
        assert images.shape == (cases, 24, 24) and images.dtype == np.uint8
        assert labels.shape == (cases,) and labels.dtype == np.int32
        counts = np.bincount(labels, minlength=60)
        assert set(counts) <= {cases // 60, cases // 60 + 1}
        assert (np.diff(labels) < 0).any()  # in random order
        assert images.max((1, 2)).min() > 30


def test_images_are_those_of_their_labels_in_any_face(monkeypatch):
    """Drawn without a change, each is its class in one of the faces."""
    entries, bitmaps = dejavu.alphabet()
    middle = (dejavu.SIDE - 24) // 2

    def unchanged(cases, rng):
        one = np.eye(2, dtype=np.float32)
        return np.tile(one, (cases, 1, 1)), np.full((cases, 2), middle, "f")

    monkeypatch.setattr(glyphs, "_changes", unchanged)
    data = load(train=1200)
    blurred = glyphs._blurred(bitmaps[entries.index("À") :][:60])
    cut = blurred[..., middle : middle + 24, middle : middle + 24]
    used = np.zeros(12)
    for image, label in zip(data.train_images, data.train_labels, strict=True):
        faces = (cut[label] == image).all((1, 2))
        assert faces.any()
        used += faces / faces.sum()
    # 100 expected, with a standard deviation below 10.
    assert abs(used - 100).max() < 45


def test_names_and_images_of_classes(data):
    assert len(data.class_names) == 60
    assert data.class_names[0] == ("À LATIN CAPITAL LETTER A WITH GRAVE")
    assert data.class_names[4] == (
        "Ä LATIN CAPITAL LETTER A WITH DIAERESIS (also Ӓ)"
    )
    assert data.class_images.shape == (60, 24, 24)
    entries, bitmaps = dejavu.alphabet()
    blurred = glyphs._blurred(bitmaps[entries.index("À"), 0])
    for y, x in ((5, 11), (10, 12), (16, 5), (17, 18)):
        at = (31.5 + (x - 11.5) * 64 / 24, 31.5 + (y - 11.5) * 64 / 24)
        expected = interpolated(blurred, *at)
        assert abs(data.class_images[0, y, x] - expected) <= 0.5 + 1e-3
    assert data.class_images[0].max() > 200


def test_all_classes_are_in_the_order_of_the_alphabet():
    data = load(classes=None, train=1, held_out=1, test=1)
    entries, _ = dejavu.alphabet()
    assert data.classes == len(entries) > 1390
    assert [n[0] for n in data.class_names] == [e[0] for e in entries]
    # A part wraps around: of all but one class, the one before À is missing.
    missing = load(classes=len(entries) - 1, train=1, held_out=1, test=1)
    (gone,) = set(data.class_names) - set(missing.class_names)
    assert data.class_names.index(gone) + 1 == entries.index("À")


def assert_equal(a, b, name):
    np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_same_again_whatever_is_drawn_at_once(data, monkeypatch):
    monkeypatch.setattr(glyphs, "_AT_ONCE", 7)
    again = load()
    for field in dataclasses.fields(data):
        assert_equal(data, again, field.name)


def test_a_part_does_not_depend_on_the_others(data):
    other = load(train=10, test=20)
    assert_equal(data, other, "held_out_images")
    assert_equal(data, other, "held_out_labels")
    parts = load(train=50, held_out=50, test=50)
    images = (parts.train_images, parts.held_out_images, parts.test_images)
    assert len({i.tobytes() for part in images for i in part}) == 150
    labels = (parts.train_labels, parts.held_out_labels, parts.test_labels)
    assert len({part.tobytes() for part in labels}) == 3


def test_another_seed_draws_others(data):
    other = load(seed=1)
    assert (other.train_labels != data.train_labels).any()
    assert_equal(data, other, "class_images")


def test_progress_is_shown_on_demand(capsys):
    load(train=1, held_out=1, test=1)
    assert capsys.readouterr().err == ""
    load(train=5, held_out=4, test=3, progress=True)
    assert "12/12" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argument, value, rule",
    (
        ("classes", 1, "from 2 to 1[0-9]{3}, or None"),
        ("classes", 10_000, "from 2 to 1[0-9]{3}, or None"),
        ("train", 0, "at least 1 case"),
        ("held_out", -1, "at least 1 case"),
        ("test", 0, "at least 1 case"),
        ("seed", -1, "at least 0"),
    ),
)
def test_bad_arguments(argument, value, rule):
    message = f"`{argument}` must be {rule}.*Received: {argument}={value}"
    with pytest.raises(ValueError, match=message):
        load(**{argument: value})

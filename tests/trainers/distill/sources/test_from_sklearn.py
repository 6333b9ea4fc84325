"""trainers.distill.sources.from_sklearn: what is embedded."""

import numpy as np
import pytest
from sklearn import datasets

from tests.distill_data import all_of, open_data


def test_digits_in_the_size_and_colours_that_flags_name():
    data = open_data("sklearn:digits", image_size=16, channels="3")
    assert data.input_shape == (16, 16, 3)
    given = open_data(
        "sklearn:digits", given_image_size=(4, 6), given_channels=3
    )
    assert given.input_shape == (4, 6, 3)
    # Enlarged without a filter, each pixel is there four times.
    x, _ = all_of(
        open_data("sklearn:digits", image_size=16, resize="nearest").test
    )
    small, _ = all_of(open_data("sklearn:digits").test)
    np.testing.assert_array_equal(x, small.repeat(2, 1).repeat(2, 2))


def test_digits_are_images_of_255():
    data = open_data("sklearn:digits")
    assert data.kind == "images" and data.input_shape == (8, 8, 1)
    assert data.class_names == tuple("0123456789")
    loaded = datasets.load_digits()
    splits = (data.train, data.held_out, data.test)
    assert sum(split.cases for split in splits) == len(loaded.target)
    # Every case is where it was, with its label: sums of pixels, by class.
    sums = np.zeros(10)
    for split in splits:
        x, labels = all_of(split)
        np.add.at(sums, labels, x.sum((1, 2, 3)))
    right = np.zeros(10)
    np.add.at(right, loaded.target, loaded.images.sum((1, 2)) * 255 / 16)
    np.testing.assert_allclose(sums, right, rtol=1e-4)


@pytest.mark.parametrize("name", ("breast_cancer", "iris", "wine"))
def test_others_are_tables(name):
    data = open_data(f"sklearn:{name}")
    loaded = getattr(datasets, f"load_{name}")()
    assert data.kind == "table"
    assert data.columns == tuple(loaded.feature_names)
    x, labels = all_of(data.train)
    rows = {
        tuple(row): k
        for row, k in zip(
            loaded.data.astype(np.float32), loaded.target, strict=True
        )
    }
    assert all(rows[tuple(r)] == k for r, k in zip(x, labels, strict=True))


def test_another_name():
    with pytest.raises(
        ValueError,
        match=r"^--data must be sklearn:NAME with one of breast_cancer, .* "
        "Received: --data=sklearn:mnist$",
    ):
        open_data("sklearn:mnist")

"""trainers.distill.sources.from_npz: arrays of numpy.savez."""

import numpy as np
import pytest

from tests import distill_data
from tests.distill_data import open_data

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2


def save(tmp_path, name="a.npz", **arrays):
    np.savez(tmp_path / name, **arrays)
    return f"npz:{tmp_path / name}"


def test_numbers_as_they_are(tmp_path):
    data = open_data(save(tmp_path, x=X, y=Y))
    assert data.kind == "arrays" and data.input_shape == (2,)
    assert data.class_names == ("0", "1") and data.columns == ()
    found = []
    for split in distill_data.splits_of(data).values():
        x, labels = distill_data.all_of(split)
        assert x.dtype == np.float32 and len(x) == split.cases
        np.testing.assert_array_equal(labels, x[:, 0] // 2 % 2)
        assert split.dataset.cardinality() == split.cases
        found.append(x)
    assert [len(x) for x in found] == [14, 2, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)[:, 0]), X[:, 0])


def test_the_same_again_and_other_seeds(tmp_path):
    where = save(tmp_path, x=X, y=Y)
    tests = [
        distill_data.all_of(open_data(where, split_seed=seed).test)[0].tolist()
        for seed in (0, 0, 1)
    ]
    assert tests[0] == tests[1] != tests[2]


def test_weights_and_splits_of_its_own(tmp_path):
    where = save(
        tmp_path,
        x_train=X,
        y_train=Y,
        sample_weight=np.arange(20),
        x_test=X[:3],
        y_test=[1, 0, 1],
        x_held_out=X[:2],
        y_held_out=Y[:2],
    )
    data = open_data(where)
    x, labels, weights = distill_data.all_of(data.train)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(labels, Y)
    np.testing.assert_array_equal(weights, np.arange(20))
    assert data.test.labels.tolist() == [1, 0, 1]
    assert len(distill_data.all_of(data.held_out)) == 2  # no weights


@pytest.mark.parametrize(
    "train, held_out, test",
    (("training", "val", "testing"), ("train", "validation", "test")),
)
def test_other_names_of_splits(train, held_out, test, tmp_path):
    """Cases that were passed over would be drawn from those to learn from."""
    arrays = {}
    for name, count in ((train, 20), (held_out, 2), (test, 3)):
        arrays |= {f"x_{name}": X[:count], f"y_{name}": Y[:count]}
    data = open_data(save(tmp_path, **arrays))
    found = [split.cases for split in (data.train, data.held_out, data.test)]
    assert found == [20, 2, 3]
    with pytest.raises(ValueError, match=r"^--data must have one x for each"):
        open_data(save(tmp_path, **arrays, x_valid=X, y_valid=Y))


def test_bytes_are_images(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(20, 4, 4, 3), dtype=np.uint8)
    data = open_data(save(tmp_path, x=x, y=Y), split_seed=3)
    assert data.kind == "images" and data.input_shape == (4, 4, 3)
    shown = distill_data.all_of(data.test)[0]
    assert all((case == x).all((1, 2, 3)).any() for case in shown)
    small = open_data(save(tmp_path, x=x, y=Y), given_image_size=2)
    assert small.input_shape == (2, 2, 3)
    flat = save(tmp_path, x=x[..., 0], y=Y)
    assert open_data(flat).kind == "arrays"
    assert open_data(flat, given_channels=1).input_shape == (4, 4, 1)


def test_names_and_another_array_of_labels(tmp_path):
    where = save(tmp_path, x=X, kind=np.where(Y, "dog", "cat"))
    data = open_data(where, label="kind")
    assert data.class_names == ("cat", "dog")
    assert sorted(data.test.labels) == [0, 0, 1, 1]


def test_few_labels_and_none(tmp_path):
    y = np.where(np.arange(20) < 10, Y, -1)
    data = open_data(save(tmp_path, x=X, y=y))
    # Of ten without a label two are for test and one of eight held out; of
    # five of a class one for test and, of four, at least one held out.
    assert np.bincount(data.train.labels + 1).tolist() == [7, 3, 3]
    data = open_data(save(tmp_path, x=X), unlabelled=True)
    assert data.class_names == () and (data.test.labels == -1).all()


@pytest.mark.parametrize(
    "arrays, message",
    (
        ({"x": X}, "an array `y` is missing"),
        ({"y": Y}, "an array `x`. Received: .* with y"),
        ({"x": X, "y": Y[:-1]}, "as many `y` as x.*19 for 20"),
        ({"x": X, "y": Y + 1}, "from 0.*subtract 1.*`y` with the labels 1, 2"),
        ({"x": X, "y": 0 * Y}, "two classes or more.*with 0"),
        ({"x": X.astype(str), "y": Y}, "numbers in `x`"),
        ({"x": X[:, 0], "y": Y}, "numbers in `x`"),
        ({"x": X, "y": Y, "sample_weight": Y[1:]}, "`sample_weight` as x"),
        ({"x": X, "y": Y, "sample_weight": -Y}, "at least 0 in `sample_we"),
        ({"x": X, "y": Y, "sample_weight": Y * 1e39}, r"from 0\.0 to 1e\+39"),
        (
            {"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y},
            "`x_test` of the shape and dtype of `x`",
        ),
        (
            {"x": X, "y": Y, "x_test": X, "y_test": Y + 1},
            "classes that --data has, 0 to 1.*labels 1, 2",
        ),
        ({"x": X.astype(object), "y": Y}, "numbers and strings alone"),
        ({"x": np.where(X == 7, np.nan, X), "y": Y}, r"where x\[3, 1\] is nan"),
        # Finite as float64 alone.
        ({"x": np.where(X == 7, 1e39, X), "y": Y}, r"x\[3, 1\] is 1e\+39"),
        (
            {"x": X, "y": np.where(Y, "a", "b"), "x_test": X, "y_test": Y},
            "classes that --data has: a, b.*`y_test` with 0, 1$",
        ),
    ),
)
def test_mistakes(arrays, message, tmp_path):
    with pytest.raises(ValueError, match=rf"^--data must .*{message}"):
        open_data(save(tmp_path, **arrays))


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.npz").write_text("x, y")
    np.save(tmp_path / "one.npy", X)
    for name in ("missing.npz", "text.npz", "one.npy"):
        with pytest.raises(ValueError, match=f"must be a file.*{name}"):
            open_data(f"npz:{tmp_path / name}")


def test_splits_that_cannot_be(tmp_path):
    where = save(tmp_path, x=X[:2], y=Y[:2])
    with pytest.raises(
        ValueError, match=r"without test cases of 0, 1|at least"
    ):
        open_data(where)
    where = save(tmp_path, x=X, y=Y, x_test=X[:2], y_test=[1, 1])
    with pytest.raises(
        ValueError, match=r"^--test must.*without test cases of 0"
    ):
        open_data(where)
    with pytest.raises(ValueError, match=r"--label.*`z` is missing"):
        open_data(where, label="z")
    with pytest.raises(ValueError, match=r"--classes must be at most 2.*=3"):
        open_data(where, classes=3)
    where = save(tmp_path, x=X, y=Y, x_test=X, y_test=-np.ones(20, int))
    with pytest.raises(ValueError, match=r"^--test must have labels"):
        open_data(where)


def test_labels_that_a_split_lacks_are_called_as_its_cases_are(tmp_path):
    x, y = np.zeros((20, 3), np.float32), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y, x_val=x[:4])
    with pytest.raises(ValueError, match="an array `y_val` is missing"):
        open_data(f"npz:{tmp_path}/a.npz")

"""trainers.distill.sources: flags, and what all kinds have in common."""

import numpy as np
import pytest
from absl import flags

from tests import distill_data
from tests.distill_data import open_data
from trainers.distill import sources


@pytest.fixture
def parsed(monkeypatch):
    """What a script with these flags alone sees."""
    own = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", own)
    for name in (
        "DEFINE_string",
        "DEFINE_integer",
        "DEFINE_float",
        "DEFINE_boolean",
        "DEFINE_enum",
        "DEFINE_list",
    ):
        define = getattr(flags, name)
        monkeypatch.setattr(
            flags,
            name,
            lambda *args, define=define, **kwargs: define(
                *args, flag_values=own, **kwargs
            ),
        )
    required = flags.mark_flag_as_required
    monkeypatch.setattr(
        flags, "mark_flag_as_required", lambda name: required(name, own)
    )

    def parse(*arguments):
        own(["script", *arguments])
        return own

    return parse


def test_flags_and_settings(parsed):
    flags.DEFINE_string("data_dir", None, "there already")
    sources.define_flags()
    values = parsed("--data=npz:a.npz", "--columns=a,b", "--data_dir=x")
    for name, default in distill_data.DEFAULTS.items():
        if name not in ("columns", "data_dir"):
            assert getattr(values, name) == default, name
    depends = sources.settings(values)
    assert depends["data"] == "npz:a.npz" and depends["columns"] == "a,b"
    assert set(depends) == {"data", *distill_data.DEFAULTS} - {
        "data_dir",
        "manual_dir",
    }


def test_data_is_required(parsed):
    sources.define_flags()
    with pytest.raises(flags.IllegalFlagValueError, match="--data must"):
        parsed()


@pytest.mark.parametrize(
    ("data", "flag", "value"),
    (
        ("sklearn:iris", "image_size", 8),
        ("sklearn:iris", "channels", "1"),
        ("sklearn:iris", "resize", "nearest"),
        ("sklearn:iris", "seconds", 2.0),
        ("sklearn:iris", "label", "y"),
        ("sklearn:iris", "columns", ["a"]),
        ("sklearn:digits", "bands", 20),
        ("sklearn:digits", "sample_rate", 8000),
        ("sklearn:digits", "features", "features.json"),
        ("folder:photos", "label", "y"),
    ),
)
def test_flags_that_the_data_would_ignore(data, flag, value):
    with pytest.raises(
        ValueError,
        match=f"^--{flag} must be left out but for .* "
        f"Received: --{flag}.*--data={data}",
    ):
        open_data(data, **{flag: value})


def test_tables_have_columns_and_others_none(tmp_path):
    rows = "".join(f"{k},{k % 2}\n" for k in range(20))
    (tmp_path / "a.csv").write_text("a,label\n" + rows)
    data = open_data(f"csv:{tmp_path / 'a.csv'}")
    assert isinstance(data, sources.TableData) and data.columns == ("a",)
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 1)), y=np.arange(20) % 2)
    data = open_data(f"npz:{tmp_path / 'a.npz'}")
    assert not isinstance(data, sources.TableData) and data.columns == ()


@pytest.mark.parametrize("seed", range(5))
def test_splits_of_any_shares(seed, tmp_path):
    """Disjoint, complete, ordered, of each class, and the same again."""
    rng = np.random.default_rng(seed)
    cases = rng.integers(30, 200)
    y = np.concatenate([[0, 1, 2] * 3, rng.integers(3, size=cases - 9)])
    np.savez(tmp_path / "a.npz", x=np.arange(cases)[:, None], y=y)
    where = f"npz:{tmp_path / 'a.npz'}"
    shares = {
        "test": f"{rng.uniform(0.05, 0.5):.3f}",
        "held_out": f"{rng.uniform(0.05, 0.5):.3f}",
        "split_seed": int(seed),
    }
    found = []
    for _ in range(2):
        data = open_data(where, **shares)
        rows = []
        for split in distill_data.splits_of(data).values():
            x, labels = distill_data.all_of(split)
            rows.append(x[:, 0].astype(int))
            np.testing.assert_array_equal(labels, y[rows[-1]])
            assert (np.diff(rows[-1]) > 0).all() and set(labels) == {0, 1, 2}
        assert sorted(np.concatenate(rows)) == list(range(cases))
        found.append([some.tolist() for some in rows])
    assert found[0] == found[1]
    _, held_out, test = found[0]
    # By at most one a class.
    assert abs(len(test) - float(shares["test"]) * cases) <= 3
    rest = cases - len(test)
    assert abs(len(held_out) - float(shares["held_out"]) * rest) <= 3


def test_the_same_whoever_asks(tmp_path):
    """A split does not depend on the other one's share."""
    np.savez(tmp_path / "a.npz", x=np.arange(50)[:, None], y=np.arange(50) % 2)
    where = f"npz:{tmp_path / 'a.npz'}"
    tests = {
        tuple(distill_data.all_of(open_data(where, held_out=h).test)[0][:, 0])
        for h in (None, "0.1", "0.5")
    }
    assert len(tests) == 1


def test_other_kinds_of_x(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 1)), y=np.arange(20) % 2)
    np.savez(
        tmp_path / "b.npz",
        x=np.zeros((4, 2, 2, 1), np.uint8),
        y=np.arange(4) % 2,
    )
    with pytest.raises(ValueError, match=r"^--test must be of the kind"):
        open_data(f"npz:{tmp_path / 'a.npz'}", test=f"npz:{tmp_path / 'b.npz'}")


@pytest.mark.parametrize("flag", ("test", "held_out", "unlabelled_data"))
def test_other_shapes_of_x(flag, tmp_path):
    for name, shape in (("a", (20, 5)), ("b", (20, 7))):
        np.savez(
            tmp_path / f"{name}.npz", x=np.zeros(shape), y=np.arange(20) % 2
        )
    with pytest.raises(
        ValueError, match=rf"^--{flag} must .*\[5\]\. .*b\.npz with \[7\]$"
    ):
        open_data(
            f"npz:{tmp_path / 'a.npz'}", **{flag: f"npz:{tmp_path / 'b.npz'}"}
        )


@pytest.mark.slow
def test_unlabelled_data_are_trained_on_as_well(tmp_path):
    """After those that have labels; splits are those of --data alone."""
    folder = distill_data.write_folder(tmp_path / "a", {"x": 9, "y": 9})
    # Its folders mean nothing.
    distill_data.write_folder(tmp_path / "b", {"z": 4, "train": 2})
    alone = open_data(f"folder:{folder}")
    more = open_data(
        f"folder:{folder}", unlabelled_data=f"folder:{tmp_path / 'b'}"
    )
    assert more.class_names == ("x", "y")
    splits = zip(
        distill_data.splits_of(alone).values(),
        distill_data.splits_of(more).values(),
        strict=True,
    )
    cases = alone.train.cases
    assert more.train.cases == cases + 6
    assert more.train.dataset.cardinality() == cases + 6
    for one, other in splits:
        for few, many in zip(
            distill_data.all_of(one), distill_data.all_of(other), strict=True
        ):
            np.testing.assert_array_equal(few, many[: len(few)])
    x, labels = distill_data.all_of(more.train)
    np.testing.assert_array_equal(labels, more.train.labels)
    assert (labels[cases:] == -1).all()
    assert sorted(x[cases:, 0, 0, 0]) == [0, 1, 2, 3, 10, 11]


def test_unlabelled_data_with_and_without_weights(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), np.arange(20) % 2
    plain = {"x": x, "y": y}
    weighted = {**plain, "sample_weight": np.full(20, 0.5)}
    np.savez(tmp_path / "plain.npz", **plain)
    np.savez(tmp_path / "weighted.npz", **weighted)
    for first, second, expected in (
        ("plain", "weighted", (1.0, 0.5)),
        ("weighted", "plain", (0.5, 1.0)),
    ):
        data = open_data(
            f"npz:{tmp_path / first}.npz",
            unlabelled_data=f"npz:{tmp_path / second}.npz",
        )
        _, labels, weights = distill_data.all_of(data.train)
        for is_known, weight in zip((True, False), expected, strict=True):
            assert set(weights[(labels >= 0) == is_known]) == {weight}
        assert (labels[-20:] == -1).all()


def test_rows_without_a_column_of_labels(tmp_path):
    """Are encoded as those are that have labels."""
    rows = [f"{k},{'ab'[k % 2]},{('no', 'yes')[k % 2]}" for k in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["size,kind,target", *rows]))
    (tmp_path / "b.csv").write_text("size,kind\n100,b\n200,a\n")
    (tmp_path / "c.csv").write_text("size,kind,target\n100,b,?\n200,a,?\n")
    (tmp_path / "d.csv").write_text("size\n100\n")
    found = [
        open_data(
            f"csv:{tmp_path / 'a.csv'}",
            unlabelled_data=f"csv:{tmp_path / name}.csv",
        )
        for name in "bc"
    ]
    for data in found:
        x, labels = distill_data.all_of(data.train)
        assert labels[-2:].tolist() == [-1, -1]
        assert x[-2:, 0].tolist() == [100, 200]
        np.testing.assert_array_equal(x[-2:, 1:], x[[1, 0], 1:])
    with pytest.raises(ValueError, match=r"--unlabelled_data must have.*kind"):
        open_data(
            f"csv:{tmp_path / 'a.csv'}",
            unlabelled_data=f"csv:{tmp_path / 'd.csv'}",
        )


def test_a_folder_around_the_data_has_test_cases(tmp_path):
    folder = distill_data.write_folder(tmp_path / "a", {"x": 9, "y": 9})
    for other in (tmp_path, folder / "x"):
        with pytest.raises(ValueError, match="--unlabelled_data must have oth"):
            open_data(f"folder:{folder}", unlabelled_data=f"folder:{other}")


@pytest.mark.parametrize("flag", ("held_out", "unlabelled_data"))
def test_other_cases_than_those_of_the_test(flag, tmp_path):
    x = np.zeros((20, 3))
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", x=x, y=np.arange(20) % 2)
    a, b = (f"npz:{tmp_path / name}.npz" for name in "ab")
    with pytest.raises(ValueError, match=f"--{flag} must have other cases"):
        open_data(a, test=b, **{flag: b})

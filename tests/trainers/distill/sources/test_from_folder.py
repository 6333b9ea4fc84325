"""trainers.distill.sources.from_folder: a folder a class."""

import os

import numpy as np
import pytest

from kdtf import speech
from tests import distill_data
from tests.distill_data import open_data


def shades(split):
    x, labels = distill_data.all_of(split)
    assert x.dtype == np.float32 and labels.dtype == np.int32
    np.testing.assert_array_equal(labels, split.labels)
    assert (x == x[:, :1, :1, :1]).all()
    return x[:, 0, 0, 0], labels


def test_held_out_by_the_seed(tmp_path):
    distill_data.write_folder(tmp_path, {"b": 10, "a": 10}, channels=3)
    (tmp_path / ".hidden").mkdir()
    distill_data.write_folder(tmp_path / "a" / ".thumbnails", {"b": 1})
    (tmp_path / "a" / "notes.txt").write_text("no image")
    data = open_data(f"folder:{tmp_path}")
    assert data.kind == "images" and data.input_shape == (3, 3, 3)
    # Names in order, as Keras has them; "b" was written first.
    assert data.class_names == ("a", "b")
    found = [shades(split) for split in distill_data.splits_of(data).values()]
    assert [len(labels) for _, labels in found] == [14, 2, 4]
    for shade, labels in found:
        np.testing.assert_array_equal(labels, shade < 10)
        assert (np.diff(np.where(labels, shade + 100, shade)) > 0).sum() >= 0
    every = np.concatenate([shade for shade, _ in found])
    np.testing.assert_array_equal(np.sort(every), np.arange(20))


def test_splits_of_its_own(tmp_path):
    for split, count in (("train", 3), ("test", 2), ("validation", 1)):
        distill_data.write_folder(tmp_path / split, {"a": count, "b": count})
    data = open_data(f"folder:{tmp_path}")
    sizes = [s.cases for s in distill_data.splits_of(data).values()]
    assert sizes == [6, 2, 4]
    # A share takes the place of one of them.
    data = open_data(f"folder:{tmp_path}", test="0.3", held_out="0.5")
    sizes = [s.cases for s in distill_data.splits_of(data).values()]
    assert sizes == [2, 2, 2]
    # And so does what is its own otherwise; here it is not used twice.
    other = f"folder:{tmp_path / 'validation'}"
    data = open_data(f"folder:{tmp_path}", test=other)
    sizes = [s.cases for s in distill_data.splits_of(data).values()]
    assert sizes == [4, 2, 2]
    with pytest.raises(ValueError, match=r"^--held_out must have other cases"):
        open_data(f"folder:{tmp_path}", test=other, held_out=other)


def test_classes_called_as_splits_are(tmp_path):
    distill_data.write_folder(tmp_path, {"car": 3, "train": 3})
    assert open_data(f"folder:{tmp_path}").class_names == ("car", "train")
    distill_data.write_folder(tmp_path / "other", {"val": 3, "test": 3})
    data = open_data(f"folder:{tmp_path / 'other'}")
    assert data.class_names == ("test", "val")


@pytest.mark.parametrize(
    "train, test, held_out",
    (("Train", "TEST", "valid"), ("training", "testing", "Val")),
)
def test_other_names_of_splits(train, test, held_out, tmp_path):
    for split, count in ((train, 3), (test, 2), (held_out, 1)):
        distill_data.write_folder(tmp_path / split, {"a": count, "b": count})
    data = open_data(f"folder:{tmp_path}")
    sizes = [s.cases for s in distill_data.splits_of(data).values()]
    assert sizes == [2 * 3, 2 * 1, 2 * 2] and data.class_names == ("a", "b")


def test_splits_beside_others(tmp_path):
    """Are no classes, and neither are splits without training cases."""
    for split in ("test", "val"):
        distill_data.write_folder(tmp_path / split, {"a": 3, "b": 3})
    with pytest.raises(ValueError, match=r"^--data must .*with test, val$"):
        open_data(f"folder:{tmp_path}")
    distill_data.write_folder(tmp_path / "train", {"a": 3, "b": 3})
    open_data(f"folder:{tmp_path}")
    distill_data.write_folder(tmp_path, {"extra": 3})
    with pytest.raises(ValueError, match=r"^--data .*extra, test, train, val$"):
        open_data(f"folder:{tmp_path}")


def test_a_split_that_is_there_twice(tmp_path):
    for split in ("train", "val", "valid"):
        distill_data.write_folder(tmp_path / split, {"a": 3, "b": 3})
    with pytest.raises(ValueError, match=r"^--data must .*/val, .*/valid$"):
        open_data(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "name, message",
    (
        (b"x.webp", r"other formats.*a/x\.webp$"),
        (b"x.TIF", r"other formats.*a/x\.TIF$"),
        (b"x.mp3", r"other formats.*a/x\.mp3$"),
        (b"caf\xe9.png", r"in UTF-8.*a/caf\\xe9\.png'$"),
    ),
)
def test_files_that_cannot_be_read(name, message, tmp_path):
    distill_data.write_folder(tmp_path, {"a": 3, "b": 3})
    folder = os.fsencode(tmp_path / "a")
    os.link(folder + b"/000.png", folder + b"/" + name)
    with pytest.raises(ValueError, match=rf"^--data must have .*{message}"):
        open_data(f"folder:{tmp_path}")


def test_another_folder(tmp_path):
    """Of some of the classes, in the places of the training cases' names."""
    distill_data.write_folder(tmp_path / "one", {"a": 4, "b": 4, "c": 4})
    distill_data.write_folder(tmp_path / "two", {"b": 1, "c": 2}, side=5)
    data = open_data(
        f"folder:{tmp_path / 'one'}",
        held_out=f"folder:{tmp_path / 'two'}",
        test="0.25",
    )
    assert data.held_out.labels.tolist() == [1, 2, 2]
    # Brought to the size of the training images.
    assert distill_data.all_of(data.held_out)[0].shape == (3, 3, 3, 1)


def test_size_and_colours(tmp_path):
    distill_data.write_folder(tmp_path, {"a": 3, "b": 3})
    where = f"folder:{tmp_path}"
    assert open_data(where).input_shape == (3, 3, 1)
    given = {"given_image_size": (4, 5), "given_channels": 3}
    assert open_data(where, **given).input_shape == (4, 5, 3)
    flags = {"image_size": 7, "channels": "1"}
    data = open_data(where, **given, **flags)
    assert data.input_shape == (7, 7, 1)
    shades(data.train)  # of one shade still


def test_first_classes_alone(tmp_path):
    distill_data.write_folder(tmp_path, {"a": 3, "b": 3, "c": 3})
    data = open_data(f"folder:{tmp_path}", classes=2)
    assert data.class_names == ("a", "b")
    assert {
        label
        for split in distill_data.splits_of(data).values()
        for label in split.labels.tolist()
    } == {0, 1}


def test_without_labels(tmp_path):
    for k in range(9):
        image = np.full((2, 2, 1), k)
        distill_data.write_image(tmp_path / "all" / f"{k}.png", image)
    distill_data.write_folder(tmp_path / "test", {"a": 1, "b": 1})
    data = open_data(f"folder:{tmp_path / 'all'}", unlabelled=True)
    assert data.class_names == ()
    assert (data.train.labels == -1).all() and (data.test.labels == -1).all()
    data = open_data(
        f"folder:{tmp_path / 'all'}",
        test=f"folder:{tmp_path / 'test'}",
        unlabelled=True,
    )
    assert data.class_names == ("a", "b")
    assert data.test.labels.tolist() == [0, 1]


def test_labels_that_are_not_used(tmp_path):
    distill_data.write_folder(tmp_path, {"a": 5, "b": 5})
    data = open_data(f"folder:{tmp_path}", unlabelled=True)
    assert (data.train.labels == -1).all()
    assert (distill_data.all_of(data.train)[1] == -1).all()
    assert sorted(data.test.labels) == [0, 1]


@pytest.mark.slow
def test_clips(tmp_path):
    rng = np.random.default_rng(0)
    waves = rng.integers(-30000, 30000, (2, 5, 900))
    for name, some in zip("ab", waves, strict=True):
        for k, wave in enumerate(some):
            distill_data.write_clip(tmp_path / name / f"{k}.wav", wave)
    data = open_data(f"folder:{tmp_path}", seconds=0.1, bands=6)
    assert data.kind == "sound" and data.input_shape == (8, 6, 1)
    # With five of a class, one is for test, and one of four held out.
    x, labels = distill_data.all_of(data.train)
    assert np.bincount(labels).tolist() == [3, 3]
    expected = speech.log_mel(waves[..., :800], sample_rate=8000, bands=6)
    for case, label in zip(x, labels, strict=True):
        near = abs(expected[label] - case[..., 0]).numpy().max((1, 2))
        assert near.min() < 1e-3


def test_clips_that_are_cut(tmp_path):
    """Of all splits."""
    for name, some in {"train/a": 3, "train/b": 4, "test/a": 1}.items():
        for k in range(some):
            wave = range(800 + (k % 2))  # every second is longer than 0.1 s
            distill_data.write_clip(tmp_path / name / f"{k}.wav", wave)
    distill_data.write_clip(tmp_path / "test" / "b" / "0.wav", range(900))
    data = open_data(f"folder:{tmp_path}", seconds=0.1)
    assert data.cut_clips == 1 + 2 + 0 + 1
    assert open_data(f"folder:{tmp_path}", seconds=0.2).cut_clips == 0


def test_mistakes(tmp_path):
    missing = tmp_path / "missing"
    one = distill_data.write_folder(tmp_path / "one", {"a": 4})
    empty = distill_data.write_folder(tmp_path / "empty", {"a": 1, "b": 1})
    (empty / "c").mkdir()
    bad = distill_data.write_folder(tmp_path / "bad", {"a": 3, "b": 3})
    mixed = distill_data.write_folder(tmp_path / "mixed", {"a": 3, "b": 3})
    distill_data.write_clip(mixed / "a" / "z.wav", range(9))
    for where, message in (
        (missing, "a folder that exists. Received: --data=folder:.*missing"),
        (one, "two or more.*where .*one has 1: a"),
        (empty, "with none in .*empty/c"),
        (mixed, "either images or sound.*z.wav and .*000.png"),
        (tmp_path / "one" / "a", "two or more.*has 0: none"),
    ):
        with pytest.raises(ValueError, match=rf"^--data must .*{message}"):
            open_data(f"folder:{where}")
    (bad / "b" / "001.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"whose file .*b/001\.png is none"):
        open_data(f"folder:{bad}")
    counts = {"a": 4, "b": 4, "z": 4}
    three = distill_data.write_folder(tmp_path / "x", counts)
    two = distill_data.write_folder(tmp_path / "y", {"a": 4, "b": 4})
    with pytest.raises(ValueError, match=r"^--test must .*a, b.*has z"):
        open_data(f"folder:{two}", test=f"folder:{three}")
    with pytest.raises(
        ValueError, match=r"^--test must .*without test cases of z"
    ):
        open_data(f"folder:{three}", test=f"folder:{two}")
    # Files alone, whose classes nobody knows; also in a split's folder.
    with pytest.raises(ValueError, match=r"^--test .*class\. .*has 0: none"):
        open_data(f"folder:{two}", test=f"folder:{three / 'a'}")
    distill_data.write_folder(tmp_path / "splits" / "train", {"a": 4, "b": 4})
    distill_data.write_folder(tmp_path / "splits", {"test": 4})
    with pytest.raises(ValueError, match=r"^--data .*splits/test has 0: none"):
        open_data(f"folder:{tmp_path / 'splits'}")
    single = distill_data.write_folder(tmp_path / "s", {"a": 1, "b": 1})
    with pytest.raises(ValueError, match=r"^--test must leave .*no test case"):
        open_data(f"folder:{single}")

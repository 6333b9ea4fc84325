"""trainers.distill.sources.from_tfds: data sets that TFDS has on disk."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kdtf import speech
from tests import distill_data, tfds_words
from tests.distill_data import open_data

NAMES = ("rose", "tulip", "aster")


def write(data_dir, examples, *, shape=(None, None, 1), **others):
    """Writes images and labels in place of words."""
    features = {
        "audio": None,
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(names=NAMES),
        **others,
    }
    return tfds_words.write(data_dir, examples, **features)


def example(shade, label=None, side=4, channels=1):
    label = NAMES[shade % 3] if label is None else label
    image = np.full((side, side, channels), shade, np.uint8)
    return {"image": image, "label": label}


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """30 training cases in shades of 0 to 29, 6 to hold out and 6 of test."""
    examples = {
        "train": [example(k) for k in range(30)],
        "validation": [example(k) for k in range(100, 106)],
        "test": [example(k) for k in range(200, 206)],
    }
    return write(tmp_path_factory.mktemp("flowers"), examples)


def opened(data_dir, split="", **flags):
    return open_data(
        f"tfds:{tfds_words.NAME}{split}", data_dir=data_dir, **flags
    )


def shades(split):
    x, labels = distill_data.all_of(split)
    assert x.dtype == np.float32
    found = np.round(x[:, 0, 0, 0]).astype(int)
    assert abs(x - found[:, None, None, None]).max() < 1e-3
    np.testing.assert_array_equal(labels, found % 3)
    np.testing.assert_array_equal(labels, split.labels)
    assert split.dataset.cardinality() == len(found)
    return found.tolist()


def test_splits_of_its_own(flowers):
    data = opened(flowers)
    assert data.kind == "images" and data.class_names == NAMES
    assert data.input_shape == (4, 4, 1)
    assert shades(data.train) == list(range(30))
    assert shades(data.held_out) == list(range(100, 106))
    assert shades(data.test) == list(range(200, 206))


@pytest.mark.slow
def test_held_out_by_the_seed(flowers):
    data = opened(flowers, ":train", test="0.2", held_out="0.25")
    found = [shades(split) for split in distill_data.splits_of(data).values()]
    assert [len(some) for some in found] == [18, 6, 6]
    assert sorted(np.concatenate(found)) == list(range(30))
    assert all(some == sorted(some) for some in found)
    assert shades(data.test) == found[2]


def test_own_splits_that_are_trained_on_are_not_taken(flowers):
    data = opened(flowers, ":train+test")
    assert set(shades(data.held_out)) == set(range(100, 106))
    assert len(shades(data.test)) == 6
    every = sorted(shades(data.train) + shades(data.test))
    assert every == [*range(30), *range(200, 206)]


def test_splits_by_flag(flowers):
    data = opened(
        flowers, ":train[:50%]", test="train[50%:]", held_out="test[:3]"
    )
    assert shades(data.train) == list(range(15))
    assert shades(data.test) == list(range(15, 30))
    assert shades(data.held_out) == [200, 201, 202]


def test_own_splits_that_are_named_otherwise_are_not_taken(flowers):
    data = opened(flowers, test="validation")
    assert shades(data.test) == list(range(100, 106))
    assert len(shades(data.held_out)) == 3  # one of ten of each class
    assert set(shades(data.held_out)) < set(range(30))
    data = opened(flowers, held_out="test[:3]")
    assert shades(data.held_out) == [200, 201, 202]
    assert len(shades(data.test)) == 6 and max(shades(data.test)) < 30


def test_first_classes_and_sizes(flowers):
    data = opened(flowers, classes=2, image_size=2, channels="3")
    assert data.class_names == NAMES[:2]
    assert data.input_shape == (2, 2, 3)
    assert shades(data.train) == [k for k in range(30) if k % 3 < 2]


@pytest.mark.parametrize(
    "split, flags, message",
    (
        (":lost", {}, "--data must name a split.*train, validation, test"),
        (":train[", {}, "--data must name a split"),
        ("", {"test": "lost"}, "--test must name a split.*--test=lost"),
        ("", {"test": "train[:1]"}, "--test must have other cases than --data"),
        (
            "",
            {"test": "validation", "held_out": "validation[:2]"},
            "--held_out must have other cases than --test",
        ),
        ("", {"label": "kind"}, "--label must be a feature.*label.*=kind"),
        ("", {"test": "test[:1]"}, "--test must.*cases of rose, tulip"),
    ),
)
def test_mistakes(split, flags, message, flowers):
    with pytest.raises(ValueError, match=f"^{message}"):
        opened(flowers, split, **flags)


def test_unknown_and_unprepared(tmp_path):
    with pytest.raises(ValueError, match=r"^--data must be folder.*=tfds:wat"):
        open_data("tfds:wat", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    "others, message",
    (
        ({"label": tfds.features.Text()}, "a feature `label`.*none"),
        (
            {"image": tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8)},
            "a feature `image`",
        ),
        (
            {"image": tfds.features.Image(shape=(4, 4, 1), dtype=np.uint16)},
            "images of 1 or 3 channels and 8 bits.*=tfds:tiny_words with",
        ),
    ),
)
def test_unsuitable_features(others, message, tmp_path):
    case = example(1)
    if "image" in others:
        case["image"] = case["image"].astype(others["image"].np_dtype)
    data_dir = write(tmp_path, {"train": [case] * 2}, **others)
    with pytest.raises(ValueError, match=f"--data must have {message}"):
        opened(data_dir)


def test_without_labels(tmp_path):
    cases = [{"image": example(k)["image"]} for k in range(9)]
    data_dir = write(tmp_path, {"train": cases}, label=None)
    data = opened(data_dir, unlabelled=True)
    assert data.class_names == ()
    assert (data.test.labels == -1).all() and data.train.cases == 6


def test_sound(tmp_path):
    """Of one length, as log energies."""
    examples = {"train": tfds_words.spoken(range(8))}
    data_dir = tfds_words.write(tmp_path, examples)
    data = opened(data_dir, classes=2, seconds=0.5, bands=10)
    assert data.kind == "sound" and data.input_shape == (48, 10, 1)
    assert data.class_names == tfds_words.LABELS[:2]
    x, labels = distill_data.all_of(data.train)
    assert set(labels) == {0, 1}
    waves = [np.zeros(4000, np.float32) for _ in examples["train"]]
    for wave, case in zip(waves, examples["train"], strict=True):
        some = case["audio"][:4000] / 32768
        wave[: len(some)] = some
    heard = speech.log_mel(np.stack(waves), sample_rate=8000, bands=10)
    words = [tfds_words.LABELS.index(c["label"]) for c in examples["train"]]
    for case, label in zip(x, labels, strict=True):
        near = abs(heard - case[..., 0]).numpy().max((1, 2))
        assert near.min() < 1e-3 and words[near.argmin()] == label


def test_another_split_without_its_labels(tmp_path):
    clips = tfds_words.spoken(range(8))
    data_dir = tfds_words.write(tmp_path, {"train": clips})
    half = len(clips) // 2
    data = opened(
        data_dir,
        f":train[:{half}]",
        unlabelled_data=f"train[{half}:]",
        seconds=0.01 * len(clips),
    )
    more = len(clips) - half
    assert (data.train.labels[-more:] == -1).all()
    assert (data.train.labels[:-more] >= 0).all()
    x, _ = distill_data.all_of(data.train)
    assert len(x) == data.train.cases
    with pytest.raises(ValueError, match="--unlabelled_data must have other"):
        opened(
            data_dir,
            f":train[:{half}]",
            unlabelled_data=f"train[{half - 1}:]",
        )


def test_clips_that_are_cut(tmp_path):
    """Of the classes that are taken."""
    clips = tfds_words.spoken(range(8))
    data_dir = tfds_words.write(tmp_path, {"train": clips})
    lengths = np.array(
        [len(c["audio"]) for c in clips if c["label"] in tfds_words.LABELS[:2]]
    )
    middle = int(np.median(lengths))
    data = opened(data_dir, classes=2, seconds=middle / 8000)
    assert 0 < data.cut_clips < len(lengths)
    assert data.cut_clips == (lengths > middle).sum()


def test_an_unknown_sampling_rate(tmp_path):
    audio = tfds.features.Audio(dtype=np.int16)
    examples = {"train": tfds_words.spoken(range(8))}
    data_dir = tfds_words.write(tmp_path, examples, audio=audio)
    with pytest.raises(ValueError, match=r"--sample_rate must be given.*tfds:"):
        opened(data_dir)
    assert opened(data_dir, sample_rate=8000, classes=2).kind == "sound"

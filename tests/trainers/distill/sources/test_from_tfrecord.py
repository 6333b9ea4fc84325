"""trainers.distill.sources.from_tfrecord: files of examples."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests import distill_data
from tests.distill_data import open_data
from trainers.distill.sources import images

FLOATS = {
    "v": {"type": "floats", "shape": [2]},
    "k": {"type": "label"},
    "w": {"type": "weight"},
}


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if np.issubdtype(np.asarray(value).dtype, np.integer):
        flat = np.ravel(value).tolist()
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
    flat = np.ravel(value).tolist()
    return tf.train.Feature(float_list=tf.train.FloatList(value=flat))


def write(path, cases):
    """Writes dicts; compressed where the name says so."""
    options = "GZIP" if path.suffix == ".gz" else None
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for case in cases:
            made = {name: feature(value) for name, value in case.items()}
            example = tf.train.Example(features=tf.train.Features(feature=made))
            writer.write(example.SerializeToString())


def vectors(numbers):
    return [{"v": [k, k / 2], "k": k % 2, "w": k / 4} for k in numbers]


def described(tmp_path, features):
    path = tmp_path / "features.json"
    path.write_text(json.dumps(features))
    return str(path)


def test_vectors_of_several_files(tmp_path):
    write(tmp_path / "b.tfrecord", vectors(range(10, 20)))
    write(tmp_path / "a.tfrecord.gz", vectors(range(10)))
    data = open_data(
        f"tfrecord:{tmp_path}/*.tfrecord*", features=described(tmp_path, FLOATS)
    )
    assert data.kind == "arrays" and data.input_shape == (2,)
    assert data.class_names == ("0", "1")
    found = []
    for split in distill_data.splits_of(data).values():
        x, labels, weights = distill_data.all_of(split)
        assert x.dtype == weights.dtype == np.float32
        np.testing.assert_array_equal(labels, x[:, 0] % 2)
        np.testing.assert_array_equal(weights, x[:, 1] / 2)
        assert (np.diff(x[:, 0]) > 0).all()
        found += x[:, 0].tolist()
    assert sorted(found) == list(range(20))


def test_examples_without_labels(tmp_path):
    """Of --unlabelled_data, whose examples need not have the feature."""
    write(tmp_path / "a", vectors(range(20)))
    more = [{"v": case["v"], "w": case["w"]} for case in vectors((30, 31))]
    write(tmp_path / "b", more)
    data = open_data(
        f"tfrecord:{tmp_path}/a",
        features=described(tmp_path, FLOATS),
        unlabelled_data=f"tfrecord:{tmp_path}/b",
    )
    x, labels, weights = distill_data.all_of(data.train)
    assert x[-2:, 0].tolist() == [30, 31]
    assert labels[-2:].tolist() == [-1, -1]
    assert weights[-2:].tolist() == [7.5, 7.75]


def images_of(kind, count=8):
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(count, 4, 5, 3), dtype=np.uint8)
    encode = {
        "image": lambda image: tf.io.encode_png(image).numpy(),
        "pixels": lambda image: image.tobytes(),
    }[kind]
    return pixels, [encode(image) for image in pixels]


@pytest.mark.parametrize("kind", ("image", "pixels"))
def test_images_with_names(kind, tmp_path):
    pixels, encoded = images_of(kind)
    cases = [
        {"x": image, "y": b"dog" if k % 2 else b"cat"}
        for k, image in enumerate(encoded)
    ]
    write(tmp_path / "a", cases)
    shape = {"shape": [4, 5, 3]} if kind == "pixels" else {}
    features = described(
        tmp_path, {"x": {"type": kind, **shape}, "y": {"type": "label"}}
    )
    data = open_data(f"tfrecord:{tmp_path}/a", features=features)
    assert data.kind == "images" and data.input_shape == (4, 5, 3)
    assert data.class_names == ("cat", "dog")
    x, labels = distill_data.all_of(data.train)
    for image, label in zip(x, labels, strict=True):
        same = (pixels == image).all((1, 2, 3))
        assert same.sum() == 1 and same.argmax() % 2 == label
    small = open_data(
        f"tfrecord:{tmp_path}/a", features=features, image_size=2, channels="1"
    )
    assert small.input_shape == (2, 2, 1)


def test_numbers_are_no_names(tmp_path):
    """Where --features does not say which name is whose."""
    cases = vectors(range(20))
    write(tmp_path / "b", cases)
    write(tmp_path / "a", [{**c, "k": (b"x", b"y")[c["k"]]} for c in cases])
    with pytest.raises(ValueError, match=r"^--test must have .*x, y.*0, 1$"):
        open_data(
            f"tfrecord:{tmp_path}/a",
            test=f"tfrecord:{tmp_path}/b",
            features=described(tmp_path, FLOATS),
        )


def test_names_of_numbers_and_another_place(tmp_path):
    write(tmp_path / "a", vectors(range(20)))
    write(tmp_path / "b", vectors(range(30, 33)))
    said = {**FLOATS, "k": {"type": "label", "names": ["even", "odd"]}}
    data = open_data(
        f"tfrecord:{tmp_path}/a",
        test=f"tfrecord:{tmp_path}/b",
        features=described(tmp_path, said),
    )
    assert data.class_names == ("even", "odd")
    assert distill_data.all_of(data.test)[0][:, 0].tolist() == [30, 31, 32]


def test_without_labels(tmp_path):
    write(tmp_path / "a", vectors(range(20)))
    data = open_data(
        f"tfrecord:{tmp_path}/a",
        features=described(tmp_path, {"v": FLOATS["v"]}),
        unlabelled=True,
    )
    assert data.class_names == () and (data.test.labels == -1).all()


@pytest.mark.parametrize(
    "features, message",
    (
        ([], "it is no object"),
        ({"v": {"type": "floats"}}, "`v` must have a shape"),
        ({"v": {"type": "floats", "shape": [0]}}, "`v` must have a shape"),
        ({"v": {"type": "vector"}}, "`v` must have a type"),
        ({"v": "floats"}, "`v` must have a type"),
        ({"v": {"type": "image", "size": 2}}, "`v` has size"),
        ({"v": {"type": "pixels", "shape": [4, 4]}}, "height, width, 1 or 3"),
        ({"k": {"type": "label"}}, "one feature must be x"),
        ({"v": FLOATS["v"]}, "no feature is a label"),
        ({**FLOATS, "j": FLOATS["k"]}, "which of k, j"),
        *(
            ({**FLOATS, "k": {"type": "label", "names": names}}, "names that")
            for names in ("no,yes", ["no", "no"], [0, 1], 2, {"no": 0})
        ),
    ),
)
def test_features_that_cannot_be(features, message, tmp_path):
    write(tmp_path / "a", vectors(range(20)))
    with pytest.raises(ValueError, match=f"^--features must say.*{message}"):
        open_data(
            f"tfrecord:{tmp_path}/a", features=described(tmp_path, features)
        )


def test_mistakes(tmp_path):
    where, features = f"tfrecord:{tmp_path}/a", described(tmp_path, FLOATS)
    with pytest.raises(ValueError, match=r"^--data must match files.*none"):
        open_data(where, features=features)
    write(tmp_path / "a", vectors(range(20)))
    with pytest.raises(ValueError, match=r"^--features must be a JSON.*: none"):
        open_data(where)
    with pytest.raises(ValueError, match=r"^--features must be a JSON file"):
        open_data(where, features=str(tmp_path / "missing.json"))
    with pytest.raises(ValueError, match=r"^--label must be a feature.*with k"):
        open_data(where, features=features, label="v")
    other = described(tmp_path, {**FLOATS, "v": {**FLOATS["v"], "shape": [3]}})
    with pytest.raises(
        ValueError, match=r"^--data must be whole files.*Key: v"
    ):
        open_data(where, features=other)
    lost = described(tmp_path, {"v": FLOATS["v"], "z": {"type": "label"}})
    with pytest.raises(ValueError, match=r"^--data must be whole files.*z"):
        open_data(where, features=lost)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"^--data must be whole files"):
        open_data(where, features=features)
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        writer.write(b"no example")
    with pytest.raises(
        ValueError, match=r"^--data must be whole files.*a is none"
    ):
        open_data(where, features=features)
    write(tmp_path / "a", [])
    with pytest.raises(ValueError, match=r"^--data must have examples"):
        open_data(where, features=described(tmp_path, FLOATS))


def png(side=3):
    return tf.io.encode_png(np.zeros((side, side, 1), np.uint8)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "said, good, wrong, message",
    (
        (
            {"type": "image"},
            png(),
            png()[:30],
            "images that can be read.*is none: Invalid PNG[^{}[]*$",
        ),
        ({"type": "image"}, png(), b"", "images that can be read.*empty"),
        (
            {"type": "pixels", "shape": [2, 2, 1]},
            b"1234",
            b"12345",
            "4 bytes in each image.*has 5",
        ),
        (
            {"type": "floats", "shape": [2]},
            [1.0, 2.0],
            [1.0, np.inf],
            "finite numbers.*has others",
        ),
        (
            {"type": "floats", "shape": [2]},
            [1.0, 2.0],
            [1.0],
            "whole files.*from example 256 on: Name.*Key: x",
        ),
        ({"type": "weight"}, 0.0, -1.0, "weights that are finite.*is -1.0"),
        ({"type": "weight"}, 1.0, np.nan, "weights that are finite.*is nan"),
    ),
)
def test_an_example_that_cannot_be_is_named(
    said, good, wrong, message, tmp_path
):
    """At once, not when it is read in the middle of a run."""
    features = {"x": said, "k": {"type": "label"}}
    others = {}
    if said["type"] == "weight":
        features["v"], others["v"] = {"type": "ints", "shape": [1]}, [1]

    def cases(values):
        return [
            {"x": value, "k": k % 2, **others} for k, value in enumerate(values)
        ]

    write(tmp_path / "a", cases([good] * 300))
    where, told = f"tfrecord:{tmp_path}/?", described(tmp_path, features)
    assert open_data(where, features=told).train.cases
    write(tmp_path / "b", cases([good] * 270 + [wrong, good]))
    with pytest.raises(ValueError, match=f"^--data must (have|be) {message}"):
        open_data(where, features=told)
    with pytest.raises(ValueError, match=f"{tmp_path}/b"):
        open_data(where, features=told)


def test_of_many_bytes_of_images_only_the_strange_are_decoded(
    tmp_path, monkeypatch
):
    decoded = []
    original = images.reason_against
    monkeypatch.setattr(
        images, "reason_against", lambda e: decoded.append(e) or original(e)
    )
    monkeypatch.setattr(images, "DECODED_BYTES", 3 * len(png()))
    cases = [{"x": x, "k": k % 2} for k, x in enumerate([png()] * 20)]
    write(tmp_path / "a", cases)
    features = {"x": {"type": "image"}, "k": {"type": "label"}}
    told = described(tmp_path, features)
    open_data(f"tfrecord:{tmp_path}/a", features=told)
    assert len(decoded) == 3
    for strange in (png()[:-1], b"", b"text"):
        write(tmp_path / "a", [*cases, {"x": strange, "k": 0}])
        with pytest.raises(ValueError, match=r"example 20 of .*/a"):
            open_data(f"tfrecord:{tmp_path}/a", features=told)
        assert decoded[-1] == strange


@pytest.mark.slow
def test_globs_that_share_a_file_are_refused(tmp_path):
    for name in ("a-0", "a-1", "b-0", "b-1"):
        write(tmp_path / name, vectors(range(10)))
    (tmp_path / "c-0").symlink_to(tmp_path / "a-0")
    features = described(tmp_path, FLOATS)

    def opened(**flags):
        flags = {f: f"tfrecord:{tmp_path}/{g}" for f, g in flags.items()}
        return open_data(f"tfrecord:{tmp_path}/a-*", features=features, **flags)

    for flag in ("test", "held_out", "unlabelled_data"):
        for glob in ("?-0", "c-*"):
            with pytest.raises(
                ValueError, match=f"--{flag} must have other cases than --data"
            ):
                opened(**{flag: glob})
    with pytest.raises(ValueError, match="--held_out must have other"):
        opened(test="b-*", held_out="b-1")
    data = opened(test="b-0", held_out="b-1")
    assert data.train.cases == 20

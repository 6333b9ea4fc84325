"""Data sets written and read back, and what is refused."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kdtf.specialists import stored_examples
from kdtf.specialists.stored_examples import read_examples, write_examples
from kdtf.specialists.training_sets import training_set
from tests import disks

COUNT = 700


def arrays():
    rng = np.random.default_rng(0)
    x = {
        "image": rng.integers(0, 256, (COUNT, 3, 2), dtype=np.uint8),
        "parts": (
            rng.normal(size=COUNT),
            np.array([b"\x00t" * (row % 5) for row in range(COUNT)], object),
        ),
        "half": tf.constant(rng.normal(size=(COUNT, 2)), tf.bfloat16),
    }
    return x, rng.integers(0, 9, COUNT, dtype=np.int32)


def stream(x, y):
    """A data set without random access whose length is not known."""
    slices = tf.data.Dataset.from_tensor_slices((x, y))
    return slices.filter(lambda *_: True)


def assert_same(found, expected, rows):
    for a, b in zip(
        tf.nest.flatten(found), tf.nest.flatten(expected), strict=True
    ):
        b = np.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_array_equal(a[rows], b[rows])


@pytest.mark.parametrize("batch", (1, 256, 10_000))
def test_reads_what_was_written(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(stored_examples, "_TEXTS_AT_ONCE", batch)
    data = arrays()
    written = write_examples(stream(*data), tmp_path / "new" / "folder")
    read = read_examples(str(tmp_path / "new" / "folder"))
    tf.nest.assert_same_structure(read[0], data[0])
    rows = np.array([3, 699, 0, 3])
    for found in (written, read):
        assert_same(found, data, rows)


def test_one_pass_over_the_data(tmp_path):
    passes = []

    def generate():
        passes.append(1)
        yield from ((np.full(2, i, np.float32), i % 3) for i in range(50))

    signature = (tf.TensorSpec((2,)), tf.TensorSpec((), tf.int64))
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=signature
    )
    data = write_examples(dataset, tmp_path / "examples")
    for classes in ([0], [1], [0, 2]):
        batches = training_set(data, classes, batch_size=4, seed=0)
        x, y = next(iter(batches))
        expected = [
            classes.index(c) if c in classes else len(classes)
            for c in (x[:, 0].numpy().astype(int) % 3).tolist()
        ]
        assert y.numpy().tolist() == expected
    assert len(passes) == 1


def test_trains_as_arrays_do(tmp_path):
    data = arrays()
    stored = write_examples(stream(*data), tmp_path / "examples")
    for a, b in zip(
        *(
            training_set(d, [2, 5], batch_size=64, seed=1).take(5)
            for d in (data, stored)
        ),
        strict=True,
    ):
        for first, second in zip(
            tf.nest.flatten(a), tf.nest.flatten(b), strict=True
        ):
            np.testing.assert_array_equal(first, second)


def test_empty_texts(tmp_path):
    x = np.array([b""] * 3, object)
    found, _ = write_examples(stream(x, np.arange(3)), tmp_path / "examples")
    assert found[np.array([2, 0])].tolist() == [b"", b""]


def test_what_is_read_cannot_be_changed(tmp_path):
    x, y = write_examples(stream(np.eye(4), range(4)), tmp_path / "examples")
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        y[0] = 1


PAIRS = tf.data.Dataset.from_tensor_slices((np.eye(4), range(4)))
BAD = [
    ((np.eye(4), range(4)), "be a tf.data.Dataset"),
    (PAIRS.map(lambda x, y: x), r"single examples \(x, y\)"),
    (PAIRS.map(lambda x, y: {"x": x, "y": y}), "single examples"),
    (PAIRS.map(lambda x, y: (x, y, y)), "single examples"),
    (PAIRS.map(lambda x, y: (x, x)), "single examples"),
    (PAIRS.map(lambda x, y: (x, tf.cast(y, tf.float32))), "single examples"),
    (PAIRS.batch(2), "single examples"),
    (PAIRS.batch(2).map(lambda x, y: (x, y[0])), "one known shape"),
    (PAIRS.map(lambda x, y: (tf.sparse.from_dense(x), y)), "one known shape"),
    (PAIRS.map(lambda x, y: (tf.as_string(x), y)), "one known shape"),
    (PAIRS.map(lambda x, y: ({0: x}, y)), "dicts of str"),
    (PAIRS.map(lambda x, y: (x[:0], y)), "not empty"),
    (PAIRS.repeat(), "finite and not empty"),
    (PAIRS.take(0), "finite and not empty"),
    (PAIRS.filter(lambda x, y: False), "finite and not empty"),
    (PAIRS.map(lambda x, y: (x, y - 2)), "classes from 0.*Received: -2"),
]


@pytest.mark.parametrize("dataset, message", BAD)
def test_refuses_and_leaves_nothing(tmp_path, dataset, message):
    with pytest.raises(ValueError, match=f"`dataset` must .*{message}"):
        write_examples(dataset, tmp_path / "examples")
    assert not list(tmp_path.iterdir())


def test_refuses_a_place_that_is_taken(tmp_path):
    write_examples(PAIRS, tmp_path / "examples")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("examples", "link"):
        with pytest.raises(ValueError, match="`directory` must be a new one"):
            write_examples(PAIRS, tmp_path / name)


def test_a_full_disk_leaves_nothing(tmp_path):
    x = np.zeros((4, 10_000))
    dataset = tf.data.Dataset.from_tensor_slices((x, range(4)))
    with disks.full(100_000), pytest.raises(OSError, match="File too large"):
        write_examples(dataset, tmp_path / "examples")
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_data_leaves_nothing(tmp_path):
    broken = PAIRS.map(
        lambda x, y: (tf.debugging.check_numerics(x / x, "broken"), y)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="broken"):
        write_examples(broken, tmp_path / "examples")
    assert not list(tmp_path.iterdir())


def damaged(folder):
    """Changes a stored folder in one way after the other."""
    manifest = folder / "manifest.json"
    text, content = manifest.read_text(), json.loads(manifest.read_text())
    for key, value in (
        ("cases", COUNT - 1),
        ("cases", "many"),
        ("cases", -1),
        ("format", "other"),
        ("structure", 0),
        ("structure", [9, 9]),
        ("arrays", [["uint9", []]]),
        ("arrays", []),
    ):
        manifest.write_text(json.dumps({**content, key: value}))
        yield f"{key} {value}"
    for broken in ("", "[]", "{", "{}"):
        manifest.write_text(broken)
        yield f"manifest {broken!r}"
    manifest.write_text(text)
    for file in sorted(folder.glob("[0-9]*")):
        whole = file.read_bytes()
        for changed in (whole[:-1], whole + b"\0"):
            file.write_bytes(changed)
            yield f"{file.name} of {len(changed)} bytes"
        file.write_bytes(whole)
    bounds = next(folder.glob("*.bounds"))
    whole = bounds.read_bytes()
    bounds.write_bytes(whole[:8] + b"\xff" * 8 + whole[16:])
    yield "bounds that fall"
    bounds.unlink()
    yield "no bounds"


def test_refuses_what_was_not_written(tmp_path):
    folder = tmp_path / "examples"
    write_examples(stream(*arrays()), folder)
    tried = 0
    for what in damaged(folder):
        with pytest.raises(ValueError, match="`directory` must hold examples"):
            read_examples(folder)
            pytest.fail(f"{what} was read")
        tried += 1
    assert tried == 8 + 4 + 2 * 6 + 2
    with pytest.raises(ValueError, match="`directory` must hold examples"):
        read_examples(tmp_path / "nothing")

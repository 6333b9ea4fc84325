"""kdtf.soft_targets.format: records and manifests, as they lie on disk."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kdtf.soft_targets import format as store_format
from tests import stores


def identity(**changes):
    return store_format.Identity(
        **{
            "teacher": "a",
            "examples": ["float32 [5]"],
            "first_batch": "b",
            "batches": 7,
            "dtype": "float16",
            "top_k": None,
            "temperature": None,
            "views": 1,
            "shards": 3,
            **changes,
        }
    )


def test_shards_divide_the_batches():
    assert [identity().first_batch_of(s) for s in range(4)] == [0, 2, 4, 7]


@pytest.mark.parametrize(
    ("classes", "dtype"),
    ((256, tf.uint8), (257, tf.uint16), (65536, tf.uint16), (65537, tf.int32)),
)
def test_classes_take_the_smallest_integers(classes, dtype):
    fields = store_format.fields(identity(top_k=2), classes, [])
    assert fields["classes"] == (dtype, [2])


def test_records_are_examples_of_raw_little_endian_arrays():
    fields = store_format.fields(identity(), 2, [])
    logits = np.array([[0, -1], [-2, 0], [0, -3]], np.float16)
    checksum = np.array([1, 2, 3], np.int32)
    records = [
        store_format.encode(
            {"checksum": checksum[rows], "logits": logits[rows]}
        )
        for rows in (slice(0, 2), slice(2, 3))
    ]
    features = tf.train.Example.FromString(records[0]).features.feature
    stored = features["logits"].bytes_list.value[0]
    np.testing.assert_array_equal(
        np.frombuffer(stored, "<f2").reshape(-1, 2), logits[:2]
    )
    together = store_format.decode(tf.constant(records), fields)
    np.testing.assert_array_equal(together["logits"], logits)
    np.testing.assert_array_equal(together["checksum"], checksum)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    manifest = store_format.Manifest(
        identity=identity(top_k=3, temperature=0.1),
        classes=10,
        entries=[4],
        examples=22,
        bytes={"a": 1},
    )
    store_format.write_identity(tmp_path, manifest.identity)
    assert store_format.read_identity(tmp_path) == manifest.identity
    store_format.write_manifest(tmp_path, manifest)
    assert store_format.read_manifest(tmp_path) == manifest
    assert list(stores.contents(tmp_path)) == [store_format.MANIFEST]


def test_a_changed_manifest_is_damaged(tmp_path):
    stores.write(tmp_path)
    path = tmp_path / store_format.MANIFEST
    content = json.loads(path.read_text())
    for text in (
        json.dumps({**content, "classes": 5}, indent=2) + "\n",
        json.dumps(content),  # the same content, another text
        "[]",
        "",
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match="which is damaged"):
            store_format.read_manifest(tmp_path)

"""kdtf.soft_targets.format: records, as they lie on disk."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf.soft_targets import format as store_format


def identity(**changes):
    return store_format.Identity(
        **{
            "teacher": "a",
            "examples": ["float32 [5]"],
            "start": "b",
            "batches": 7,
            "dtype": "float16",
            "top_k": None,
            "temperature": None,
            "views": 1,
            "shards": 3,
            "head": "softmax",
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


def test_without_a_known_end_shards_double_in_size():
    starts = [identity(batches=None).first_batch_of(s) for s in range(10)]
    assert starts == [0, 1, 2, 3, 5, 7, 9, 13, 17, 21]


def test_a_tag_tells_identities_apart():
    tags = {
        identity(**change).tag()
        for change in ({}, {"teacher": "c"}, {"views": 2}, {"batches": None})
    }
    assert len(tags) == 4
    assert {len(tag) for tag in tags} == {8}


LOGITS = np.array([[0, -1], [-2, 0], [0, -3]], np.float16)
CHECKSUM = np.array([1, 2, 3], np.int32)
TAG = b"8 bytes."


def encoded(rows, batch, tag=TAG):
    arrays = {"checksum": CHECKSUM[rows], "logits": LOGITS[rows]}
    return store_format.encode(arrays, tag, [0, batch])


def test_records_are_examples_of_raw_little_endian_arrays():
    fields = store_format.fields(identity(), 2, [])
    records = [encoded(slice(0, 2), 0), encoded(slice(2, 3), 1)]
    features = tf.train.Example.FromString(records[0]).features.feature
    stored = features["logits"].bytes_list.value[0]
    np.testing.assert_array_equal(
        np.frombuffer(stored, "<f2").reshape(-1, 2), LOGITS[:2]
    )
    together = store_format.decode(tf.constant(records), fields, TAG)
    np.testing.assert_array_equal(together["logits"], LOGITS)
    np.testing.assert_array_equal(together["checksum"], CHECKSUM)
    assert list(store_format.origins(records)) == [
        (TAG, [0, 0], 2),
        (TAG, [0, 1], 1),
    ]


@pytest.mark.parametrize("shape", ((2, 3, 1), (2, 0, 4)))
def test_a_record_may_have_lengths_of_its_own(shape):
    batch, *lengths = shape
    fields = store_format.fields(identity(top_k=2), 300, [None, None])
    rng = np.random.default_rng(0)
    arrays = {
        "checksum": CHECKSUM[:batch],
        "logits": rng.normal(size=(*shape, 2)).astype(np.float16),
        "classes": rng.integers(0, 300, (*shape, 2)).astype(np.uint16),
        "tail": rng.normal(size=shape).astype(np.float32),
    }
    record = store_format.encode(arrays, TAG, [1, 5, *lengths])
    decoded = store_format.decode_one(tf.constant(record), fields, TAG)
    for name, array in arrays.items():
        np.testing.assert_array_equal(decoded[name], array)
    assert list(store_format.origins([record])) == [(TAG, [1, 5, *lengths], 2)]


def test_records_of_another_store_are_not_decoded():
    fields = store_format.fields(identity(), 2, [])
    own, other = encoded(slice(0, 2), 0), encoded(slice(2, 3), 1, b"others'.")
    without = tf.train.Example().SerializeToString()
    for records in ([own, other], [own, without]):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="another store"
        ):
            store_format.decode(tf.constant(records), fields, TAG)
    with pytest.raises(tf.errors.InvalidArgumentError, match="another store"):
        store_format.decode_one(tf.constant(other), fields, TAG)

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
    ("classes", "dtype", "width"),
    (
        (256, tf.uint8, 1),
        (257, tf.uint16, 2),
        (2**16, tf.uint16, 2),
        (2**16 + 1, tf.int32, 3),
        (2**24, tf.int32, 3),
        (2**24 + 1, tf.int32, 4),
        (2**31, tf.int32, 4),
    ),
)
def test_classes_take_the_bytes_that_they_need(classes, dtype, width):
    fields = store_format.fields(identity(top_k=2), classes, [])
    assert fields["classes"] == (dtype, [2], width)
    # Ids of all magnitudes that there are, up to the last.
    ids = classes - 1 >> np.arange(32).reshape(8, 2, 2) % classes.bit_length()
    arrays = {
        "checksum": np.arange(8, dtype=np.int32),
        "logits": np.zeros((8, 2, 2), np.float16),
        "classes": ids.astype(dtype.as_numpy_dtype),
        "tail": np.zeros((8, 2), np.float32),
    }
    fields = store_format.fields(identity(top_k=2), classes, [2])
    record = store_format.encode(arrays, fields, TAG, [0, 0, 2])
    stored = features_of(record)["classes"]
    assert stored == b"".join(
        int(i).to_bytes(width, "little") for i in ids.flat
    )
    for decoded in (
        store_format.decode(tf.constant([record]), fields, identity()),
        store_format.decode_one(tf.constant(record), fields, identity()),
    ):
        assert decoded["classes"].dtype == dtype
        np.testing.assert_array_equal(decoded["classes"], ids)


def test_without_a_known_end_shards_double_in_size():
    starts = [identity(batches=None).first_batch_of(s) for s in range(10)]
    assert starts == [0, 1, 2, 3, 5, 7, 9, 13, 17, 21]


def test_a_tag_tells_identities_apart():
    tags = {
        identity(**change).tag()
        for change in (
            {},
            {"teacher": "c"},
            {"views": 2},
            {"batches": None},
            {"version": 2},
        )
    }
    assert len(tags) == 5
    assert {len(tag) for tag in tags} == {8}


LOGITS = np.array([[0, -1], [-2, 0], [0, -3]], np.float16)
CHECKSUM = np.array([1, 2, 3], np.int32)
TAG = identity().tag()


def features_of(record):
    features = tf.train.Example.FromString(record).features.feature
    return {name: f.bytes_list.value[0] for name, f in features.items()}


def encoded(rows, batch, tag=TAG):
    arrays = {"checksum": CHECKSUM[rows], "logits": LOGITS[rows]}
    fields = store_format.fields(identity(), 2, [])
    return store_format.encode(arrays, fields, tag, [0, batch])


def test_records_are_examples_of_raw_little_endian_arrays():
    fields = store_format.fields(identity(), 2, [])
    records = [encoded(slice(0, 2), 0), encoded(slice(2, 3), 1)]
    stored = features_of(records[0])["logits"]
    np.testing.assert_array_equal(
        np.frombuffer(stored, "<f2").reshape(-1, 2), LOGITS[:2]
    )
    together = store_format.decode(tf.constant(records), fields, identity())
    np.testing.assert_array_equal(together["logits"], LOGITS)
    np.testing.assert_array_equal(together["checksum"], CHECKSUM)
    records.append(encoded(slice(0, 2), 0, b"others'."))
    assert list(store_format.origins(records, identity())) == [
        ([0, 0], 2),
        ([0, 1], 1),
        (None, 2),
    ]


def test_places_take_64_bits():
    record = encoded(slice(0, 2), 2**40)
    assert features_of(record)["origin"][8:] == np.int64([0, 2**40]).tobytes()
    assert list(store_format.origins([record], identity())) == [([0, 2**40], 2)]


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
    place = [1, 5, *lengths]
    record = store_format.encode(arrays, fields, TAG, place)
    decoded = store_format.decode_one(tf.constant(record), fields, identity())
    for name, array in arrays.items():
        np.testing.assert_array_equal(decoded[name], array)
    assert list(store_format.origins([record], identity())) == [(place, 2)]


def test_records_of_another_store_are_not_decoded():
    fields = store_format.fields(identity(), 2, [])
    own, other = encoded(slice(0, 2), 0), encoded(slice(2, 3), 1, b"others'.")
    without = tf.train.Example().SerializeToString()
    for records in ([own, other], [own, without]):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="another store"
        ):
            store_format.decode(tf.constant(records), fields, identity())
    with pytest.raises(tf.errors.InvalidArgumentError, match="another store"):
        store_format.decode_one(tf.constant(other), fields, identity())

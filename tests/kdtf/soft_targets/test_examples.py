"""kdtf.soft_targets.examples: what tells one data set from another."""

import numpy as np
import pytest
import tensorflow as tf

from kdtf.soft_targets import examples
from kdtf.soft_targets import format as store_format
from tests import nets, stores


def test_inputs_of_every_form_of_element():
    assert examples.inputs((1, 2, 3)) == examples.inputs((1, 2)) == 1
    assert examples.inputs({"a": 1}) == {"a": 1}


def test_signature_and_whether_batched():
    signature = examples.signature(stores.dataset())
    assert signature == ["float32 [5]"]
    assert examples.is_batched(stores.dataset(), signature)
    assert not examples.is_batched(stores.dataset(None), signature)
    with pytest.raises(ValueError, match=r"float32 \[5\].*float64 \[None, 5\]"):
        doubles = stores.dataset().map(lambda x, y: tf.cast(x, tf.float64))
        examples.is_batched(doubles, signature)


@pytest.mark.parametrize("x", (np.arange(6.0), np.array(list("abcabc"))))
def test_an_example_may_be_one_number_or_string(tmp_path, x):
    def teacher(x):
        code = tf.strings.to_hash_bucket_fast(tf.strings.as_string(x), 3)
        return tf.one_hot(code, 3) * 5.0

    store = stores.write(tmp_path, teacher, x, fingerprint="a")
    logits = np.array(teacher(x))
    for data in (x, tf.data.Dataset.from_tensor_slices(x).batch(4)):
        joined = list(store.join(data))
        found = [np.reshape(y["teacher_logits"], (-1, 3)) for _, y in joined]
        np.testing.assert_array_equal(np.concatenate(found), logits - 5.0)
    with pytest.raises(ValueError, match="dense tensors"):
        examples.signature(tf.data.Dataset.from_tensor_slices(x))


def test_ragged_inputs_are_refused():
    ragged = tf.data.Dataset.from_tensors(tf.ragged.constant([[1], [1, 2]]))
    with pytest.raises(ValueError, match="dense tensors"):
        examples.signature(ragged)


def test_a_checksum_belongs_to_one_example():
    x = nets.inputs(22)
    sums = examples.checksums(x).numpy()
    assert len(set(sums)) == 22
    np.testing.assert_array_equal(examples.checksums(x[::-1]), sums[::-1])
    nudged = x.copy()
    nudged[3, 2] = np.nextafter(nudged[3, 2], np.float32(9))
    changed = np.flatnonzero(examples.checksums(nudged).numpy() != sums)
    assert changed.tolist() == [3]


def test_a_checksum_sees_every_part_of_a_structure():
    x = {"a": tf.range(6), "b": tf.range(6)}
    sums = examples.checksums(x).numpy()
    for part in x:
        other = x | {part: tf.constant([0, 1, 2, 9, 4, 5])}
        changed = np.flatnonzero(examples.checksums(other).numpy() != sums)
        assert changed.tolist() == [3]


def test_a_view_seeds_by_position_and_view():
    data = tf.data.Dataset.from_tensor_slices(np.zeros((7, 2), np.int32))
    shown = examples.view(data.batch(3), 5, lambda x, seed: x + seed)
    rows = np.concatenate(list(shown.as_numpy_iterator()))
    np.testing.assert_array_equal(rows, [[i, 5] for i in range(7)])


def test_a_view_of_a_part_seeds_by_the_position_in_the_whole():
    data = tf.data.Dataset.from_tensor_slices(np.zeros((7, 2), np.int32))
    for shown in (
        examples.view(data.batch(3), 5, lambda x, seed: x + seed, skip=1),
        examples.view(
            data.skip(3).batch(3), 5, lambda x, seed: x + seed, first=3
        ),
    ):
        rows = np.concatenate(list(shown.as_numpy_iterator()))
        np.testing.assert_array_equal(rows, [[i, 5] for i in range(3, 7)])


def test_examples_that_are_skipped_are_not_augmented():
    seen = []

    def augment(x, seed):
        tf.py_function(lambda s: seen.append(int(s[0])), [seed], [])
        return x

    shown = examples.view(stores.dataset(4, 12), 0, augment, skip=2)
    assert len(list(shown)) == 1
    assert sorted(seen) == [8, 9, 10, 11]
    assert len(list(examples.view(stores.dataset(4, 12), 0, None, skip=2))) == 1


def test_no_two_positions_and_views_share_a_seed():
    """Also where a position does not fit into 32 bits."""
    starts = [0, 2**31 - 2, 2**31, 2**32 - 2, 2**32, 3 * 2**32, 2**47 - 4]
    found = {
        (start + row, view): tuple(seed)
        for start in starts
        for view in (0, 1, 2, store_format.MAX_VIEWS - 1)
        for row, seed in enumerate(
            examples.seeds(tf.constant(start, tf.int64), 4, view).numpy()
        )
    }
    # Six starts of 4 and two that overlap by 2, and 4 views.
    assert len(set(found.values())) == len(found) == 4 * (7 * 4 - 2 * 2)
    below = {place: seed for place, seed in found.items() if place[0] < 2**31}
    assert all(place == seed for place, seed in below.items())


def test_an_augmentation_may_change_shape_and_dtype():
    shown = examples.view(
        stores.dataset(), 0, lambda x, seed: tf.cast(x[:2], tf.bfloat16)
    )
    assert shown.element_spec[0].shape.as_list() == [None, 2]
    assert shown.element_spec[0].dtype == tf.bfloat16


def test_the_start_is_more_than_a_small_first_batch():
    x = nets.inputs(70)

    def start(rows, batch):
        return examples.start(
            tf.data.Dataset.from_tensor_slices(rows).batch(batch)
        )

    first, digest = start(x, 1)
    np.testing.assert_array_equal(first, x[:1])
    assert digest == start(x, 1)[1] == start(x, 64)[1]
    for row, noticed in ((0, True), (63, True), (64, False)):
        other = x.copy()
        other[row, 2] += 1
        assert (start(other, 1)[1] != digest) == noticed
    assert start(x[:0], 1)[0] is None


def test_none_does_not_keep_examples_from_being_stacked():
    data = stores.dataset().map(lambda x, y: (x, None))
    assert examples.at_once(data, batched=True) == 4096


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    (
        ((4, 5), tf.float32, 4096),
        ((4, 2**16), tf.uint8, 63),
        ((4, None), tf.int8, 1),
    ),
)
def test_how_many_are_handled_at_once(shape, dtype, expected):
    spec = tf.TensorSpec(shape, dtype)
    data = tf.data.Dataset.from_generator(
        lambda: iter(()), output_signature=spec
    )
    assert examples.at_once(data, batched=True) == expected


def test_an_augmentation_without_a_seed():
    data = tf.data.Dataset.from_tensor_slices(tf.zeros((4, 2))).batch(2)
    with pytest.raises(
        ValueError, match=r"`augment` must be a function \(x, s"
    ):
        examples.view(data, 0, lambda x: x)


@pytest.mark.parametrize(
    ("augment", "received"),
    (
        (lambda x, seed: x.numpy(), "AttributeError: .*numpy"),
        (lambda x, seed: np.fliplr(x), "NotImplementedError: .*numpy"),
        (lambda x, seed: None, "which returned None"),
        ("flip", "'flip'"),
    ),
)
def test_an_augmentation_that_tensorflow_cannot_run(augment, received):
    data = tf.data.Dataset.from_tensor_slices(tf.zeros((4, 2, 2))).batch(2)
    with pytest.raises(ValueError, match=rf"`augment` must.*{received}"):
        examples.view(data, 0, augment)

"""Joining soft targets: each example gets what was written for it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import nets, stores

FAILURES = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)


@pytest.mark.parametrize("batch", (None, 1, 3, 4, 22, 50))
def test_batches_may_differ_from_those_that_were_written(tmp_path, batch):
    store = stores.write(tmp_path)
    joined = store.join(stores.dataset(batch))
    if batch is None:
        joined = joined.batch(5)
    x, targets = stores.read(joined)
    np.testing.assert_array_equal(x, nets.inputs(22))
    np.testing.assert_array_equal(targets["labels"], nets.labels(22))
    np.testing.assert_allclose(
        targets["teacher_logits"],
        stores.relative_logits(nets.linear(3)),
        atol=1e-3,
    )


@pytest.mark.parametrize("form", ("x", "(x, y)", "(x, y, w)", "labels"))
def test_every_form_of_data(tmp_path, form):
    x, y = nets.inputs(22), nets.labels(22)
    w = np.arange(22, dtype=np.float32)
    parts = {
        "x": x,
        "(x, y)": (x, y),
        "(x, y, w)": (x, y, w),
        "labels": (x, {"labels": y}),
    }[form]
    data = tf.data.Dataset.from_tensor_slices(parts).batch(4)
    joined = list(stores.write(tmp_path, data=data).join(data))
    keys = {"teacher_logits"} if form == "x" else {"labels", "teacher_logits"}
    assert set(joined[1][1]) == keys
    if form == "(x, y, w)":
        np.testing.assert_array_equal(joined[1][2], [4, 5, 6, 7])


def test_structured_inputs_and_time_frames(tmp_path):
    first = keras.Input((3, 5), name="first")
    second = keras.Input((3, 5), name="second")
    summed = keras.layers.Add()([first, second])
    teacher = keras.Model(
        {"first": first, "second": second}, keras.layers.Dense(4)(summed)
    )
    rng = np.random.default_rng(0)
    x = {
        name: rng.normal(size=(10, 3, 5)).astype(np.float32)
        for name in ("first", "second")
    }
    data = tf.data.Dataset.from_tensor_slices(x).batch(4)
    store = stores.write(tmp_path, teacher, data, dtype="float32")
    stored = stores.read(store.join(data))[1]["teacher_logits"]
    np.testing.assert_allclose(
        stored, stores.relative_logits(teacher, x), rtol=1e-5, atol=1e-6
    )
    swapped = data.map(lambda x: {"first": x["second"], "second": x["first"]})
    with pytest.raises(FAILURES, match="must be the one that was written"):
        stores.read(store.join(swapped))


def test_examples_of_different_shapes_are_joined_one_by_one(tmp_path):
    teacher = keras.Sequential(
        [
            keras.Input((None, 5)),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4),
        ]
    )
    data = tf.data.Dataset.range(1, 7).map(lambda n: tf.ones((n, 5)))
    store = stores.write(tmp_path, teacher, data.batch(1))
    shapes = [x.shape[0] for x, _ in store.join(data)]
    assert shapes == [1, 2, 3, 4, 5, 6]


def augment(x, seed):
    return x + tf.random.stateless_normal(x.shape, seed)


@pytest.mark.parametrize("batch", (4, 7, None))
def test_views_show_the_student_what_the_teacher_saw(tmp_path, batch):
    teacher = nets.linear(3)
    store = stores.write(
        tmp_path, teacher, views=3, augment=augment, dtype="float32"
    )
    joined = store.join(stores.dataset(batch), augment=augment)
    assert len(joined) == 3 * len(stores.dataset(batch))
    x, targets = stores.read(joined if batch else joined.batch(10))
    expected = [
        augment(tf.constant(one), tf.constant([position, view]))
        for view in range(3)
        for position, one in enumerate(nets.inputs(22))
    ]
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(
        targets["labels"], np.tile(nets.labels(22), 3)
    )
    np.testing.assert_allclose(
        targets["teacher_logits"], stores.relative_logits(teacher, x), atol=1e-5
    )


def test_another_augmentation_is_noticed(tmp_path):
    store = stores.write(tmp_path, views=2, augment=augment)
    with pytest.raises(ValueError, match=r"`augment`.*Received"):
        store.join(stores.dataset())
    with pytest.raises(FAILURES, match="padding and `augment`"):
        stores.read(store.join(stores.dataset(), augment=lambda x, seed: x))


def permuted(rows):
    order = np.arange(22)
    order[list(rows)] = order[list(reversed(rows))]
    return tf.data.Dataset.from_tensor_slices(
        (nets.inputs(22)[order], nets.labels(22)[order])
    )


@pytest.mark.parametrize("batch", (None, 4))
@pytest.mark.parametrize("rows", (range(22), (10, 11), (20, 21)))
def test_another_order_is_noticed(tmp_path, batch, rows):
    data = permuted(rows)
    store = stores.write(tmp_path)
    joined = store.join(data if batch is None else data.batch(batch))
    first = next(i for i in rows if i != rows[::-1][i - rows[0]])
    with pytest.raises(
        FAILURES, match=rf"(?s)as example.*\b{first}\b.*of checksum"
    ):
        stores.read(joined if batch else joined.batch(4))


def test_labels_may_be_hidden(tmp_path):
    hidden = stores.dataset().map(lambda x, y: (x, -tf.ones_like(y)))
    _, targets = stores.read(stores.write(tmp_path).join(hidden))
    assert (targets["labels"] == -1).all()


@pytest.mark.parametrize("batch", (None, 4))
@pytest.mark.parametrize("count", (12, 30))
def test_another_length_is_noticed_at_the_call(tmp_path, batch, count):
    store = stores.write(tmp_path)
    with pytest.raises(ValueError, match=r"22 examples.*Received"):
        store.join(stores.dataset(batch, count))
    with pytest.raises(ValueError, match="infinitely many"):
        store.join(stores.dataset(batch).repeat())


@pytest.mark.parametrize("batch", (None, 4))
@pytest.mark.parametrize("count", (10, 20, 21, 23, 30))
def test_another_length_is_noticed_at_the_end(tmp_path, batch, count):
    store = stores.write(tmp_path)
    rng = np.random.default_rng(1)  # as `nets.inputs` draws them
    rows = rng.normal(size=(30, nets.FEATURES)).astype(np.float32)
    assert (rows[:22] == nets.inputs(22)).all()
    data = tf.data.Dataset.from_tensor_slices(rows[:count])
    unknown = data.filter(lambda x: True)
    joined = store.join(unknown if batch is None else unknown.batch(batch))
    with pytest.raises(FAILURES, match=r"elements|batches of one size"):
        stores.read(joined if batch else joined.batch(4))


def test_data_of_another_shape_are_refused(tmp_path):
    store = stores.write(tmp_path)
    for other in (np.zeros((22, 6), np.float32), np.zeros((22, 5))):
        data = tf.data.Dataset.from_tensor_slices(other).batch(4)
        with pytest.raises(ValueError, match=r"`dataset`.*Received"):
            store.join(data)


def test_uneven_batches_get_the_size_of_the_first(tmp_path):
    store = stores.write(tmp_path)
    data = stores.dataset(None)
    uneven = data.take(6).batch(4).concatenate(data.skip(6).batch(4))
    assert len(uneven) == 6
    joined = store.join(uneven)
    assert [len(x) for x, _ in joined] == [4, 4, 4, 4, 4, 2]
    x, targets = stores.read(joined)
    np.testing.assert_array_equal(x, nets.inputs(22))
    np.testing.assert_allclose(
        targets["teacher_logits"],
        stores.relative_logits(nets.linear(3)),
        atol=1e-3,
    )


def test_replicas_keep_labels_and_targets_together(tmp_path, mirrored_strategy):
    joined = stores.write(tmp_path, dtype="float32").join(stores.dataset())
    policy = joined.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
    teacher = stores.relative_logits(nets.linear(3))
    rows = {tuple(x): v for x, v in zip(nets.inputs(22), teacher, strict=True)}
    seen = 0
    for x, y in mirrored_strategy.experimental_distribute_dataset(joined):
        locals_ = map(
            mirrored_strategy.experimental_local_results,
            (x, y["teacher_logits"]),
        )
        for xs, vs in zip(*locals_, strict=True):
            for one, v in zip(xs.numpy(), vs.numpy(), strict=True):
                np.testing.assert_allclose(v, rows[tuple(one)], atol=1e-5)
                seen += 1
    assert seen == 22

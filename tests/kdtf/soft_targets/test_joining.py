"""Joining soft targets: each example gets what was written for it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import heads
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
    keys = {"teacher_logits", "teacher_head=softmax"}
    keys |= set() if form == "x" else {"labels"}
    assert set(joined[1][1]) == keys
    if form == "(x, y, w)":
        np.testing.assert_array_equal(joined[1][2], [4, 5, 6, 7])


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("batch", (4, 7, None))
def test_views_show_the_student_what_the_teacher_saw(tmp_path, batch):
    teacher = nets.linear(3)
    store = stores.write(
        tmp_path, teacher, views=3, augment=stores.augment, dtype="float32"
    )
    joined = store.join(stores.dataset(batch), augment=stores.augment)
    assert len(joined) == 3 * len(stores.dataset(batch))
    x, targets = stores.read(joined if batch else joined.batch(10))
    expected = [
        stores.augment(tf.constant(one), tf.constant([position, view]))
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


@pytest.mark.slow
def test_another_augmentation_is_noticed(tmp_path):
    store = stores.write(tmp_path, views=2, augment=stores.augment)
    with pytest.raises(ValueError, match=r"`augment`.*Received"):
        store.join(stores.dataset())
    with pytest.raises(FAILURES, match="padding and `augment`"):
        stores.read(store.join(stores.dataset(), augment=lambda x, seed: x))


@pytest.mark.parametrize("batch", (None, 4))
@pytest.mark.parametrize("count", (12, 30))
def test_another_length_is_noticed_at_the_call(tmp_path, batch, count):
    store = stores.write(tmp_path)
    with pytest.raises(ValueError, match=r"22 examples.*Received"):
        store.join(stores.dataset(batch, count))
    with pytest.raises(ValueError, match="infinitely many"):
        store.join(stores.dataset(batch).repeat())


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


@pytest.mark.slow
@pytest.mark.parametrize("known", (False, True))
def test_time_axes_that_differ_from_batch_to_batch(tmp_path, known):
    teacher, padded = stores.frame_net(), stores.clips().padded_batch(2)
    if known:
        padded = padded.apply(tf.data.experimental.assert_cardinality(5))
    store = stores.write(tmp_path, teacher, padded, dtype="float32")
    joined = store.join(padded)
    assert joined.element_spec[1]["teacher_logits"].shape.as_list() == [
        None,
        None,
        nets.CLASSES,
    ]
    shapes, rows = [], 0
    for x, y in joined:
        expected = stores.relative_logits(teacher, x)
        np.testing.assert_allclose(y["teacher_logits"], expected, atol=1e-5)
        shapes.append(tuple(x.shape[:2]))
        rows += len(x)
    assert shapes == [(2, 3), (2, 4), (2, 9), (2, 6), (1, 5)]
    assert rows == len(store) == len(stores.LENGTHS)
    assert len(joined) == 5


@pytest.mark.slow
def test_a_student_learns_from_them(tmp_path):
    padded = stores.clips().padded_batch(2)
    store = stores.write(tmp_path, stores.frame_net(), padded)
    distiller = kdtf.Distiller(stores.frame_net(4), temperature=2.0)
    distiller.compile("sgd")
    joined = store.join(padded).shuffle(5)
    losses = distiller.fit(joined, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


@pytest.mark.slow
def test_time_axes_with_top_k_and_views(tmp_path):
    def augment(x, seed):
        return x * (1 + tf.cast(seed[1], x.dtype))

    teacher, padded = stores.frame_net(), stores.clips().padded_batch(2)
    options = {"top_k": 2, "temperature": 2.0, "views": 2, "augment": augment}
    store = stores.write(tmp_path, teacher, padded, dtype="float32", **options)
    batches = list(store.join(padded, augment=augment))
    originals = [x for x, _ in padded] + [2 * x for x, _ in padded]
    assert len(batches) == len(originals) == 10
    for (x, y), original in zip(batches, originals, strict=True):
        np.testing.assert_array_equal(x, original)
        logits = stores.relative_logits(teacher, x)
        order = np.argsort(-logits, axis=-1)[..., :2]
        np.testing.assert_array_equal(y["teacher_top_classes"], order)
        np.testing.assert_allclose(
            y["teacher_top_logits"],
            np.take_along_axis(logits, order, -1),
            atol=1e-5,
        )
        assert y["teacher_tail"].shape == x.shape[:2]


@pytest.mark.slow
def test_several_axes_that_differ(tmp_path):
    sizes = ((2, 3), (4, 3), (2, 5))
    images = tf.data.Dataset.from_generator(
        lambda: (np.full((*size, 5), i + 1.0) for i, size in enumerate(sizes)),
        output_signature=tf.TensorSpec([None, None, 5]),
    )
    teacher = keras.Sequential(
        [keras.Input((None, None, 5)), keras.layers.Dense(4)]
    )
    store = stores.write(tmp_path, teacher, images.batch(1), dtype="float32")
    # Of batches of one example, nothing is padded: single ones will do.
    for data, axes in ((images.batch(1), 1), (images, 0)):
        joined = list(store.join(data))
        assert [tuple(x.shape[axes:-1]) for x, _ in joined] == list(sizes)
        for x, y in joined:
            x = x if axes else x[None]
            np.testing.assert_allclose(
                np.reshape(y["teacher_logits"], [*x.shape[:-1], 4]),
                stores.relative_logits(teacher, x),
                atol=1e-5,
            )


def pad_more(x, y):
    return tf.pad(x, [[0, 0], [0, 1], [0, 0]]), y


@pytest.mark.slow
def test_time_axes_cannot_be_put_into_other_batches(tmp_path):
    store = stores.write(
        tmp_path, stores.frame_net(), stores.clips().padded_batch(2)
    )
    with pytest.raises(ValueError, match=r"5 batches.*Received: single exam"):
        store.join(stores.clips())
    known = tf.data.experimental.assert_cardinality(3)
    with pytest.raises(ValueError, match=r"5 batches.*Received: 3 batches"):
        store.join(stores.clips().padded_batch(3).apply(known))
    with pytest.raises(FAILURES, match=r"a batch of 3 where.*are 2"):
        list(store.join(stores.clips().padded_batch(3)))
    with pytest.raises(FAILURES, match="with the same padding"):
        list(store.join(stores.clips().padded_batch(2).map(pad_more)))
    other = stores.clips((3, 1, 4, 1, 9, 5, 2, 6, 5)).padded_batch(2)
    with pytest.raises(FAILURES, match="as example 4 one of checksum"):
        list(store.join(other))


@pytest.mark.slow
def test_time_axes_of_one_length_are_batched_at_will(tmp_path):
    data = stores.clips((3,) * 7)
    store = stores.write(tmp_path, stores.frame_net(), data.padded_batch(2))
    shapes = [x.shape[0] for x, _ in store.join(data.batch(3))]
    assert shapes == [3, 3, 1]
    assert len(list(store.join(data))) == 7


@pytest.mark.parametrize("kind", ("x", "(x, y)", "(x, y, w)", "list", "frame"))
def test_arrays_are_joined_one_by_one(tmp_path, kind):
    x, y = nets.inputs(22), nets.labels(22)
    teacher = nets.linear(3)
    data = {
        "x": x,
        "(x, y)": (x, y),
        "(x, y, w)": (x, None, np.arange(22)),
        "list": [x, x + 1],
        "frame": (tf.constant(x), memoryview_like(y)),
    }[kind]
    if kind == "list":
        inputs = [keras.Input((5,)), keras.Input((5,))]
        added = keras.layers.Add()(inputs)
        teacher = keras.Model(inputs, keras.layers.Dense(4)(added))
    store = stores.write(tmp_path, teacher, data, batch_size=5, dtype="float32")
    assert store._manifest.batches == 5
    joined = store.join(data)
    assert len(joined) == 22
    for row, (one, targets, *rest) in enumerate(joined):
        parts = one if kind == "list" else (one,)
        np.testing.assert_array_equal(parts[0], x[row])
        rows = [part[None] for part in parts]
        expected = stores.relative_logits(
            teacher, rows if kind == "list" else rows[0]
        )
        np.testing.assert_allclose(
            targets["teacher_logits"], expected[0], atol=1e-5
        )
        assert ("labels" in targets) == (kind in ("(x, y)", "frame"))
        assert [int(w) for w in rest] == ([row] if "w" in kind else [])


def memoryview_like(array):
    """Something that is no array, and can become one, like a data frame."""

    class Column:
        shape = array.shape

        def __array__(self, dtype=None, copy=None):
            return array

    return Column()


class Batches(keras.utils.PyDataset):
    """`(x, y)` in four batches, which pad to lengths of their own."""

    def __init__(self, form="(x, y)"):
        super().__init__()
        self.form = form

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = np.full((3, index + 2, nets.FEATURES), index + 1.0, np.float32)
        return {
            "x": x,
            "(x,)": (x,),
            "(x, None)": (x, None),
            "(x, y)": (x, np.full(3, index)),
            "(x, None, w)": (x, None, np.ones(3)),
        }[self.form]


@pytest.mark.parametrize(
    "form", ("x", "(x,)", "(x, None)", "(x, y)", "(x, None, w)")
)
def test_a_py_dataset_is_joined_batch_by_batch(tmp_path, form):
    data = Batches(form)
    store = stores.write(tmp_path, stores.frame_net(), data)
    joined = list(store.join(data))
    assert [e[0].shape[1] for e in joined] == [2, 3, 4, 5]
    assert [float(e[0][0, 0, 0]) for e in joined] == [1, 2, 3, 4]
    assert len(joined[0]) == (3 if form == "(x, None, w)" else 2)
    if form == "(x, y)":
        assert [int(y["labels"][0]) for _, y in joined] == [0, 1, 2, 3]


@pytest.mark.parametrize("batch", (None, 4))
def test_elements_that_hold_none(tmp_path, batch):
    data = stores.dataset(batch).map(lambda x, y: (x, None))
    written = stores.dataset().map(lambda x, y: (x, None))
    store = stores.write(tmp_path, data=written, dtype="float32")
    joined = store.join(data)
    _, found = stores.read(joined if batch else joined.batch(5))
    assert set(found) == {"teacher_logits", "teacher_head=softmax"}
    np.testing.assert_allclose(
        found["teacher_logits"],
        stores.relative_logits(nets.linear(3)),
        atol=1e-5,
    )


def test_a_length_that_only_the_store_knows():
    """All batches were 5 frames long, which the data set does not tell."""
    theirs, ours = tf.TensorSpec((None, 5, 3)), tf.TensorSpec((None, None, 3))

    @tf.function(input_signature=[theirs, ours])
    def agreement(theirs, ours):
        same = heads.of("softmax").agreement(theirs, ours)
        assert same.shape.rank == 2
        return same

    ones = tf.ones((2, 5, 3))
    assert agreement(ones, ones).numpy().all()

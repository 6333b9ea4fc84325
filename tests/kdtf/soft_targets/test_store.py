"""kdtf.SoftTargets: what is read is what the teacher said of that example."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import targets
from kdtf.soft_targets import format as store_format
from tests import nets, stores

FAILURES = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)


def relative_logits(teacher, x=None):
    """A teacher's logits less the largest of each row, in float64."""
    logits = np.float64(teacher(nets.inputs(22) if x is None else x))
    return logits - logits.max(-1, keepdims=True)


def read(joined):
    """All batches of a joined data set in one: x, targets."""
    batches = [(element[0], element[1]) for element in joined]
    return tf.nest.map_structure(lambda *t: np.concatenate(t), *batches)


@pytest.mark.parametrize(
    ("dtype", "digits"), (("float32", 24), ("float16", 11), ("bfloat16", 8))
)
def test_logits_are_kept_to_the_digits_of_their_dtype(tmp_path, dtype, digits):
    teacher = nets.linear(3)
    store = stores.write(tmp_path, teacher, dtype=dtype)
    stored = read(store.join(stores.dataset()))[1]["teacher_logits"]
    assert stored.dtype == np.float32
    expected = relative_logits(teacher)
    np.testing.assert_allclose(stored, expected, rtol=2.0**-digits, atol=1e-6)


def test_large_logits_keep_their_differences_in_half_precision(tmp_path):
    teacher = nets.linear(3, bias_initializer=keras.initializers.Constant(1e4))
    stored = read(stores.write(tmp_path, teacher).join(stores.dataset()))[1]
    np.testing.assert_allclose(
        stored["teacher_logits"], relative_logits(teacher), atol=2e-3
    )


@pytest.mark.parametrize("batch", (None, 1, 3, 4, 22, 50))
def test_batches_may_differ_from_those_that_were_written(tmp_path, batch):
    store = stores.write(tmp_path)
    joined = store.join(stores.dataset(batch))
    if batch is None:
        joined = joined.batch(5)
    x, targets = read(joined)
    np.testing.assert_array_equal(x, nets.inputs(22))
    np.testing.assert_array_equal(targets["labels"], nets.labels(22))
    np.testing.assert_allclose(
        targets["teacher_logits"], relative_logits(nets.linear(3)), atol=1e-3
    )


def test_its_sizes(tmp_path):
    store = stores.write(tmp_path)
    on_disk = sum(p.stat().st_size for p in tmp_path.glob("*.tfrecord"))
    assert len(store) == 22
    assert store.nbytes == on_disk
    assert store.bytes_per_example == on_disk / 22
    assert len(store.join(stores.dataset())) == 6
    assert len(store.join(stores.dataset(None))) == 22


def test_a_big_batch_costs_little_beside_its_numbers(tmp_path):
    store = stores.write(tmp_path, data=stores.dataset(500, 2000))
    # 4 logits of 2 bytes and a checksum of 4.
    assert 12 <= store.bytes_per_example < 12.5


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
    stored = read(store.join(data))[1]["teacher_logits"]
    np.testing.assert_allclose(
        stored, relative_logits(teacher, x), rtol=1e-5, atol=1e-6
    )
    swapped = data.map(lambda x: {"first": x["second"], "second": x["first"]})
    with pytest.raises(FAILURES, match="must be the one that was written"):
        read(store.join(swapped))


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


@pytest.mark.parametrize("combine", ("arithmetic", "geometric"))
def test_an_ensembles_soft_targets(tmp_path, combine):
    ensemble = kdtf.Ensemble([nets.linear(3), nets.linear(4)], combine=combine)
    store = stores.write(tmp_path, ensemble, temperature=4.0, dtype="float32")
    stored = read(store.join(stores.dataset(), temperature=4.0))[1]
    expected = np.float64(ensemble.tempered_logits(nets.inputs(22), 4.0))
    np.testing.assert_allclose(
        stored["teacher_logits"],
        expected - expected.max(-1, keepdims=True),
        rtol=1e-5,
        atol=1e-5,
    )
    if combine == "geometric":  # holds for any temperature
        store.join(stores.dataset(), temperature=2.0)
        return
    for other in (2.0, None):
        with pytest.raises(ValueError, match=f"4.0.*Received.*{other}"):
            store.join(stores.dataset(), temperature=other)


def test_top_k_joins_what_top_logits_keeps(tmp_path):
    store = stores.write(tmp_path, top_k=2, temperature=3.0, dtype="float32")
    stored = read(store.join(stores.dataset(), temperature=3.0))[1]
    told = targets.temperature_key(3.0)
    assert set(stored) == {"labels", told, *targets.TOP_KEYS}
    logits = relative_logits(nets.linear(3))
    order = np.argsort(-logits, axis=-1)
    np.testing.assert_array_equal(stored["teacher_top_classes"], order[:, :2])
    np.testing.assert_allclose(
        stored["teacher_top_logits"],
        np.take_along_axis(logits, order[:, :2], -1),
        rtol=1e-5,
        atol=1e-6,
    )
    shares = np.exp(logits / 3) / np.exp(logits / 3).sum(-1, keepdims=True)
    rest = np.take_along_axis(shares, order[:, 2:], -1).sum(-1)
    np.testing.assert_allclose(
        stored["teacher_tail"], np.log(rest), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match=r"3.0.*Received.*5.0"):
        store.join(stores.dataset(), temperature=5.0)


def trained(student_seed, data, teacher=None, **options):
    distiller = kdtf.Distiller(
        nets.deep(student_seed), teacher, temperature=3.0, hard_weight=0.4
    )
    options = {"optimizer": keras.optimizers.Adam(0.01), **options}
    distiller.compile(**options)
    distiller.fit(data, epochs=3, shuffle=False, verbose=0)
    return nets.values(distiller.student)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", (False, True))
def test_stored_and_live_teacher_train_the_same_student(tmp_path, jit_compile):
    teacher = nets.deep(7)
    store = stores.write(tmp_path, teacher, dtype="float32")
    options = {"jit_compile": jit_compile, "steps_per_execution": 2}
    live = trained(0, stores.dataset(), teacher, **options)
    stored = trained(0, store.join(stores.dataset()), **options)
    for a, b in zip(live, stored, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    untrained = nets.values(nets.deep(0))
    assert not np.allclose(live[0], untrained[0], atol=1e-2)


@pytest.mark.slow
def test_top_k_trains_as_the_dense_row_does(tmp_path):
    store = stores.write(tmp_path, top_k=2, temperature=3.0, dtype="float32")
    joined = store.join(stores.dataset(), temperature=3.0)

    def dense(x, y):
        top = kdtf.TopLogits(*(y[key] for key in targets.TOP_KEYS))
        return x, {
            "labels": y["labels"],
            "teacher_logits": top.dense(nets.CLASSES, 3.0),
        }

    # Not Adam, which makes much of gradients that are 0 but for rounding.
    sgd = {"optimizer": "sgd"}
    for a, b in zip(
        trained(0, joined, **sgd),
        trained(0, joined.map(dense), **sgd),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_distiller_measures_agreement_and_fidelity_on_top_k(tmp_path):
    store = stores.write(tmp_path, top_k=2, temperature=1.0, dtype="float32")
    student = nets.linear(5)
    distiller = kdtf.Distiller(student, temperature=1.0)
    distiller.compile("sgd", metrics=[kdtf.metrics.FidelityKL()])
    joined = store.join(stores.dataset(), temperature=1.0)
    results = distiller.evaluate(joined, return_dict=True, verbose=0)
    choices = [
        np.argmax(net(nets.inputs(22)), -1) for net in (student, nets.linear(3))
    ]
    assert results["agreement"] == pytest.approx(
        np.mean(choices[0] == choices[1])
    )
    # At T = 1 the fidelity of the rows that are stored is the soft loss.
    assert results["fidelity_kl"] == pytest.approx(
        results["soft_loss"], rel=1e-5
    )


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
    x, targets = read(joined if batch else joined.batch(10))
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
        targets["teacher_logits"], relative_logits(teacher, x), atol=1e-5
    )


def test_another_augmentation_is_noticed(tmp_path):
    store = stores.write(tmp_path, views=2, augment=augment)
    with pytest.raises(ValueError, match=r"`augment`.*Received"):
        store.join(stores.dataset())
    with pytest.raises(FAILURES, match="same `augment`"):
        read(store.join(stores.dataset(), augment=lambda x, seed: x))


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
        read(joined if batch else joined.batch(4))


def test_labels_may_be_hidden(tmp_path):
    hidden = stores.dataset().map(lambda x, y: (x, -tf.ones_like(y)))
    _, targets = read(stores.write(tmp_path).join(hidden))
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
        read(joined if batch else joined.batch(4))


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
    x, targets = read(joined)
    np.testing.assert_array_equal(x, nets.inputs(22))
    np.testing.assert_allclose(
        targets["teacher_logits"], relative_logits(nets.linear(3)), atol=1e-3
    )


def test_replicas_keep_labels_and_targets_together(tmp_path, mirrored_strategy):
    joined = stores.write(tmp_path, dtype="float32").join(stores.dataset())
    policy = joined.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
    teacher = relative_logits(nets.linear(3))
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


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x55
    path.write_bytes(content)


def positions_of_all_bytes(directory):
    return [
        (path, position)
        for path in sorted(directory.iterdir())
        for position in range(path.stat().st_size)
    ]


def assert_noticed(directory, path, position):
    before = path.read_bytes()
    flip(path, position)
    with pytest.raises((ValueError, tf.errors.OpError)):
        read(kdtf.SoftTargets(directory).join(stores.dataset(4, 5)))
    with pytest.raises(ValueError, match=r"damaged|Received"):
        kdtf.SoftTargets(directory).verify()
    path.write_bytes(before)


def test_flipped_bytes_are_noticed(tmp_path):
    stores.write(tmp_path, data=stores.dataset(4, 5), shards=2).verify()
    for path, position in positions_of_all_bytes(tmp_path)[::41]:
        assert_noticed(tmp_path, path, position)


@pytest.mark.slow
def test_every_flipped_byte_is_noticed(tmp_path):
    stores.write(tmp_path, data=stores.dataset(4, 5), shards=2)
    for path, position in positions_of_all_bytes(tmp_path):
        assert_noticed(tmp_path, path, position)


def test_shards_that_changed_places_are_noticed(tmp_path):
    store = stores.write(tmp_path, data=stores.dataset(4, 24), shards=3)
    first, second = sorted(tmp_path.glob("*.tfrecord"))[:2]
    third = tmp_path / "third"
    os.rename(first, third)
    os.rename(second, first)
    os.rename(third, second)
    with pytest.raises(FAILURES, match="of checksum"):
        read(store.join(stores.dataset(4, 24)))


def test_a_file_that_was_cut_off_is_noticed_when_opened(tmp_path):
    stores.write(tmp_path)
    path = max(tmp_path.glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=path.name):
        kdtf.SoftTargets(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=path.name):
        kdtf.SoftTargets(tmp_path)


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    stores.write(tmp_path)
    manifest = tmp_path / store_format.MANIFEST
    content = json.loads(manifest.read_text())
    content["version"] = store_format.VERSION + 1
    manifest.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="newer kdtf"):
        kdtf.SoftTargets(tmp_path)
    with pytest.raises(ValueError, match="newer kdtf"):
        stores.write(tmp_path)


def test_what_is_no_store_is_not_opened(tmp_path):
    with pytest.raises(ValueError, match="no manifest"):
        kdtf.SoftTargets(tmp_path)
    stores.write(tmp_path)
    (tmp_path / store_format.MANIFEST).rename(
        tmp_path / store_format.UNFINISHED
    )
    with pytest.raises(ValueError, match="resumes where it stopped"):
        kdtf.SoftTargets(tmp_path)

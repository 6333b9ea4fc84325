"""kdtf.SoftTargets: what is read is what the teacher said of that example."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._training import targets
from kdtf.soft_targets import format as store_format
from kdtf.soft_targets import store as store_module
from tests import nets, stores

FAILURES = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)


@pytest.mark.parametrize(
    ("dtype", "digits"), (("float32", 24), ("float16", 11), ("bfloat16", 8))
)
def test_logits_are_kept_to_the_digits_of_their_dtype(tmp_path, dtype, digits):
    teacher = nets.linear(3)
    store = stores.write(tmp_path, teacher, dtype=dtype)
    stored = stores.read(store.join(stores.dataset()))[1]["teacher_logits"]
    assert stored.dtype == np.float32
    expected = stores.relative_logits(teacher)
    np.testing.assert_allclose(stored, expected, rtol=2.0**-digits, atol=1e-6)


def test_large_logits_keep_their_differences_in_half_precision(tmp_path):
    teacher = nets.linear(3, bias_initializer=keras.initializers.Constant(1e4))
    stored = stores.read(
        stores.write(tmp_path, teacher).join(stores.dataset())
    )[1]
    np.testing.assert_allclose(
        stored["teacher_logits"], stores.relative_logits(teacher), atol=2e-3
    )


def test_a_store_is_where_it_was_opened(tmp_path, monkeypatch):
    written = stores.write(tmp_path / "store")
    expected = stores.read(written.join(stores.dataset()))[1]["teacher_logits"]
    monkeypatch.chdir(tmp_path)
    store = kdtf.SoftTargets("store")
    monkeypatch.chdir("/")
    found = stores.read(store.join(stores.dataset()))[1]["teacher_logits"]
    np.testing.assert_array_equal(found, expected)


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


@pytest.mark.parametrize("combine", ("arithmetic", "geometric"))
def test_an_ensembles_soft_targets(tmp_path, combine):
    ensemble = kdtf.Ensemble([nets.linear(3), nets.linear(4)], combine=combine)
    store = stores.write(tmp_path, ensemble, temperature=4.0, dtype="float32")
    stored = stores.read(store.join(stores.dataset()))[1]
    expected = np.float64(ensemble.tempered_logits(nets.inputs(22), 4.0))
    np.testing.assert_allclose(
        stored["teacher_logits"],
        expected - expected.max(-1, keepdims=True),
        rtol=1e-5,
        atol=1e-5,
    )
    # The geometric mean's hold for any temperature.
    told = {"arithmetic": 4.0, "geometric": None}[combine]
    assert targets.temperature_of(stored) == told


def test_top_k_joins_what_top_logits_keeps(tmp_path):
    store = stores.write(tmp_path, top_k=2, temperature=3.0, dtype="float32")
    stored = stores.read(store.join(stores.dataset()))[1]
    told = {targets.temperature_key(3.0), targets.head_key("softmax")}
    assert set(stored) == {"labels", *told, *targets.TOP_KEYS}
    logits = stores.relative_logits(nets.linear(3))
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
    joined = store.join(stores.dataset())

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
    joined = store.join(stores.dataset())
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


def assert_noticed(directory, path, position, *, reading=True):
    before = path.read_bytes()
    flip(path, position)
    if reading:
        with pytest.raises((ValueError, tf.errors.OpError)):
            stores.read(kdtf.SoftTargets(directory).join(stores.dataset(4, 5)))
    with pytest.raises(ValueError, match=r"damaged|Received"):
        kdtf.SoftTargets(directory).verify()
    path.write_bytes(before)


@pytest.mark.slow
def test_flipped_bytes_are_noticed(tmp_path):
    stores.write(tmp_path, data=stores.dataset(4, 5), shards=2).verify()
    for path, position in positions_of_all_bytes(tmp_path)[::41]:
        assert_noticed(tmp_path, path, position)


@pytest.mark.slow
def test_every_flipped_byte_is_noticed(tmp_path):
    stores.write(tmp_path, data=stores.dataset(4, 5), shards=2)
    positions = positions_of_all_bytes(tmp_path)
    for i, (path, position) in enumerate(positions):
        # To read them takes ten times as long as to verify them.
        assert_noticed(tmp_path, path, position, reading=i % 5 == 0)


def test_shards_that_changed_places_are_noticed(tmp_path):
    store = stores.write(tmp_path, data=stores.dataset(4, 24), shards=3)
    first, second = sorted(tmp_path.glob("*.tfrecord"))[:2]
    third = tmp_path / "third"
    os.rename(first, third)
    os.rename(second, first)
    os.rename(third, second)
    with pytest.raises(FAILURES, match="of checksum"):
        stores.read(store.join(stores.dataset(4, 24)))
    with pytest.raises(ValueError, match=rf"{first.name}.*elsewhere"):
        store.verify()


def test_a_file_that_was_cut_off_is_noticed_when_opened(tmp_path):
    stores.write(tmp_path)
    path = max(tmp_path.glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=path.name):
        kdtf.SoftTargets(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=path.name):
        kdtf.SoftTargets(tmp_path)


def test_a_shard_of_another_store_is_noticed(tmp_path):
    """Of another teacher on the same data: all checksums are right."""
    store = stores.write(tmp_path / "a")
    stores.write(tmp_path / "b", nets.linear(4))
    shards = [sorted((tmp_path / name).glob("*.tfrecord"))[1] for name in "ab"]
    shards[0].write_bytes(shards[1].read_bytes())
    with pytest.raises(ValueError, match=shards[0].name):
        store.verify()
    joined = kdtf.SoftTargets(tmp_path / "a").join(stores.dataset())
    with pytest.raises(FAILURES, match="a shard of another store"):
        stores.read(joined)


@pytest.mark.slow
def test_a_shard_of_other_classes_is_noticed(tmp_path):
    data = stores.dataset(3, 9)
    store = stores.write(tmp_path / "a", data=data)
    stores.write(
        tmp_path / "b",
        lambda x: np.zeros((len(x), 3), np.float32),
        data,
        fingerprint="three classes",
    )
    shards = [sorted((tmp_path / name).glob("*.tfrecord"))[1] for name in "ab"]
    shards[0].write_bytes(shards[1].read_bytes())
    for _ in range(20):  # whichever operation runs first
        with pytest.raises(FAILURES, match="a shard of another store"):
            stores.read(store.join(data))


def test_what_is_no_store_is_not_opened(tmp_path):
    with pytest.raises(ValueError, match="no manifest"):
        kdtf.SoftTargets(tmp_path)
    stores.write(tmp_path)
    (tmp_path / store_format.MANIFEST).rename(
        tmp_path / store_format.UNFINISHED
    )
    with pytest.raises(ValueError, match="resumes where it stopped"):
        kdtf.SoftTargets(tmp_path)


def test_arrays_are_loaded_as_they_are_joined(monkeypatch, tmp_path):
    monkeypatch.setattr(store_module, "_ROWS_AT_ONCE", 4)  # more than once
    x, y, weights = nets.inputs(10), nets.labels(10), np.arange(10.0)
    teacher = nets.linear(7)
    store = kdtf.SoftTargets.write(
        tmp_path, teacher, (x, y, weights), dtype="float32", verbose=0
    )
    found, targets, found_weights = store.load((x, y, weights))
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(found_weights, weights)
    np.testing.assert_array_equal(targets["labels"], y)
    logits = np.asarray(teacher(x), np.float64)
    np.testing.assert_allclose(
        targets["teacher_logits"],
        logits - logits.max(-1, keepdims=True),
        atol=1e-6,
    )
    distiller = kdtf.Distiller(nets.linear(), temperature=2.0)
    distiller.compile("sgd", jit_compile=False)
    distiller.fit(found, targets, sample_weight=found_weights, verbose=0)
    with pytest.raises(ValueError, match="`dataset` must be the one"):
        store.load((x[::-1], y, weights))
    with pytest.raises(ValueError, match="`arrays` must be x, "):
        store.load(tf.data.Dataset.from_tensor_slices(x))


def test_views_are_loaded_one_after_another(tmp_path):
    def shifted(x, seed):
        return x + tf.cast(seed[0] % 7, x.dtype)

    x = nets.inputs(6)
    store = kdtf.SoftTargets.write(
        tmp_path, nets.linear(7), x, views=2, augment=shifted, verbose=0
    )
    found, targets = store.load(x, augment=shifted)
    assert len(found) == len(targets["teacher_logits"]) == 12
    joined = store.join(x, augment=shifted)
    expected = [np.asarray(shown) for shown, _ in joined]
    np.testing.assert_array_equal(found, expected)

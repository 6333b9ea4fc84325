"""Joining by several workers: each reads its own shards, and no others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import nets, processes, store_reader, stores

FAILURES = (tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)
OFF = tf.data.experimental.AutoShardPolicy.OFF


def rows(joined):
    """Dict of lists, example by example, whether batched or not."""
    flat = joined
    if joined.element_spec[0].shape.rank > 1:
        flat = joined.unbatch()
    x, targets = stores.read(flat.batch(64))
    return {"x": x, **targets}


def joined_by_workers(store, data, count, **options):
    return [
        store.join(data, shard_index=i, shard_count=count, **options)
        for i in range(count)
    ]


@pytest.mark.parametrize("count", (1, 2, 3))
@pytest.mark.parametrize("form", ("function", None, 3, 4, "arrays"))
def test_workers_together_read_every_example_once(tmp_path, form, count):
    store = stores.write(tmp_path, dtype="float32")
    arrays = (nets.inputs(22), nets.labels(22))
    forms = {"function": stores.of_range, "arrays": arrays}
    data = forms[form] if form in forms else stores.dataset(form)
    parts = joined_by_workers(store, data, count)
    found = [rows(part) for part in parts]
    together = {
        name: np.concatenate([part[name] for part in found])
        for name in found[0]
    }
    np.testing.assert_array_equal(together["x"], nets.inputs(22))
    np.testing.assert_array_equal(together["labels"], nets.labels(22))
    np.testing.assert_allclose(
        together["teacher_logits"],
        stores.relative_logits(nets.linear(3)),
        atol=1e-5,
    )
    # Three shards of 8, 8 and 6 examples.
    sizes = {1: [22], 2: [16, 6], 3: [8, 8, 6]}[count]
    assert [len(part["x"]) for part in found] == sizes
    # `fit` would end a worker's epoch after the length that its part tells.
    size = form if type(form) is int else 1
    told = tf.data.UNKNOWN_CARDINALITY if count > 1 else -(-22 // size)
    assert {int(part.cardinality()) for part in parts} == {told}


def test_a_function_gives_what_its_data_set_does(tmp_path):
    store = stores.write(tmp_path)
    by_function, by_data_set = (
        list(store.join(data))
        for data in (stores.of_range, stores.dataset(None))
    )
    assert len(by_function) == 22
    for a, b in zip(by_function, by_data_set, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
@pytest.mark.parametrize("data", (stores.of_range, stores.dataset(7)))
def test_views(tmp_path, data):
    """Positions, of which `augment` makes its seed, are those of all data."""
    store = stores.write(
        tmp_path, views=2, augment=stores.augment, dtype="float32"
    )
    parts = joined_by_workers(store, data, 2, augment=stores.augment)
    for part, first, last in zip(parts, (0, 16), (16, 22), strict=True):
        found = rows(part)
        expected = [
            stores.augment(
                tf.constant(nets.inputs(22)[i]), tf.constant([i, view])
            )
            for view in range(2)
            for i in range(first, last)
        ]
        np.testing.assert_array_equal(found["x"], expected)
        np.testing.assert_allclose(
            found["teacher_logits"],
            stores.relative_logits(nets.linear(3), found["x"]),
            atol=1e-5,
        )


def test_nothing_else_is_read(tmp_path):
    store, asked = stores.write(tmp_path), []

    def watched(first, last):
        asked.append((first, last))
        return stores.of_range(first, last)

    for path in tmp_path.glob("*.tfrecord"):
        if not path.name.endswith("shard00001.tfrecord"):
            path.write_bytes(bytes(path.stat().st_size))
    part = store.join(watched, shard_index=1, shard_count=3)
    np.testing.assert_array_equal(rows(part)["x"], nets.inputs(22)[8:16])
    assert asked == [(8, 16)]
    with pytest.raises(tf.errors.DataLossError):
        rows(store.join(watched, shard_index=0, shard_count=3))


def test_shards_that_were_not_counted(tmp_path, monkeypatch):
    """A store of version 2 does not tell how many examples a shard has."""
    store = stores.write(tmp_path, dtype="float32")
    monkeypatch.setattr(type(store._manifest), "ranges", lambda *_: None)
    found = [
        rows(part)["x"] for part in joined_by_workers(store, stores.of_range, 2)
    ]
    assert [len(x) for x in found] == [16, 6]
    np.testing.assert_array_equal(np.concatenate(found), nets.inputs(22))


def test_data_of_unknown_length_have_growing_shards(tmp_path):
    unknown = stores.dataset().filter(lambda *_: True)
    store = stores.write(tmp_path, data=unknown, shards=1)
    # Shards of 1, 2 and 3 batches: 4, 8 and 10 examples.
    parts = joined_by_workers(store, unknown, 2)
    found = [rows(part)["x"] for part in parts]
    assert [len(x) for x in found] == [12, 10]
    np.testing.assert_array_equal(np.concatenate(found), nets.inputs(22))


def clips_of_range(first, last):
    return stores.clips().skip(first).take(last - first)


@pytest.mark.slow
def test_time_axes_that_differ_from_batch_to_batch(tmp_path):
    padded = stores.clips().padded_batch(2)
    teacher, whole = stores.frame_net(), list(padded)
    store = stores.write(tmp_path, teacher, padded, dtype="float32")
    found = []
    for part in joined_by_workers(store, padded, 2):
        assert int(part.cardinality()) == tf.data.UNKNOWN_CARDINALITY
        found += list(part)
    assert len(found) == len(whole) == 5
    for (x, y), (expected, _) in zip(found, whole, strict=True):
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_allclose(
            y["teacher_logits"],
            stores.relative_logits(teacher, expected),
            atol=1e-5,
        )

    with pytest.raises(ValueError, match=r"`dataset`.*batches that were writ"):
        store.join(clips_of_range)
    # The second worker's batches are the last two, from example 6 on.
    brighter = padded.map(lambda x, y: (x + 1, y))
    part = store.join(brighter, shard_index=1, shard_count=2)
    with pytest.raises(FAILURES, match="as example 6 one of checksum"):
        list(part)


@pytest.mark.slow
def test_single_examples_of_any_length(tmp_path):
    """Batches of one are not padded: a function can give each of them."""

    store = stores.write(tmp_path, stores.frame_net(), stores.clips().batch(1))
    joined = store.join(clips_of_range, interleave=2)
    lengths = [x.shape[0] for x, _ in joined]
    assert sorted(lengths) == [1, 1, 2, 3, 4, 5, 5, 6, 9]
    for x, y in joined:
        assert y["teacher_logits"].shape[0] == x.shape[0]


def test_workers_are_not_sharded_again(tmp_path, mirrored_strategy):
    store, batch = stores.write(tmp_path), 4

    def of(context):
        part = store.join(
            stores.of_range,
            shard_index=context.input_pipeline_id,
            shard_count=context.num_input_pipelines,
        )
        return part.batch(context.get_per_replica_batch_size(batch))

    distributed = mirrored_strategy.distribute_datasets_from_function(of)
    seen = []
    for x, _ in distributed:
        for local in mirrored_strategy.experimental_local_results(x):
            seen += local.numpy().tolist()
    assert sorted(seen) == sorted(nets.inputs(22).tolist())
    part = (
        store.join(stores.of_range, shard_index=0, shard_count=2)
        .shuffle(9)
        .batch(4)
    )
    found = part.options().experimental_distribute.auto_shard_policy
    assert found == OFF


@pytest.mark.parametrize("unknown", (False, True))
@pytest.mark.parametrize("data", (12, 30))
def test_another_length(tmp_path, data, unknown):
    store = stores.write(tmp_path)
    given = stores.dataset(None, data)
    if not unknown:
        with pytest.raises(ValueError, match=r"22 examples.*Received"):
            store.join(given, shard_index=1, shard_count=2)
        return
    # The last worker sees what is missing, or too much.
    given = given.filter(lambda *_: True)
    with pytest.raises(FAILURES):
        rows(store.join(given, shard_index=1, shard_count=2))


def batched(first, last):
    return stores.of_range(first, last).batch(2)


def one_less(first, last):
    return stores.of_range(first, last - 1)


def less_than_told(first, last):
    return stores.of_range(first, last - 1).filter(lambda *_: True)


def another(first, last):
    return stores.of_range(22 - last, 22 - first)


def nothing(first, last):
    return None


@pytest.mark.parametrize("function", (batched, one_less, nothing))
def test_functions_that_are_refused(tmp_path, function):
    store = stores.write(tmp_path)
    for options in ({}, {"shard_index": 0, "shard_count": 3}):
        with pytest.raises(ValueError, match=r"^`dataset` must.*Received: "):
            store.join(function, **options)


def test_functions_that_give_other_examples(tmp_path):
    store = stores.write(tmp_path)
    options = {"shard_index": 1, "shard_count": 3}
    with pytest.raises(FAILURES, match=r"as example 8 one of checksum"):
        rows(store.join(another, **options))
    with pytest.raises(FAILURES, match=r"contained.* 7 elements"):
        rows(store.join(less_than_told, **options))


@pytest.mark.slow
def test_bad_workers_are_refused_by_name(tmp_path):
    store = stores.write(tmp_path)
    for index, count in ((0, None), (None, 2), (2, 2), (0, 4)):
        with pytest.raises(ValueError, match=r"^`shard_\w+` must.*Received"):
            store.join(stores.of_range, shard_index=index, shard_count=count)
    views = stores.write(tmp_path / "views", views=2, augment=stores.augment)
    with pytest.raises(ValueError, match=r"`augment`.*Received"):
        views.join(stores.of_range, shard_index=0, shard_count=2)


@pytest.mark.slow
def test_a_py_dataset_by_workers(tmp_path):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            own = slice(4 * index, 4 * index + 4)
            return nets.inputs(22)[own], nets.labels(22)[own]

    data = Batches()
    store = stores.write(tmp_path, data=data)
    found = [rows(part)["x"] for part in joined_by_workers(store, data, 3)]
    np.testing.assert_array_equal(np.concatenate(found), nets.inputs(22))


@pytest.mark.slow
def test_processes_read_one_store_at_the_same_time(tmp_path):
    stores.write(tmp_path, dtype="float32")

    def state():
        return {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}

    before, readers = state(), []
    for index in range(2):
        pipe, other = processes.CONTEXT.Pipe()
        reader = processes.CONTEXT.Process(
            target=store_reader.read, args=(tmp_path, index, 2, other)
        )
        reader.start()
        readers.append((reader, pipe))
    for _, pipe in readers:
        assert pipe.poll(60) and pipe.recv() is None  # in the midst of it
    for _, pipe in readers:
        pipe.send("go on")
    parts = [pipe.recv() for _, pipe in readers]
    for reader, _ in readers:
        reader.join()
        assert reader.exitcode == 0
    x = np.concatenate([part[0] for part in parts])
    logits = np.concatenate([part[1]["teacher_logits"] for part in parts])
    assert sorted(x.tolist()) == sorted(nets.inputs(22).tolist())
    np.testing.assert_allclose(
        logits, stores.relative_logits(nets.linear(3), x), atol=1e-5
    )
    assert state() == before

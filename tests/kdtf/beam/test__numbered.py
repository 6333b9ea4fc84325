"""Soft targets of numbered examples, on Beam, in whatever order they come."""

import concurrent.futures
import random

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import beam_runs, nets, stores

TOP = {"top_k": 2, "temperature": 2.0, "dtype": "float32"}


def jitter(x, seed):
    if seed[0] > 10:  # as a graph, only AutoGraph can tell
        return x + tf.random.stateless_normal(tf.shape(x), seed)
    return x


VIEWS = {"views": 2, "augment": jitter, "shards": 4}


def pairs(count=stores.EXAMPLES):
    """Numbers and `(x, y)` of `stores.dataset`, shuffled."""
    elements = stores.dataset(None, count).as_numpy_iterator()
    found = list(enumerate(elements))
    random.Random(0).shuffle(found)
    return found


def write(directory, *flags, given=None, teacher=beam_runs.linear, **options):
    """Runs the transform on pairs: kdtf's counters."""
    options = {"batch_size": 4, "shards": 3, **options}
    given = pairs() if given is None else given
    transform = beam_runs.labelling.WriteNumberedSoftTargets(
        directory, teacher, **options
    )
    create = beam_runs.beam.Create(given)
    return beam_runs.run(lambda pipeline: pipeline | create | transform, *flags)


@pytest.mark.slow
@pytest.mark.parametrize("options", ({}, VIEWS, TOP), ids=("all", "views", "k"))
def test_bytes_are_those_of_write(tmp_path, options):
    counters = write(tmp_path / "beam", **options)
    stores.write(tmp_path / "alone", **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )
    views = options.get("views", 1)
    assert counters == {
        "examples": 22 * views,
        "batches": 6 * views,
        "shards_written": options.get("shards", 3) * views,
    }


@pytest.mark.slow
def test_threads_that_share_a_teacher(tmp_path):
    write(tmp_path / "beam", *beam_runs.TWO_THREADS, **VIEWS)
    stores.write(tmp_path / "alone", **VIEWS)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_more_examples_than_the_first_that_are_planned_with(tmp_path):
    data = stores.dataset(12, 150)
    given = pairs(150)
    write(tmp_path / "beam", given=given, batch_size=12, examples=150)
    stores.write(tmp_path / "alone", data=data)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_batches_larger_than_the_data(tmp_path):
    write(tmp_path / "beam", batch_size=100)
    stores.write(tmp_path / "alone", data=stores.dataset(100))
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
@pytest.mark.parametrize("names", (("a", "b"), (0, 1)))
def test_several_inputs(tmp_path, names):
    a, b = nets.inputs(10), np.arange(20, dtype=np.int64).reshape(10, 2)
    x = dict(zip(names, (a, b), strict=True)) if names[0] else (a, b)

    def teacher(x):
        first, second = (x[name] for name in names)
        return nets.linear(3)(first) + tf.cast(second[:, :1], tf.float32)

    rows = [
        tf.nest.map_structure(lambda part, row=row: part[row], x)
        for row in range(10)
    ]
    # Inputs in a tuple are x, and not x and y, if they are in another.
    given = [(np.int64(row), (one,)) for row, one in enumerate(rows)]
    options = {"fingerprint": "sum"}
    write(tmp_path / "beam", given=given, teacher=lambda: teacher, **options)
    data = tf.data.Dataset.from_tensor_slices((x,)).batch(4)
    stores.write(tmp_path / "alone", teacher, data, **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_inputs_in_a_list(tmp_path):
    a, b = nets.inputs(10), nets.inputs(10, seed=5)
    given = [(row, [a[row], b[row]]) for row in range(10)]
    options = {"fingerprint": "sum"}

    def teacher(x):
        return x[0] + x[1]

    write(tmp_path / "beam", given=given, teacher=lambda: teacher, **options)
    stores.write(tmp_path / "alone", teacher, [a, b], batch_size=4, **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_logits_with_a_time_axis(tmp_path):
    x = nets.inputs(30).reshape(10, 3, nets.FEATURES)

    def teacher(x):
        return nets.linear(3)(tf.reshape(x, [-1, nets.FEATURES]))

    def load():
        return lambda x: tf.reshape(teacher(x), [-1, 3, nets.CLASSES])

    options = {"fingerprint": "linear"}
    given = list(enumerate(x))[::-1]
    write(tmp_path / "beam", given=given, teacher=load, **options)
    data = tf.data.Dataset.from_tensor_slices(x).batch(4)
    stores.write(tmp_path / "alone", load(), data, **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


def test_logits_that_cannot_be_kept_are_named(tmp_path):
    def spoiled(x):
        bad = (x == nets.inputs(22)[13]).numpy().all(axis=-1)
        return np.where(bad, np.nan, 0.0)[:, None] + np.zeros(4)

    with pytest.raises(ValueError, match=r"`teacher`.*batch 3, row 1"):
        write(tmp_path / "s", teacher=lambda: spoiled, fingerprint="spoiled")
    assert not (tmp_path / "s").exists()


def without(*numbers):
    return [pair for pair in pairs() if pair[0] not in numbers]


def and_also(number, row=0):
    return [*pairs(), (number, pairs()[row][1])]


@pytest.mark.parametrize(
    ("given", "options", "received"),
    (
        (without(13), {"examples": 22}, r"none of the numbers \[13\]"),
        (without(13), {}, r"21\b|numbers \[21\]|none of the numbers \[13\]"),
        (without(*range(12, 16)), {"examples": 22}, r"none .*\[12, 13, 14, 15"),
        (without(21), {"examples": 22}, r"none of the numbers \[21\]"),
        (without(*range(8, 22)), {"examples": 22}, r"none .*\[8, 9, 10, 11, 1"),
        (and_also(13), {"examples": 22}, r"more than once the numbers \[13\]"),
        (and_also(22), {"examples": 22}, r"the numbers \[22\]"),
        (and_also(-1), {}, "the number -1"),
        (and_also(2**40), {}, r"the numbers \[1099511627776\]|none of"),
        (and_also(3.0), {}, r"the number 3\.0"),
        (and_also("3"), {}, "the number '3'"),
        (and_also(True), {}, "the number True"),
        (and_also(None), {}, "the number None"),
        ([], {}, "none at all"),
        ([3], {}, "a int, which is no pair"),
        ([(0, [0.5, 0.5])], {}, "example 0 with a float, no array"),
        ([(0, None)], {}, "example 0 with a NoneType"),
    ),
)
def test_wrong_numbers_are_named(tmp_path, given, options, received):
    message = rf"`WriteNumberedSoftTargets` must get pairs.*({received})"
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "beam", given=given, batch_size=4, **options)
    assert not (tmp_path / "beam" / "manifest.json").exists()
    with pytest.raises(ValueError, match="`directory` must hold"):
        kdtf.SoftTargets(tmp_path / "beam")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "received"),
    (
        (lambda p: [(n, x) for n, x in p if n != 100], r"none .*\[100\]"),
        (
            lambda p: [(n, x) for n, x in p if n // 12 != 8],
            r"none .*\[96, 97, 98, 99, 100\] and 7 more",
        ),
        (
            lambda p: [(n, x) for n, x in p if n < 96],
            r"none .*\[96, 97, 98, 99, 100\] and 49 more",
        ),
        (lambda p: [*p, (100, p[0][1])], r"more than once .*\[100\]"),
        (lambda p: [*p, (10**6, p[0][1])], r"the numbers \[1000000\]"),
    ),
    ids=("one", "batch", "shard", "twice", "too large"),
)
def test_wrong_numbers_are_named_after_planning(tmp_path, change, received):
    """Beyond the first 72 examples, with which the store is planned."""
    # 13 batches of 12; the last of 3 shards begins with number 8 * 12.
    options = {"batch_size": 12, "examples": 150}
    message = f"must get pairs.* 0 to 149, .*{received}"
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "beam", given=change(pairs(150)), **options)
    with pytest.raises(ValueError, match="`directory` must hold"):
        kdtf.SoftTargets(tmp_path / "beam")


@pytest.mark.parametrize(
    ("x", "received"),
    (
        (nets.inputs(1)[0, :4], r"example 13 \['float32 \[4\]'\]"),
        (np.float64(nets.inputs(1)[0]), "example 13 .*float64"),
        ((nets.inputs(1)[0],) * 2, "example 13 .*float32.*float32"),
    ),
)
def test_examples_of_another_kind_are_named(tmp_path, x, received):
    given = [*without(13), (13, (x,))]
    with pytest.raises(ValueError, match=f"of one dtype and shape.*{received}"):
        write(tmp_path / "beam", given=given)
    assert not (tmp_path / "beam").exists()


@pytest.mark.slow
def test_a_bundle_that_fails_is_tried_again(tmp_path):
    teacher = beam_runs.FailsOnce(
        nets.linear(3),
        lambda x: len(x) == 2,  # the last batch
        tmp_path / "failed",
    )
    options = {"fingerprint": "linear"}
    write(
        tmp_path / "beam",
        beam_runs.RETRYING,
        teacher=lambda: teacher,
        **options,
    )
    assert (tmp_path / "failed").exists()
    stores.write(tmp_path / "alone", teacher, **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


def fail_at_a_shard(monkeypatch, tmp_path):
    """Makes the pipeline fail once, when a shard is to be written."""
    numbered = beam_runs.importlib.import_module("kdtf.beam._numbered")
    process = beam_runs.FailsOnce(
        lambda summary: summary,
        lambda summary: summary.name.endswith("00001.tfrecord"),
        tmp_path / "failed",
    )

    class Write(numbered._Write):
        def process(self, shard, job):
            yield from map(process, super().process(shard, job))

    monkeypatch.setattr(numbered, "_Write", Write)


@pytest.mark.slow
def test_a_run_that_failed_labels_what_is_missing(tmp_path, monkeypatch):
    fail_at_a_shard(monkeypatch, tmp_path)
    with pytest.raises(OSError, match="the disk is away"):
        write(tmp_path / "beam", shards=6)
    left = stores.contents(tmp_path / "beam")
    found = sum(name.endswith(".tfrecord") for name in left)
    assert found and "manifest.json" not in left
    counters = write(tmp_path / "beam", shards=6)
    assert counters["shards_found"] == found
    assert counters["batches"] == counters["shards_written"] == 6 - found
    stores.write(tmp_path / "alone", shards=6)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )
    assert write(tmp_path / "beam", shards=6) == {}


@pytest.mark.slow
def test_another_teacher_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at_a_shard(patch, tmp_path)
        with pytest.raises(OSError, match="the disk is away"):
            write(tmp_path / "beam")
    before = stores.contents(tmp_path / "beam")
    with pytest.raises(ValueError, match=r"`directory`.*teacher .* there and"):
        write(tmp_path / "beam", teacher=lambda: nets.linear(4))
    assert stores.contents(tmp_path / "beam") == before


@pytest.mark.slow
def test_a_worker_with_another_teacher_is_noticed(tmp_path, monkeypatch):
    beam_runs.without_sharing(monkeypatch)
    with pytest.raises(ValueError, match=r"`teacher`.*on every worker"):
        write(tmp_path / "beam", teacher=beam_runs.Changing(tmp_path))
    assert not (tmp_path / "beam").exists()


@pytest.mark.slow
def test_two_runs_at_once_do_no_harm(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(write, tmp_path / "beam") for _ in range(2)]
        written = [run.result().get("shards_written", 0) for run in runs]
    assert sum(written) >= 3
    stores.write(tmp_path / "alone")
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_windows_of_the_input_do_not_matter(tmp_path):
    beam = beam_runs.beam
    transform = beam_runs.labelling.WriteNumberedSoftTargets(
        tmp_path / "beam", beam_runs.linear, batch_size=4, shards=3
    )
    beam_runs.run(
        lambda pipeline: (
            pipeline
            | beam.Create(pairs())
            | beam.Map(lambda p: beam.window.TimestampedValue(p, p[0]))
            | beam.WindowInto(beam.window.FixedWindows(3))
            | transform
        )
    )
    stores.write(tmp_path / "alone")
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"teacher": nets.linear(3)}, "`teacher` must be a function without"),
        ({"batch_size": 0}, "`batch_size`.*0"),
        ({"examples": 2.5}, r"`examples`.*2\.5"),
        ({"views": 2}, "`augment` must be given"),
    ),
)
def test_arguments_are_refused_before_anything_runs(tmp_path, change, message):
    given = {"teacher": beam_runs.linear, "batch_size": 4, **change}
    with pytest.raises(ValueError, match=message):
        beam_runs.labelling.WriteNumberedSoftTargets(tmp_path / "s", **given)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"top_k": 2}, "`temperature` must be given"),
        ({"teacher": lambda: lambda x: x}, "`fingerprint` must be given"),
    ),
)
def test_what_a_worker_finds_is_refused_in_words(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "beam", **change)
    assert not (tmp_path / "beam").exists()


def test_zeros_at_the_end_of_bytes_are_kept(tmp_path):
    """As encoded images and the bytes of arrays may have them."""
    rows = [np.float32([row, 0]).tobytes() for row in range(10)]

    def teacher(x):
        decoded = tf.io.decode_raw(x, tf.float32)
        return tf.concat([decoded, decoded[:, :1] * 2], axis=1)

    options = {"fingerprint": "bytes"}
    given = list(enumerate(rows))
    write(tmp_path / "beam", given=given, teacher=lambda: teacher, **options)
    data = tf.data.Dataset.from_tensor_slices(rows).batch(4)
    stores.write(tmp_path / "alone", teacher, data, **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )

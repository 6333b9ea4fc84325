"""Soft targets by shards, on Beam: the bytes of `SoftTargets.write`."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import beam_runs, nets, stores

DATA = {"examples": stores.EXAMPLES, "batch_size": 4, "shards": 3}
TOP = {"top_k": 2, "temperature": 2.0, "dtype": "float32"}


def jitter(x, seed):
    return x + tf.random.stateless_normal(tf.shape(x), seed)


VIEWS = {"views": 2, "augment": jitter}


def write(
    directory, *flags, teacher=beam_runs.linear, data=beam_runs.rows, **options
):
    """Runs the transform: kdtf's counters."""
    transform = beam_runs.labelling.WriteSoftTargets(
        directory, teacher, data, **{**DATA, **options}
    )
    return beam_runs.run(lambda pipeline: pipeline | transform, *flags)


def failing(tmp_path):
    """The data, but for the first time that the second shard's are read."""
    return beam_runs.FailsOnce(
        beam_runs.rows, lambda first, last: first == 8, tmp_path / "failed"
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", ({}, VIEWS, TOP), ids=("all", "views", "k"))
def test_bytes_are_those_of_write(tmp_path, options):
    counters = write(tmp_path / "beam", **options)
    stores.write(tmp_path / "alone", **options)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )
    views = options.get("views", 1)
    # 22 examples in batches of 4.
    assert counters == {
        "examples": 22 * views,
        "batches": 6 * views,
        "shards_written": 3 * views,
    }


@pytest.mark.slow
def test_threads_that_share_a_teacher(tmp_path):
    write(tmp_path / "beam", *beam_runs.TWO_THREADS, shards=6, **VIEWS)
    stores.write(tmp_path / "alone", shards=6, **VIEWS)
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


def test_a_relative_path_is_that_of_the_process_that_starts(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    transform = beam_runs.labelling.WriteSoftTargets(
        "store", beam_runs.linear, beam_runs.rows, **DATA
    )
    monkeypatch.chdir("/")
    beam_runs.run(lambda pipeline: pipeline | transform)
    assert len(kdtf.SoftTargets(tmp_path / "store")) == stores.EXAMPLES


def test_a_finished_store_is_left_alone(tmp_path):
    stores.write(tmp_path)
    before = stores.contents(tmp_path)
    assert write(tmp_path) == {}
    assert stores.contents(tmp_path) == before


def test_the_path_is_told_when_the_store_can_be_opened(tmp_path):
    def build(pipeline):
        transform = beam_runs.labelling.WriteSoftTargets(
            tmp_path / "store", beam_runs.linear, beam_runs.rows, **DATA
        )
        _ = (
            pipeline
            | transform
            | beam_runs.beam.Map(
                lambda path: np.save(f"{path}.npy", len(kdtf.SoftTargets(path)))
            )
        )

    beam_runs.run(build)
    assert np.load(tmp_path / "store.npy") == stores.EXAMPLES


@pytest.mark.slow
def test_a_bundle_that_fails_is_tried_again(tmp_path):
    data = failing(tmp_path)
    write(tmp_path / "beam", beam_runs.RETRYING, data=data)
    assert (tmp_path / "failed").exists()
    stores.write(tmp_path / "alone")
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_a_run_that_failed_goes_on_when_it_is_repeated(tmp_path):
    data = failing(tmp_path)
    with pytest.raises(OSError, match="the disk is away"):
        write(tmp_path / "beam", data=data)
    left = stores.contents(tmp_path / "beam")
    assert "manifest.json" not in left
    found = sum(name.endswith(".tfrecord") for name in left)
    counters = write(tmp_path / "beam", data=data)
    assert counters["shards_written"] == 3 - found
    assert counters["batches"] == 2 * (3 - found)
    assert counters.get("shards_found", 0) == found
    stores.write(tmp_path / "alone")
    assert stores.contents(tmp_path / "beam") == stores.contents(
        tmp_path / "alone"
    )


@pytest.mark.slow
def test_another_stores_folder_stays_as_it_is(tmp_path):
    data = failing(tmp_path)
    with pytest.raises(OSError, match="the disk is away"):
        write(tmp_path / "beam", data=data)
    before = stores.contents(tmp_path / "beam")
    with pytest.raises(ValueError, match=r"`directory`.*teacher .* there and"):
        write(tmp_path / "beam", teacher=lambda: nets.linear(4))
    with pytest.raises(ValueError, match=r"`directory`.*dtype float16 there"):
        write(tmp_path / "beam", dtype="float32")
    assert stores.contents(tmp_path / "beam") == before


def test_a_worker_with_another_teacher_is_noticed(tmp_path, monkeypatch):
    beam_runs.without_sharing(monkeypatch)
    teacher = beam_runs.Changing(tmp_path)
    with pytest.raises(ValueError, match=r"`teacher`.*on every worker"):
        write(tmp_path / "beam", teacher=teacher)
    assert not (tmp_path / "beam").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"teacher": nets.linear(3)}, "`teacher` must be a function without"),
        ({"teacher": lambda x: x}, "`teacher` must be a function without"),
        ({"teacher": None}, "`teacher` must be a function without"),
        ({"data": stores.dataset()}, "`dataset` must be a function"),
        ({"data": nets.inputs(22)}, "`dataset` must be a function.*ndarray"),
        ({"examples": 0}, "`examples`.*0"),
        ({"examples": None}, "`examples`.*None"),
        ({"batch_size": None}, "`batch_size`.*None"),
        ({"batch_size": 2.0}, r"`batch_size`.*2\.0"),
        ({"dtype": "int8"}, "`dtype`.*int8"),
        ({"shards": 0}, "`shards`.*0"),
        ({"views": 2}, "`augment` must be given"),
    ),
)
def test_arguments_are_refused_before_anything_runs(tmp_path, change, message):
    given = {"teacher": beam_runs.linear, "data": beam_runs.rows, **DATA}
    given |= change
    teacher, data = given.pop("teacher"), given.pop("data")
    with pytest.raises(ValueError, match=message):
        beam_runs.labelling.WriteSoftTargets(
            tmp_path / "s", teacher, data, **given
        )


def test_a_bucket_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"`directory`.*gs://bucket"):
        beam_runs.labelling.WriteSoftTargets(
            "gs://bucket/s", beam_runs.linear, beam_runs.rows, **DATA
        )


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"temperature": -1.0}, "`temperature`"),
        ({"top_k": 2}, "`temperature` must be given"),
        ({"examples": 30}, "`dataset`.*of 30 examples.*22"),
        ({"data": lambda first, last: None}, "`dataset`.*NoneType"),
        ({"teacher": lambda: nets.inputs}, "`fingerprint` must be given"),
    ),
)
def test_what_a_worker_finds_is_refused_in_words(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "beam", **change)
    assert not (tmp_path / "beam").exists()

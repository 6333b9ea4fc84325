"""Labelling in two processes of DirectRunner, one of which is killed."""

import shlex
import sys
import tempfile

import pytest
import tensorflow as tf

from tests import beam_runs, nets, stores

pytestmark = [
    pytest.mark.slow,
    # Of Beam's own threads, which lose the process that is killed.
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnhandledThreadExceptionWarning"
    ),
]


def jitter(x, seed):
    return x + tf.random.stateless_normal(tf.shape(x), seed)


OPTIONS = {"batch_size": 4, "shards": 6, "views": 2, "augment": jitter}


def is_one_written(directory):
    """Function that tells whether a shard is there, of any arguments."""
    return lambda *_: any(directory.glob("*.tfrecord"))


def require_resumed(tmp_path, monkeypatch, build):
    """Runs a pipeline whose process is killed, and again, to the same bytes.

    Args:
      build: function of a pipeline that writes `tmp_path / "beam"`.
    """
    folder = tmp_path / "beam"
    # Beam leaves folders there if it fails.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # It gives this to a shell as it is.
    monkeypatch.setattr(sys, "executable", shlex.quote(sys.executable))
    with pytest.raises(RuntimeError):
        beam_runs.run(build, *beam_runs.TWO_PROCESSES)
    assert (tmp_path / "killed").exists()
    assert not (folder / "manifest.json").exists()
    left = len(list(folder.glob("*.tfrecord")))
    counters = beam_runs.run(build, *beam_runs.TWO_PROCESSES)
    # Six batches, six shards, two views.
    assert counters["shards_found"] == left > 0
    assert counters["shards_written"] == counters["batches"] == 12 - left > 0
    stores.write(tmp_path / "alone", shards=6, views=2, augment=jitter)
    assert stores.contents(folder) == stores.contents(tmp_path / "alone")


def test_by_shards(tmp_path, monkeypatch):
    folder = tmp_path / "beam"
    data = beam_runs.Dies(
        beam_runs.rows, is_one_written(folder), tmp_path / "killed"
    )

    def build(pipeline):
        return pipeline | beam_runs.labelling.WriteSoftTargets(
            folder, beam_runs.linear, data, examples=22, **OPTIONS
        )

    require_resumed(tmp_path, monkeypatch, build)


def test_of_numbered_examples(tmp_path, monkeypatch):
    folder = tmp_path / "beam"
    numbered = beam_runs.importlib.import_module("kdtf.beam._numbered")

    class Write(numbered._Write):
        process = beam_runs.Dies(
            numbered._Write().process,
            is_one_written(folder),
            tmp_path / "killed",
        )

    monkeypatch.setattr(numbered, "_Write", Write)

    def build(pipeline):
        pairs = list(enumerate(nets.inputs(22)))[::-1]
        create = beam_runs.beam.Create(pairs)
        return (
            pipeline
            | create
            | beam_runs.labelling.WriteNumberedSoftTargets(
                folder, beam_runs.linear, **OPTIONS
            )
        )

    require_resumed(tmp_path, monkeypatch, build)

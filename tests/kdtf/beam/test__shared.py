"""What both ways of labelling on Beam share."""

import concurrent.futures
import importlib
import pickle
import threading

import pytest

from kdtf.soft_targets import writer
from tests import beam_runs, stores


@pytest.fixture
def shared():
    return importlib.import_module("kdtf.beam._shared")


def test_threads_and_copies_make_one_object(shared):
    made, barrier = [], threading.Barrier(4)

    def make():
        made.append(None)
        return object()

    def get(once):
        barrier.wait()
        return once.get()

    once = shared.OncePerProcess(make)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = list(threads.map(get, [once] * 4))
    assert len(made) == len(set(map(id, found))) == 1
    other = shared.OncePerProcess(make)
    assert other.get() is not once.get()
    # Beam forgets the first one as soon as there is another; it does not.
    assert once.get() is found[0] and len(made) == 2


@pytest.mark.slow
def test_a_teacher_is_loaded_once_for_planning_and_writing(tmp_path):
    for folder, build in (
        (
            "shards",
            lambda path, load: beam_runs.labelling.WriteSoftTargets(
                path, load, beam_runs.rows, examples=22, batch_size=4
            ),
        ),
        (
            "numbered",
            lambda path, load: (
                beam_runs.beam.Create(
                    list(enumerate(stores.dataset(None).as_numpy_iterator()))
                )
                | beam_runs.labelling.WriteNumberedSoftTargets(
                    path, load, batch_size=4
                )
            ),
        ),
    ):
        (tmp_path / folder).mkdir()
        load = beam_runs.Changing(tmp_path / folder)
        transform = build(tmp_path / folder / "store", load)
        beam_runs.run(lambda pipeline, t=transform: pipeline | t)
        assert len(list((tmp_path / folder).glob("loaded*"))) == 1


def test_an_outline_can_be_sent(shared, tmp_path):
    plan = writer.plan(tmp_path, beam_runs.linear(), stores.dataset())
    sent = pickle.loads(pickle.dumps(shared.outline(plan)))
    assert sent == shared.outline(plan)
    assert shared.shards_of(sent) == plan.shards()
    stores.write(tmp_path, shards=16)
    plan = writer.plan(tmp_path, beam_runs.linear(), stores.dataset())
    assert plan.is_finished and shared.shards_of(shared.outline(plan)) == []


def test_a_disk_that_is_not_shared_is_refused(shared, tmp_path):
    plan = writer.plan(tmp_path, beam_runs.linear(), stores.dataset(), shards=2)
    summaries = [writer.write_shard(plan, *shard) for shard in plan.shards()]
    plan.path(0, 1).unlink()
    with pytest.raises(ValueError, match=r"`directory`.*all workers share"):
        list(shared.Commit().process(shared.outline(plan), summaries))
    assert not (tmp_path / "manifest.json").exists()

"""trainers.core.workers, through a run that uses them."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import processes, speech_corpora
from trainers.core import workers
from trainers.core.errors import FlagsError
from trainers.speech import recipes, run


def make_run(directory, processes):
    return run.Run(
        speech_corpora.settings(),
        speech_corpora.clips(),
        speech_corpora.lexicon(),
        directory,
        seeds=2,
        processes=processes,
    )


@pytest.mark.slow
def test_nets_trained_at_once_are_those_of_one_process(tmp_path):
    at_once = make_run(tmp_path / "at_once", processes=2)
    alone = make_run(tmp_path / "alone", processes=1)
    for arm, seeds in (
        (recipes.member(at_once.settings), 2),
        (recipes.distilled(alone.settings), 1),
    ):
        at_once.train_at_once([arm], seeds)
        alone.train_at_once([arm], seeds)
        for seed in range(seeds):
            [theirs], [ours] = alone.folds, at_once.folds
            assert ours.is_finished(arm, seed)
            assert not theirs.is_finished(arm, seed)
            np.testing.assert_allclose(
                ours.train(arm, seed).net.get_weights()[0],
                theirs.train(arm, seed).net.get_weights()[0],
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.fixture(autouse=True)
def none_are_left():
    with workers.ended():
        yield
    assert not multiprocessing.active_children()


def note(context, folder, job):
    """Leaves a file that tells which process did a job."""
    (folder / f"{job}-{os.getpid()}-{len(context)}").touch()
    return job


@pytest.mark.slow
def test_processes_wait_for_further_jobs_of_the_same_context(tmp_path):
    context, other = [1, 2], [1, 2, 3]
    for job, given in (("a", context), ("b", context), ("c", other)):
        workers.run(note, given, [(tmp_path, job)], processes=1)
    found = sorted(path.name.split("-") for path in tmp_path.iterdir())
    (_, a, of_a), (_, b, of_b), (_, c, of_c) = found
    assert [of_a, of_b, of_c] == ["2", "2", "3"]
    assert a == b != c and str(os.getpid()) not in (a, c)


@pytest.mark.slow
def test_one_that_the_system_ends_while_it_waits(tmp_path):
    context = [1]
    workers.run(note, context, [(tmp_path, "a")], processes=1)
    [waiting] = multiprocessing.active_children()
    waiting.kill()
    waiting.join()
    with pytest.raises(FlagsError, match=r"--processes must"):
        for _ in range(100):  # until its end has been noticed
            workers.run(note, context, [(tmp_path, "b")], processes=1)
    workers.run(note, context, [(tmp_path, "c")], processes=1)
    assert list(tmp_path.glob("c-*"))


@pytest.mark.slow
def test_an_error_in_one_net_ends_the_others(tmp_path):
    given = make_run(tmp_path, processes=2)
    bad = dataclasses.replace(recipes.member(given.settings), layers=-1)
    long = dataclasses.replace(recipes.member(given.settings), epochs=10**6)
    with pytest.raises(ValueError):
        given.train_at_once([bad, long], seeds=1)
    assert not given.folds[0].is_finished(long, 0)


@pytest.mark.slow
def test_a_worker_that_the_system_ends():
    with pytest.raises(FlagsError, match=r"--processes must.*--processes=2,"):
        workers.run(os._exit, 9, [()], processes=2)


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import concurrent.futures, multiprocessing, os, time\n"
        "from trainers.core import workers\n"
        "def job():\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(120)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    with concurrent.futures.ProcessPoolExecutor(\n"
        "        1, context, workers._start, (1, [])\n"
        "    ) as pool:\n"
        "        pool.submit(job).result()\n"
    )
    parent = subprocess.Popen([sys.executable, script], env=_with_path())
    worker = _wait_for(lambda: _number_in(tmp_path / "pid"))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert _wait_for(lambda: not _is_running(worker))


def _with_path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _number_in(path):
    return int(path.read_text() or 0) if path.exists() else None


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition):
    end = time.monotonic() + processes.PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    return None

"""trainers.core.strategies: TF_CONFIG, flags, and what several workers do."""

import glob
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from tests import processes
from trainers.core import local_workers, strategies, workers
from trainers.core.errors import FlagsError

TINY = (
    "--dataset=digits",
    "--tiny",
    "--teacher_epochs=12",
    "--student_epochs=12",
    "--checkpoint_every=1",
)
KILLS, SEED = 10, 21  # of the moments
BOUND = 60  # seconds after a worker is lost, by which the others have ended


def config(workers=("a:1", "b:2"), index=0, kind="worker"):
    return {
        "cluster": {"worker": list(workers)},
        "task": {"type": kind, "index": index},
    }


@pytest.mark.parametrize(
    "text, received",
    (
        (None, "nothing"),
        ("", "nothing"),
        ("{'cluster'", "no JSON"),
        ("[]", "no cluster"),
        ('{"task": {}}', "no cluster"),
        ('{"cluster": {"worker": []}}', "no cluster"),
        ('{"cluster": {"ps": ["a:1"]}}', "no cluster"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}',
            r"jobs other than worker, \['ps'\]",
        ),
        (config(["a", "b:2"]), "workers that are no list of host:port"),
        (
            '{"cluster": {"worker": "a:1"}}',
            "workers that are no list of host:port",
        ),
        (config(["a:1", "b:2", "a:1"]), "a worker that is listed twice"),
        ('{"cluster": {"worker": ["a:1"]}}', "no task of the type worker"),
        (config(kind="chief"), "no task of the type worker"),
        (config(index=2), "an index that is none of the 2 workers"),
        (config(index=-1), "an index that is none of the 2 workers"),
        (config(index=None), "an index that is none of the 2 workers"),
        (config(index=0.5), "an index that is none of the 2 workers"),
    ),
)
def test_a_cluster_that_cannot_be(text, received):
    text = json.dumps(text) if isinstance(text, dict) else text
    with pytest.raises(
        ValueError,
        match=r"^--strategy=multi_worker must find .* TF_CONFIG, such as "
        rf'{{"cluster": .* index of its own, from 0\. Received: {received}',
    ):
        strategies.require_cluster(text)


@pytest.mark.parametrize("index", (0, 1, "1"))
def test_a_cluster(index):
    strategies.require_cluster(json.dumps(config(index=index)))


def test_the_example_of_the_message_is_a_cluster():
    with pytest.raises(ValueError) as raised:
        strategies.require_cluster(None)
    example = str(raised.value).partition("such as ")[2].partition(", with")[0]
    strategies.require_cluster(example)


@pytest.mark.parametrize(
    "given, message",
    (
        (
            {"strategy": "mirrored", "processes": 2},
            "^--processes must be 1 with a --strategy, .* Received: "
            "--processes=2 with --strategy=mirrored$",
        ),
        (
            {"strategy": "none", "cpu_replicas": 2},
            "^--cpu_replicas must be left out but with --strategy=mirrored. "
            "Received: --cpu_replicas=2 with --strategy=none$",
        ),
    ),
)
def test_flags_that_do_not_fit(given, message):
    values = types.SimpleNamespace(**{"cpu_replicas": None, **given})
    with pytest.raises(ValueError, match=message):
        strategies.start(values)


def test_without_other_workers_this_process_decides():
    strategies.start(types.SimpleNamespace(strategy="none", cpu_replicas=None))
    assert strategies.is_chief()
    assert strategies.on_chief(lambda: object) is object
    called = []
    assert strategies.chief_first(lambda: called.append(1)) is None
    assert called == [1]


def start_worker(folder, index, config, *arguments):
    """One of several workers of trainers.mnist."""
    return processes.start(
        "trainers.mnist",
        *arguments,
        "--strategy=multi_worker",
        "--verbosity=0",
        errors=folder / f"errors{index}",
        environment={"TF_CONFIG": config},
    )


def start_workers(folder, *arguments, others=()):
    """Two workers of trainers.mnist; `others` are flags of the second."""
    return [
        start_worker(folder, i, text, *arguments, *(others if i else ()))
        for i, text in enumerate(local_workers.configs(2))
    ]


def wait_until_said(folder, index, what):
    """Waits until a worker's errors hold a text."""
    path = folder / f"errors{index}"
    deadline = time.monotonic() + processes.PATIENCE
    while not (path.exists() and what in path.read_text()):
        assert time.monotonic() < deadline, path
        time.sleep(0.005)


def decide(text, answers):
    """What a worker does: it sends what it is told by worker 0."""
    os.environ["TF_CONFIG"] = text
    own = json.loads(text)["task"]["index"]
    strategies.start(
        types.SimpleNamespace(strategy="multi_worker", cpu_replicas=None)
    )
    with strategies.ended_by_losses():
        told = [strategies.on_chief(lambda: [own, "ä" * 500]), own]
        told.append(strategies.chief_first(lambda: own))
        try:
            strategies.on_chief(lambda: 1 // own)
        except (FlagsError, ZeroDivisionError) as error:
            told.append(f"{type(error).__name__}: {error}")
        told.append(strategies.on_chief(lambda: None))
    answers.send(told)


@pytest.mark.slow
def test_worker_0_decides_for_all():
    answers = []
    for text in local_workers.configs(2):
        ours, theirs = processes.CONTEXT.Pipe(duplex=False)
        processes.CONTEXT.Process(target=decide, args=(text, theirs)).start()
        theirs.close()
        answers.append(ours)
    said = "integer division or modulo by zero"
    for own, error in enumerate(
        (
            f"ZeroDivisionError: {said}",
            f"FlagsError: Worker 0 has ended: {said}",
        )
    ):
        assert answers[own].poll(processes.PATIENCE)
        told = answers[own].recv()
        assert told == [[0, "ä" * 500], own, own, error, None]


def results_of(run_dir):
    """Dict from arm to logits, curve and bytes of the weights."""
    found = {}
    for path in sorted(run_dir.glob("seed*/*/result")):
        found[path.parent.name] = (
            np.load(path / "eval_logits.npy"),
            json.loads((path / "state.json").read_text())["curve"],
            (path / "student.weights.h5").read_bytes(),
        )
    assert len(found) == 3
    return found


def figures(run_dir):
    """What a run must give again: all but its times."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    [table] = metrics["experiments"].values()
    for arm in table["arms"].values():
        del arm["seconds_per_epoch"]
    return table


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run directory of a run without a strategy."""
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    result = processes.run("trainers.mnist", *TINY, f"--run_dir={run_dir}")
    assert result.returncode == 0, result.stderr
    return run_dir


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The run directory of two workers, and what was printed."""
    run_dir = tmp_path_factory.mktemp("together") / "run"
    command = [sys.executable, "-m", "trainers.core.local_workers"]
    result = subprocess.run(
        [*command, "trainers.mnist", *TINY, f"--run_dir={run_dir}"],
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return run_dir, result


def assert_same_to_rounding(ours, theirs):
    """The same errors at every point of the curves, and almost all the rest.

    Replicas add up a batch in parts, so that its gradient may differ in the
    last bits, which every step passes on to the next.
    """
    assert (ours / "flags.txt").read_text() == (
        theirs / "flags.txt"
    ).read_text()
    ours, theirs = results_of(ours), results_of(theirs)
    assert ours.keys() == theirs.keys()
    for arm, (logits, curve, _) in ours.items():
        expected, expected_curve, _ = theirs[arm]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * scale)
        for point, other in zip(curve, expected_curve, strict=True):
            assert point.pop("loss") == pytest.approx(other["loss"], rel=1e-5)
            assert point == {k: v for k, v in other.items() if k != "loss"}


@pytest.mark.slow
@pytest.mark.parametrize("replicas", (2, 4))
def test_mirrored_it_gives_the_same_figures(alone, tmp_path, replicas):
    run_dir = tmp_path / "run"
    result = processes.run(
        "trainers.mnist",
        *TINY,
        f"--run_dir={run_dir}",
        "--strategy=mirrored",
        f"--cpu_replicas={replicas}",
    )
    assert result.returncode == 0, result.stderr
    assert_same_to_rounding(run_dir, alone)


@pytest.mark.slow
def test_two_workers_give_the_same_figures(alone, together):
    run_dir, result = together
    assert_same_to_rounding(run_dir, alone)
    # One of them writes and prints.
    assert result.stdout.count("Report:") == 1
    assert result.stderr.count("seed 0 student: 100%") <= 2  # a bar's last
    [events] = run_dir.glob("seed0/student-*/tensorboard/train/events*")
    assert events.stat().st_size


def progress(run_dir):
    """The set of the checkpoints and results that there are just now."""
    patterns = ("*/*/checkpoints/epoch-*", "*/*/result")
    return {p for each in patterns for p in glob.glob(f"{run_dir}/{each}")}


def kill_one(folder, run_dir, rng):
    """Starts two workers and kills one; returns whether they ran until then.

    That is after up to five more checkpoints and results, or a few seconds:
    they may be about to train, to write, or to read. Before both have started,
    the other one would wait.
    """
    workers = start_workers(folder, *TINY, f"--run_dir={run_dir}")
    for i in range(2):
        wait_until_said(folder, i, "All workers have started")
    wanted, before, seen = rng.randrange(6), progress(run_dir), set()
    while len(seen - before) < wanted and all(w.is_alive() for w in workers):
        seen |= progress(run_dir)
        time.sleep(0.005)
    time.sleep(rng.random() * (0.3 if wanted else 5))
    lost = rng.randrange(2)
    workers[lost].kill()
    began = time.monotonic()
    workers[1 - lost].join(BOUND)
    took = time.monotonic() - began
    for worker in workers:
        worker.kill()
        worker.join()
    said = (folder / f"errors{1 - lost}").read_text()
    print(
        f"worker {lost} killed after {len(seen - before)} more checkpoints, "
        f"{workers[lost].exitcode}; the other ended after {took:.1f} s, "
        f"{workers[1 - lost].exitcode}"
    )
    if workers[lost].exitcode != -signal.SIGKILL:
        assert workers[lost].exitcode == 0, said
        return False
    if workers[1 - lost].exitcode == 0:  # it had done its part
        return False
    assert workers[1 - lost].exitcode == 1 and took < BOUND, said
    require_one_line(said)
    return True


def require_one_line(said):
    """What a worker says last where another one is lost."""
    assert said.splitlines()[-1].startswith("A worker was lost: start all of")
    assert "Traceback" not in said


@pytest.mark.slow
def test_one_of_two_killed_at_any_moment_they_end_alike(together, tmp_path):
    rng = random.Random(SEED)
    run_dirs = [tmp_path / "run0"]
    kills = 0
    while kills < KILLS:
        kills += kill_one(tmp_path, run_dirs[-1], rng)
        if (run_dirs[-1] / "metrics.json").exists():
            run_dirs.append(tmp_path / f"run{len(run_dirs)}")
    for run_dir in run_dirs:
        workers = start_workers(tmp_path, *TINY, f"--run_dir={run_dir}")
        for worker in workers:
            worker.join()
        said = [(tmp_path / f"errors{i}").read_text() for i in range(2)]
        assert [worker.exitcode for worker in workers] == [0, 0], said
        assert figures(run_dir) == figures(together[0])
        ours, theirs = results_of(run_dir), results_of(together[0])
        for arm, (logits, curve, weights) in ours.items():
            expected, expected_curve, expected_weights = theirs[arm]
            np.testing.assert_array_equal(logits, expected)
            assert curve == expected_curve and weights == expected_weights


@pytest.mark.slow
def test_sigterm_ends_a_worker_at_once(tmp_path):
    """TensorFlow would go on, and a scheduler wait until it kills it."""
    run_dir = tmp_path / "run"
    workers = start_workers(tmp_path, *TINY, f"--run_dir={run_dir}")
    deadline = time.monotonic() + processes.PATIENCE
    while not progress(run_dir) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers[0].terminate()
    for worker in workers:
        worker.join(BOUND)
    assert [worker.exitcode for worker in workers] == [-signal.SIGTERM, 1]
    require_one_line((tmp_path / "errors1").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "other, message, message_of_0",
    (
        ("--label_shares=3", *["`--label_shares` must be the same on all"] * 2),
        (
            "--temperature=3",
            "--temperature=4.0 before and --temperature=3.0",
            "A worker was lost",
        ),
    ),
)
def test_workers_with_other_flags(tmp_path, other, message, message_of_0):
    workers = start_workers(
        tmp_path, *TINY, f"--run_dir={tmp_path / 'run'}", others=[other]
    )
    for worker in workers:
        worker.join(processes.PATIENCE)
    said = [(tmp_path / f"errors{i}").read_text() for i in range(2)]
    assert [worker.exitcode for worker in workers] == [1, 1], said
    assert message in said[1] and "Traceback" not in "".join(said)
    assert message_of_0 in said[0]


@pytest.mark.slow
def test_a_worker_says_that_it_waits(tmp_path):
    first, second = local_workers.configs(2)
    flags = (*TINY, f"--run_dir={tmp_path / 'run'}")
    early = start_worker(tmp_path, 0, first, *flags)
    said = "Waiting until all workers of TF_CONFIG have started"
    wait_until_said(tmp_path, 0, said)
    early.join(2)
    assert (tmp_path / "errors0").read_text().splitlines()[-1] == said
    late = start_worker(tmp_path, 1, second, *flags, "--seeds=2")
    for worker in (early, late):
        worker.join(processes.PATIENCE)
    for i in range(2):
        said = (tmp_path / f"errors{i}").read_text()
        assert "`--seeds` must be the same on all" in said


@pytest.mark.slow
def test_what_stops_worker_0_is_told_by_all(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    pathlib.Path(run_dir, "mine").touch()
    workers = start_workers(tmp_path, *TINY, f"--run_dir={run_dir}")
    for worker in workers:
        worker.join(processes.PATIENCE)
    said = [(tmp_path / f"errors{i}").read_text() for i in range(2)]
    assert [worker.exitcode for worker in workers] == [1, 1], said
    [sentence] = [s for s in said[0].splitlines() if "['mine']" in s]
    assert f"Worker 0 has ended: {sentence}" in said[1].splitlines()


@pytest.fixture
def gpus(monkeypatch):
    """List of the GPUs of this machine, made up, that others may use, too."""
    shared = []
    monkeypatch.setattr(
        strategies.tf.config,
        "list_physical_devices",
        lambda kind: [f"{kind}{i}" for i in range(2)],
    )
    monkeypatch.setattr(
        strategies.tf.config.experimental,
        "set_memory_growth",
        lambda gpu, grows: shared.append(gpu) if grows else None,
    )
    return shared


@pytest.mark.parametrize("count", (1, 2))
def test_several_processes_share_the_gpus(gpus, count):
    given = types.SimpleNamespace(
        strategy="none", cpu_replicas=None, processes=count
    )
    strategies.start(given)
    assert gpus == (["GPU0", "GPU1"] if count > 1 else [])


def test_so_does_each_of_their_workers(gpus, monkeypatch):
    monkeypatch.setattr(workers.threading.Thread, "start", lambda self: None)
    for name in ("intra", "inter"):
        monkeypatch.setattr(
            workers.tf.config.threading,
            f"set_{name}_op_parallelism_threads",
            lambda count: None,
        )
    workers._start(1, None)
    assert gpus == ["GPU0", "GPU1"]

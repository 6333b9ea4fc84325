"""trainers.specialists as its users run it."""

import contextlib
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import processes
from tests import specialist_runs as runs
from trainers.core.settings import describe
from trainers.data import glyphs
from trainers.specialists import __main__ as main
from trainers.specialists.experiments import EXPERIMENTS
from trainers.specialists.settings import DEFAULTS, Settings

ROOT = pathlib.Path(__file__).resolve().parents[3]
TINY = ("--tiny", "--seeds=1")


run = functools.partial(processes.run, "trainers.specialists")


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny run"
    command = [sys.executable, "-m", "trainers.specialists", *TINY]
    result = subprocess.run(
        [*command, f"--run_dir={run_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return run_dir, result


def figures(run_dir):
    """What a run must give again: all of it."""
    return json.loads((run_dir / "metrics.json").read_text())["experiments"]


@pytest.mark.slow
def test_run_directory(tiny_run):
    run_dir, result = tiny_run
    assert sorted(os.listdir(run_dir)) == [
        "cases.png",
        "export",
        "flags.txt",
        "metrics.json",
        "report.html",
        "report.md",
        *(f"seed{i}" for i in range(4)),  # of ensembles
        "sets.png",
        "specialists.png",
    ]
    for name in ("report.html", "metrics.json", "export"):
        assert str(run_dir / name) in result.stdout
    found = figures(run_dir)["table"]
    assert (found["classes"], found["test_cases"]) == (60, 400)
    for name, system in found["systems"].items():
        assert f"| {name} | {system['accuracy']['mean']:.2%}" in result.stdout
    for text in ("nan", "Traceback", "retracing"):
        assert text not in result.stdout + result.stderr
    # A bar for each net of its own, and one for each group.
    for bar in ("seed3 generalist-16-", "seed0 specialists-4x10"):
        assert bar in result.stderr
    assert "seed0 000-specialist" not in result.stderr


@pytest.mark.slow
def test_the_export_says_what_the_report_says(tiny_run):
    run_dir, _ = tiny_run
    data = glyphs.load(
        classes=60, train=4000, held_out=266, test=400, progress=False
    )
    served = tf.saved_model.load(str(run_dir / "export"))
    images = tf.constant(data.test_images, tf.float32)
    found = served.signatures["serving_default"](images=images)
    names = np.array(data.class_names)[data.test_labels]
    said = [name.decode() for name in found["class_name"].numpy()]
    system = figures(run_dir)["table"]["systems"]["specialists, top 1"]
    assert np.mean(names == said) == pytest.approx(system["accuracy"]["mean"])


@pytest.mark.slow
def test_run_again_it_trains_nothing_and_says_the_same(tiny_run):
    run_dir, _ = tiny_run
    before = figures(run_dir)
    result = run(*TINY, f"--run_dir={run_dir}")
    assert result.returncode == 0 and "epoch" not in result.stderr
    assert figures(run_dir) == before


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_figures(tiny_run, tmp_path):
    run_dir = tmp_path / "killed"
    arguments = (*TINY, f"--run_dir={run_dir}", "--checkpoint_every=1")
    for pattern in ("seed0/generalist-*/*", "*/checkpoints/*", "random-*/*"):
        process = processes.start("trainers.specialists", *arguments)
        deadline = time.monotonic() + processes.PATIENCE
        while not has(run_dir, pattern) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.random())
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (run_dir / "metrics.json").exists()
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert figures(run_dir) == figures(tiny_run[0])


def has(folder, pattern):
    """Whether a pattern matches in a folder where others come and go."""
    with contextlib.suppress(FileNotFoundError):
        return any(folder.rglob(pattern))
    return False


@pytest.mark.slow
def test_two_processes_give_the_nets_of_one(tiny_run, tmp_path):
    run_dir = tmp_path / "two"
    result = run(*TINY, f"--run_dir={run_dir}", "--processes=2")
    assert result.returncode == 0, result.stderr
    assert "epoch" not in result.stderr  # one bar counts nets
    alone = figures(tiny_run[0])["table"]["systems"]
    for name, system in figures(run_dir)["table"]["systems"].items():
        accuracy = alone[name]["accuracy"]["mean"]
        # Sums in another order may move cases on the border of two classes.
        assert system["accuracy"]["mean"] == pytest.approx(accuracy, abs=0.02)


@pytest.mark.slow
def test_other_flags_are_refused_and_nothing_changes(tiny_run):
    run_dir, _ = tiny_run
    before = figures(run_dir)
    result = run(*TINY, f"--run_dir={run_dir}", "--units=17")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "--units=16 before and --units=17 now" in result.stderr
    assert figures(run_dir) == before


@pytest.mark.slow
def test_all_experiments_of_the_same_run(tiny_run, tmp_path):
    """Nets that are there are not trained again; a section each."""
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run[0], run_dir)
    result = run(*TINY, f"--run_dir={run_dir}", "--experiment=all")
    assert result.returncode == 0, result.stderr
    assert "seed0 specialists-4x10" not in result.stderr
    found = figures(run_dir)
    assert list(found) == list(EXPERIMENTS)
    assert found["table"] == figures(tiny_run[0])["table"]
    report = (run_dir / "report.md").read_text()
    places = [report.index(f"## {e.title}") for e in EXPERIMENTS.values()]
    assert places == sorted(places)
    assert "nan" not in report
    # The teacher is the ensemble of the table, on the same cases.
    of_table = found["table"]["systems"]["specialists, top 1"]["accuracy"]
    assert found["distilled"]["teacher"]["accuracy"] == of_table


@pytest.mark.slow
def test_help_teaches():
    result = run("--help")
    for words in (
        "--dataset=omniglot",
        "nets that are trained in parallel",
        "Killed at any moment",
        "training FLOPs, examples seen",
        "classes of each specialist",
    ):
        assert words in result.stdout


@pytest.mark.slow
def test_bad_flags_are_usage_errors(tmp_path):
    run_dir = tmp_path / "run"
    for flag, message in (
        ("--size=30", "--size must be less than half the number of classes"),
        ("--few=0.6", "flag --few=0.6"),
        ("--dataset=nothing_of_tfds", "--dataset must"),
    ):
        result = run("--tiny", f"--run_dir={run_dir}", flag)
        assert result.returncode == 1 and "Traceback" not in result.stderr
        assert message in " ".join(result.stderr.split())
        assert not run_dir.exists()


def values(**given):
    """What absl's flag values are, of a tiny run."""
    return types.SimpleNamespace(
        **{
            "dataset": "glyphs",
            "experiment": ["table"],
            "tiny": True,
            "seeds": 1,
            "checkpoint_every": 5,
            "processes": 1,
            "data_dir": None,
            "manual_dir": None,
            **dict.fromkeys(describe(Settings)),
            **given,
        }
    )


@pytest.fixture
def drawn(monkeypatch):
    """Draws no glyphs; all that is asked for."""
    asked = []

    def load(**options):
        asked.append(options)
        return runs.data()

    monkeypatch.setattr(main.datasets.glyphs, "load", load)
    return asked


SMALL = {"specialists": 3, "size": 4, "batch_size": 16}


@pytest.mark.parametrize(
    "given, message",
    (
        ({"data_dir": "/data"}, "--data_dir must be left out.*=/data"),
        ({"manual_dir": "/data"}, "--manual_dir must be left out.*=/data"),
        ({"size": 6}, "--size must be less than half.*--size=6"),
        ({"specialists": 7}, "--specialists must be at most half.*ists=7"),
        ({"batch_size": 25}, "--batch_size must be at most .* 24. .*=25"),
        ({"train_cases": 100}, "--train_cases must be at least.*_cases=100"),
        (
            {
                "experiment": ["table", "soft_targets"],
                "few": 0.03,
                "batch_size": 4,
            },
            "--few must leave.*--few=0.03",
        ),
        (
            {"experiment": ["all"], "few": 0.03, "batch_size": 4},
            "--few must leave.*--few=0.03",
        ),
        (
            {"dataset": "omniglot", "train_cases": 9},
            "--train_cases must be left out with --dataset=omniglot.*=9",
        ),
        (
            {"dataset": "omniglot", "manual_dir": "/data"},
            "--manual_dir must be left out with --dataset=omniglot.*=/data",
        ),
        (
            {"dataset": "cifar100", "classes": 9},
            "--classes must be left out with --dataset=cifar100.*=9",
        ),
        (
            {"dataset": "nobodys_images", "data_dir": "/nowhere"},
            "--dataset must be.*--dataset=nobodys_images",
        ),
    ),
)
def test_bad_values(tmp_path, drawn, given, message):
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        main._open_run(values(run_dir=str(run_dir), **{**SMALL, **given}))
    assert not run_dir.exists()


def test_more_classes_than_there_are(tmp_path):
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError, match=r"classes.*Received: .*classes=99999"):
        main._open_run(values(run_dir=str(run_dir), classes=99_999))
    assert not run_dir.exists()


def test_what_is_drawn(tmp_path, drawn):
    opened = main._open_run(values(run_dir=str(tmp_path / "run"), **SMALL))
    assert drawn == [
        {"classes": 60, "train": 4000, "held_out": 266, "test": 400}
    ]
    assert opened.settings.units == 16 and opened.settings.size == 4
    assert (opened.seeds, opened.processes) == (1, 1)
    assert "--size=4\n" in (tmp_path / "run" / "flags.txt").read_text()


def test_a_data_set_of_tfds_has_the_settings_of_omniglot(tmp_path, monkeypatch):
    asked = []

    def load(name, **options):
        asked.append((name, options))
        return runs.data()

    monkeypatch.setattr(main.datasets.tfds_images, "load", load)
    given = values(
        run_dir=str(tmp_path / "run"),
        dataset="cifar100",
        tiny=False,
        data_dir="/data",
        **SMALL,
    )
    settings = main._open_run(given).settings
    assert asked == [
        ("cifar100", {"size": 28, "data_dir": "/data", "manual_dir": None})
    ]
    assert settings.dataset == "cifar100"
    assert settings.units == DEFAULTS["omniglot"].units

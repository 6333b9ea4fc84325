"""trainers.mnist as its users run it."""

import contextlib
import functools
import json
import os
import pathlib
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
from trainers.core.settings import describe
from trainers.data import digits
from trainers.mnist import __main__ as mnist
from trainers.mnist.settings import Settings

ROOT = pathlib.Path(__file__).resolve().parents[3]
TINY = ("--dataset=digits", "--tiny", "--seeds=2")


run = functools.partial(processes.run, "trainers.mnist")


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny run"
    command = [sys.executable, "-m", "trainers.mnist", *TINY]
    result = subprocess.run(
        [*command, f"--run_dir={run_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return run_dir, result.stdout


def figures(run_dir):
    """What a run must give again: all but its times."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    [table] = metrics["experiments"].values()
    for arm in table["arms"].values():
        del arm["seconds_per_epoch"]
    return table


@pytest.mark.slow
def test_run_directory(tiny_run):
    run_dir, output = tiny_run
    assert sorted(os.listdir(run_dir)) == [
        "errors.png",
        "export",
        "flags.txt",
        "learning_curves.png",
        "metrics.json",
        "report.html",
        "report.md",
        "seed0",
        "seed1",
    ]
    for name in ("report.html", "metrics.json", "export"):
        assert str(run_dir / name) in output
    metrics = json.loads((run_dir / "metrics.json").read_text())
    metrics = metrics["experiments"]["table"]
    assert metrics["dataset"] == "digits"
    for arm in metrics["arms"].values():
        assert len(arm["test_errors"]) == 2
        assert set(arm) >= {
            "units",
            "parameters",
            "mean",
            "ci95",
            "seconds_per_epoch",
            "agreement",
            "fidelity_kl",
            "nll",
            "ece",
        }
        assert f"{arm['mean']:.1f}" in output


@pytest.mark.slow
def test_the_exported_student_makes_the_errors_of_the_report(tiny_run):
    run_dir, _ = tiny_run
    data = digits.load()
    serve = tf.saved_model.load(str(run_dir / "export"))
    signature = serve.signatures["serving_default"]
    [name] = signature.structured_input_signature[1]
    inputs = data.inputs(data.eval_images)
    names = signature(**{name: inputs})["class_name"].numpy().astype(int)
    distilled = figures(run_dir)["arms"]["distilled"]
    errors = (names != data.eval_labels).sum()
    assert errors == distilled["test_errors"][0]


@pytest.mark.slow
def test_run_again_it_trains_nothing_and_says_the_same(tiny_run):
    run_dir, _ = tiny_run
    before = figures(run_dir)
    result = run(*TINY, f"--run_dir={run_dir}")
    assert result.returncode == 0 and "epoch" not in result.stderr
    assert figures(run_dir) == before


@pytest.mark.slow
def test_what_has_changed_since_is_a_usage_error(tiny_run, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run[0], run_dir)
    exported = (run_dir / "export" / "saved_model.pb").read_bytes()
    for name, said in (
        ("metrics.json", "delete"),
        ("seed0/student-*/result/eval_logits.npy", "eval_logits.npy: its"),
        # Its logits are there, but an untrained net must not be exported.
        ("seed0/distilled-*/result/*.h5", "without them"),
    ):
        [path] = run_dir.glob(name)
        content = path.read_bytes()
        path.unlink()
        if not name.endswith("h5"):
            other = bytes([content[-9] ^ 1])
            path.write_bytes(content[:-9] + other + content[-8:])
        refused = run(*TINY, f"--run_dir={run_dir}")
        assert refused.returncode == 1 and said in refused.stderr
        assert "Traceback" not in refused.stderr
        assert str(path.parent) in refused.stderr
        path.write_bytes(content)
    assert (run_dir / "export" / "saved_model.pb").read_bytes() == exported


def found(folder, pattern):
    """Whether a pattern matches in a folder where others come and go."""
    with contextlib.suppress(FileNotFoundError):
        return any(folder.rglob(pattern))
    return False


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_figures(tiny_run, tmp_path):
    run_dir = tmp_path / "killed"
    arguments = (*TINY, f"--run_dir={run_dir}", "--checkpoint_every=1")
    for marks in ("checkpoints/epoch*", "student-*/result", "seed1/*"):
        process = processes.start("trainers.mnist", *arguments)
        deadline = time.monotonic() + processes.PATIENCE
        while not found(run_dir, marks) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (run_dir / "metrics.json").exists()
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert figures(run_dir) == figures(tiny_run[0])


@pytest.mark.slow
def test_other_flags_are_refused_and_nothing_changes(tiny_run):
    run_dir, _ = tiny_run
    before = figures(run_dir)
    result = run(*TINY, f"--run_dir={run_dir}", "--temperature=3")
    assert result.returncode == 1
    assert "--temperature=4.0 before and --temperature=3.0 now" in result.stderr
    assert figures(run_dir) == before


@pytest.mark.slow
def test_held_out_cases_replace_the_test_set(tmp_path):
    result = run(
        "--dataset=digits",
        "--tiny",
        "--held_out=100",
        f"--run_dir={tmp_path / 'run'}",
    )
    assert result.returncode == 0, result.stderr
    metrics = figures(tmp_path / "run")
    assert metrics["evaluated_on"] == "held-out" and metrics["cases"] == 100
    text = (tmp_path / "run" / "report.md").read_text()
    assert "the test set was not looked at" in text


@pytest.mark.slow
def test_published_teachers_need_no_weights(tiny_run, tmp_path):
    run_dir, _ = tiny_run
    published = tmp_path / "published"
    shutil.copytree(
        run_dir, published, ignore=shutil.ignore_patterns("*.h5", "student-*")
    )
    arguments = (*TINY, f"--teachers_from={published}")
    result = run(*arguments, f"--run_dir={tmp_path / 'again'}")
    assert result.returncode == 0, result.stderr
    assert figures(tmp_path / "again") == figures(run_dir)
    assert not list((tmp_path / "again" / "seed0").glob("teacher*"))

    for more, message in (
        ("--seeds=3", "without that of seed 2"),
        ("--jitter=2", "--jitter=1.0 before and --jitter=2.0 now"),
        (f"--teachers_from={tmp_path}", "--teachers_from must be a run"),
    ):
        refused = run(*arguments, f"--run_dir={tmp_path / 'new'}", more)
        assert refused.returncode == 1 and message in refused.stderr
        assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_bad_flags_are_flag_errors(tmp_path):
    run_dir = tmp_path / "run"
    result = run(f"--run_dir={run_dir}", "--dataset=digits", "--temperature=0")
    assert result.returncode == 1
    assert "flag --temperature=0" in result.stderr
    assert not run_dir.exists()


def values(**given):
    """What absl's flag values are, of a tiny run."""
    return types.SimpleNamespace(
        **{
            "dataset": "digits",
            "experiment": ["table"],
            "tiny": True,
            "held_out": 0,
            "seeds": 1,
            "data_dir": None,
            "manual_dir": None,
            "teachers_from": None,
            "label_shares": ["3", "10"],
            **dict.fromkeys(describe(Settings)),
            **given,
        }
    )


@pytest.mark.parametrize(
    "given, message",
    (
        ({"data_dir": "/data"}, "--data_dir must be left out.*=/data"),
        ({"manual_dir": "/data"}, "--manual_dir must be left out.*=/data"),
        ({"batch_size": 899}, "--batch_size must be at most .* 898.*=899"),
        ({"experiment": ["choice"]}, "Settings must be chosen on.*held_out=0"),
        (
            {"experiment": ["table", "convolutional_choice"]},
            "Settings must be chosen on.*held_out=0",
        ),
        ({"label_shares": ["3", "ten"]}, "--label_shares must .*=3,ten"),
        ({"label_shares": ["0"]}, "--label_shares must .*=0"),
        ({"label_shares": ["101"]}, "--label_shares must .*=101"),
        ({"label_shares": ["nan"]}, "--label_shares must .*=nan"),
        ({"label_shares": []}, "--label_shares must .*="),
        (
            {"batch_size": 300, "held_out": 600},
            "--batch_size must be at most .* 298.*=300",
        ),
    ),
)
def test_bad_values(tmp_path, given, message):
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        mnist._open_run(values(run_dir=str(run_dir), **given))
    assert not run_dir.exists()


def test_shares_are_fractions_in_order():
    assert mnist._label_shares(["10", "3", "10.0"]) == (0.03, 0.1)


@pytest.mark.slow
def test_help_teaches(tmp_path):
    result = run("--help")
    for words in (
        "--dataset=digits",
        "dropout",
        "Killed at any moment",
        "T, of",
        "nets that are trained in parallel",
        "trainers.core.local_workers",
        "TF_CONFIG",
    ):
        assert words in result.stdout


@pytest.mark.slow
def test_another_experiment_of_the_same_run(tiny_run, tmp_path):
    """It finds the teachers, and the report gets a section more."""
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run[0], run_dir)
    arguments = ("--experiment=only_7_8", *TINY, f"--run_dir={run_dir}")
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "teacher" not in result.stderr and "distilled" in result.stderr
    text = (run_dir / "metrics.json").read_text()
    experiments = json.loads(text)["experiments"]
    assert list(experiments) == ["table", "only_7_8"]
    figures = experiments["only_7_8"]
    labels = digits.load().eval_labels
    assert figures["omitted_cases"] == (~np.isin(labels, (7, 8))).sum()
    assert len(figures["ways"]["oracle"]["errors"]["test_errors"]) == 2
    report = (run_dir / "report.md").read_text()
    assert report.index("## The paper's table") < report.index("## Only 7")
    again = run(*arguments)
    assert again.returncode == 0 and "epoch" not in again.stderr
    assert (run_dir / "metrics.json").read_text() == text

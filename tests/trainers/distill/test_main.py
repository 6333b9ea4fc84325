"""trainers.distill as its users run it."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import processes

run = functools.partial(processes.run, "trainers.distill")

DATA = "--data=sklearn:iris"
NETS = ("--teacher=mlp:32", "--student=mlp:4")
QUICK = (DATA, "--tiny", "--seeds=1", "--batch_size=16")


def metrics_of(run_dir):
    return json.loads((run_dir / "metrics.json").read_text())["experiments"]


def without_times(figures):
    """Figures, without those that are another one each time."""
    if isinstance(figures, list):
        return [without_times(each) for each in figures]
    if not isinstance(figures, dict):
        return figures
    times = ("seconds", "speed", "forms", "machine")
    return {k: without_times(v) for k, v in figures.items() if k not in times}


@pytest.mark.slow
def test_what_a_run_leaves(tmp_path):
    run_dir = tmp_path / "a run"
    result = run(*QUICK, *NETS, "--int8", f"--run_dir={run_dir}")
    assert result.returncode == 0, result.stderr
    assert set(os.listdir(run_dir)) >= {
        "export",
        "flags.txt",
        "metrics.json",
        "report.html",
        "report.md",
        "seed0",
        "soft_targets",
        "student.keras",
        "student.tflite",
        "student_int8.tflite",
    }
    # By which a run is told from one on other cases.
    assert "\n--data_digest=" in (run_dir / "flags.txt").read_text()
    found = metrics_of(run_dir)
    assert list(found) == [
        "comparison",
        "classes",
        "calibration",
        "costs",
        "differences",
        "choice",
    ]
    # 150 cases: a fifth for the test, a tenth of the others held out.
    assert found["comparison"]["cases"] == 30
    assert found["comparison"]["train_cases"] == 108
    # The files that are left are the distilled student.
    student = keras.saving.load_model(run_dir / "student.keras")
    served = tf.saved_model.load(str(run_dir / "export"))
    x = np.random.default_rng(0).uniform(0, 8, (7, 4)).astype(np.float32)
    logits = served.signatures["serving_default"](x=tf.constant(x))["logits"]
    np.testing.assert_allclose(logits, student(x), atol=1e-5)
    # The store is the teacher's word on the training cases.
    assert len(kdtf.SoftTargets(run_dir / "soft_targets")) == 108


@pytest.mark.slow
def test_killed_runs_end_as_others_do(tmp_path):
    flags = (
        *QUICK,
        *NETS,
        "--epochs=6",
        "--teacher_epochs=4",
        "--checkpoint_every=1",
        "--augment=noise",
        "--views=2",
        "--experiment=comparison",
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(*flags, f"--run_dir={whole}").returncode == 0
    command = [
        sys.executable,
        "-m",
        "trainers.distill",
        *flags,
        f"--run_dir={killed}",
    ]
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(
            command,
            cwd=processes.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(5, 15))
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = run(*flags, f"--run_dir={killed}")
    assert result.returncode == 0, result.stderr
    assert without_times(metrics_of(killed)) == without_times(metrics_of(whole))


@pytest.mark.slow
def test_replicas_train_what_one_device_would(tmp_path):
    # Each replica drops out for itself.
    flags = (*QUICK, *NETS, "--augment=noise", "--views=2", "--dropout=0")
    found = []
    for more in ((), ("--strategy=mirrored", "--cpu_replicas=2")):
        run_dir = tmp_path / f"run{len(found)}"
        result = run(
            *flags, *more, "--experiment=comparison", f"--run_dir={run_dir}"
        )
        assert result.returncode == 0, result.stderr
        found.append(metrics_of(run_dir)["comparison"]["nets"])
    alone, mirrored = found
    for name in ("plain", "distilled"):
        [one], [other] = alone[name]["curves"], mirrored[name]["curves"]
        assert [p["loss"] for p in other] == pytest.approx(
            [p["loss"] for p in one], rel=1e-4
        )
        assert mirrored[name]["nll"] == pytest.approx(
            alone[name]["nll"], rel=1e-4
        )


def table_teacher(outputs=3, features=4, activation=None):
    return keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dense(outputs, activation),
        ]
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Models that cannot be used with iris, and one that can."""
    folder = tmp_path_factory.mktemp("models")
    models = {
        "good": table_teacher(),
        "classes": table_teacher(outputs=5),
        "input": table_teacher(features=6),
    }
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    x = np.ones((30, 4), np.float32)
    y = np.arange(30) % 3
    bad = x.copy()
    bad[4, 2] = np.nan
    np.savez(folder / "from_one.npz", x=x, y=y + 1)
    np.savez(folder / "nan.npz", x=bad, y=y)
    (folder / "one_class" / "cats").mkdir(parents=True)
    return folder


MISTAKES = {
    "epochs of a trained teacher": (
        ["--teacher_epochs=9"],
        "--teacher_epochs must be left out but for a net by name as --teacher",
    ),
    "a rate of a trained teacher": (
        ["--teacher_learning_rate=0.1"],
        "--teacher_learning_rate must be left out but for a net by name",
    ),
    "dropout of a trained teacher": (
        ["--dropout=0.5"],
        "--dropout must be left out but for an mlp or a cnn as --teacher",
    ),
    "L2 of an architecture": (
        ["--l2=0.1", "--student=mobilenet_v2"],
        "--l2 must be left out but for an mlp or a cnn as --teacher or",
    ),
    "no such teacher": (
        ["--teacher={}/missing.keras"],
        "--teacher must be a file or folder that exists",
    ),
    "other classes": (
        ["--teacher={}/classes.keras"],
        "--teacher must have an output for each of the 3 classes",
    ),
    "other inputs": (
        ["--teacher={}/input.keras"],
        "--teacher must take the cases of --data, (4,)",
    ),
    "a student of other classes": (
        ["--student={}/classes.keras"],
        "--student must have an output for each of the 3 classes",
    ),
    "a larger student": (
        ["--student=mlp:512"],
        "--student must be no larger than the teacher",
    ),
    "labels from 1": (
        ["--data=npz:{}/from_one.npz"],
        "--data must have labels from 0 to classes - 1",
    ),
    "nan": (["--data=npz:{}/nan.npz"], "--data must"),
    "one class": (["--data=folder:{}/one_class"], "--data must"),
    "too many classes": (["--classes=9"], "--classes must be at most 3"),
    "no teacher": (["--teacher="], "--teacher must be given"),
    "weights of a name": (
        ["--keep_weights"],
        "--keep_weights must be left out but for a .keras file",
    ),
    "mixup of stored targets": (
        ["--augment=mixup:0.2"],
        "--views must be 0 with --augment=mixup",
    ),
    "an unknown layer": (
        ["--hint=dense:other", "--views=0"],
        "--student, --teacher and --hint must be what a kdtf.Distiller takes",
    ),
    "labels that nobody may use": (
        ["--teacher=mlp:32", "--unlabelled"],
        "--teacher must be a trained model where training cases have no",
    ),
    "pixels of a table": (
        ["--student_preprocess=unit"],
        "--student_preprocess must be left out",
    ),
    "no temperature": (["--temperatures=0"], "--temperatures must be numbers"),
    "an unknown net": (
        ["--student=resnet51"],
        "--student must be a .keras file, mlp:256,256",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_before_any_work(tmp_path, files, mistake):
    """In one line, without a trace, and the directory stays anybody's."""
    given, said = MISTAKES[mistake]
    given = [flag.replace("{}", str(files)) for flag in given]
    run_dir = tmp_path / "run"
    result = run(
        *QUICK,
        f"--teacher={files}/good.keras",
        "--student=mlp:4",
        *given,
        f"--run_dir={run_dir}",
    )
    assert result.returncode == 1
    assert said in result.stderr and "Received: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not run_dir.exists()


def test_help_teaches():
    result = run("--help")
    for word in ("report.html", "--soft_targets", "tfds:", "mobilenet_v3"):
        assert word in result.stdout


@pytest.mark.slow
def test_a_table_of_numbers_and_categories(tmp_path):
    """A student of a table can be served: what makes x of a row is left."""
    rng = np.random.default_rng(0)
    kinds = np.array(["red", "green", "blue"])[np.arange(90) % 3]
    sizes = rng.normal(size=90) + np.arange(90) % 3
    rows = [f"{k},{s:.4f},{k[0]}" for k, s in zip(kinds, sizes, strict=True)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["colour,size,label", *rows]) + "\n")
    run_dir = tmp_path / "run"
    result = run(
        f"--data=csv:{path}",
        *NETS,
        "--tiny",
        "--seeds=1",
        "--batch_size=16",
        "--experiment=costs",
        f"--run_dir={run_dir}",
    )
    assert result.returncode == 0, result.stderr
    encoding = keras.saving.load_model(run_dir / "encoding.keras")
    described = json.loads((run_dir / "columns.json").read_text())
    given = {
        described["inputs"]["colour"]: tf.constant([["red"], ["pink"]]),
        described["inputs"]["size"]: tf.constant([[0.5], [1.5]]),
    }
    x = encoding(given).numpy()
    assert described["features"] == [
        "colour=?",
        "colour=blue",
        "colour=green",
        "colour=red",
        "size",
    ]
    np.testing.assert_allclose(x, [[0, 0, 0, 1, 0.5], [1, 0, 0, 0, 1.5]])
    student = keras.saving.load_model(run_dir / "student.keras")
    assert student(x).shape == (2, 3)

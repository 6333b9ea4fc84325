"""trainers.speech as its users run it."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

from trainers import speech
from trainers.speech_experiments import EXPERIMENTS, ensemble, recipes

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEXICON = "no N OW\nsix S IH K S\ntwo T UW\n"


def command(*arguments):
    return [sys.executable, "-m", "trainers.speech", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Flags of a tiny run of three words."""
    path = tmp_path_factory.mktemp("lexicon") / "words.txt"
    path.write_text(LEXICON)
    return (
        "--dataset=synthetic",
        "--tiny",
        "--seeds=1",
        "--sweep_epochs=0",
        "--batch_size=32",
        f"--lexicon={path}",
    )


@pytest.fixture(scope="module")
def tiny_run(tiny, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny run"
    result = run(*tiny, f"--run_dir={run_dir}")
    assert result.returncode == 0, result.stderr
    return run_dir, result.stdout


def figures(run_dir):
    """What a run must give again: all of it."""
    return json.loads((run_dir / "metrics.json").read_text())["experiments"]


@pytest.mark.slow
def test_run_directory(tiny_run):
    run_dir, output = tiny_run
    assert sorted(os.listdir(run_dir)) == [
        "export",
        "flags.txt",
        "metrics.json",
        "recordings",
        "report.html",
        "report.md",
        "speech_curves.png",
        "speech_gains.png",
        "speech_utterance.png",
        "speech_words.png",
    ]
    for name in ("report.html", "metrics.json", "export"):
        assert str(run_dir / name) in output
    found = figures(run_dir)["ensemble"]
    assert list(found["systems"]) == list(ensemble.SYSTEMS)
    assert len(found["systems"]["baseline"]["accuracy"]["each"]) == 2
    for system in found["systems"].values():
        assert f"{system['accuracy']['mean']:.2%}" in output
        # Test clips: three words of two voices, five times.
        assert system["words"]["isolated, clean"]["said"] == 30
    assert found["data"]["recordings"]["test"]["clips"] == 30
    assert found["data"]["recordings"]["test"]["skipped"] == {}
    store = run_dir / "recordings" / "ensemble" / "soft_targets-T2"
    assert (store / "manifest.json").exists()


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_figures(
    tiny, tiny_run, tmp_path
):
    run_dir = tmp_path / "killed"
    arguments = (*tiny, f"--run_dir={run_dir}", "--checkpoint_every=1")
    for marks in ("checkpoints/epoch*", "distilled-*"):
        process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while not list(run_dir.rglob(marks)) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (run_dir / "metrics.json").exists()
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert figures(run_dir) == figures(tiny_run[0])


@pytest.mark.slow
def test_few_clips_in_the_same_run(tiny, tiny_run):
    """It trains nothing again, and the report gets a section more."""
    run_dir, _ = tiny_run
    before = figures(run_dir)
    arguments = (*tiny, f"--run_dir={run_dir}", "--experiment=small_data")
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "member" not in result.stderr
    found = figures(run_dir)
    assert found["ensemble"] == before["ensemble"]
    arms = found["small_data"]["arms"]
    kinds = [(a["share"], a["kind"]) for a in arms]
    assert kinds == [(s, k) for s in recipes.SHARES for k in ("hard", "soft")]
    for arm in arms:
        # Early stopping is for labels alone.
        assert (arm["stopped_at"] == [None]) == (arm["kind"] == "soft")
        assert len(arm["curves"][0]) == recipes.SMALL_DATA_EPOCHS
    assert set(found["small_data"]["recovered"]) == {"0.03", "0.1", "0.3"}
    report = (run_dir / "report.md").read_text()
    titles = [f"## {e.title}" for e in EXPERIMENTS.values()]
    assert report.index(titles[0]) < report.index(titles[1])


@pytest.mark.slow
def test_every_speaker_is_left_out_in_turn(tiny, tmp_path):
    run_dir = tmp_path / "run"
    result = run(*tiny, f"--run_dir={run_dir}", "--split=speakers")
    assert result.returncode == 0, result.stderr
    found = figures(run_dir)["ensemble"]
    assert list(found["folds"]) == ["speaker:voice0", "speaker:voice1"]
    # Of each voice three words, eight times.
    said = {
        name: fold["systems"]["ensemble"]["words"]["isolated, clean"]["said"]
        for name, fold in found["folds"].items()
    }
    assert set(said.values()) == {24}
    pooled = found["systems"]["ensemble"]["words"]["isolated, clean"]
    assert pooled["said"] == 48


def test_help_teaches():
    result = run("--help")
    for words in (
        "--dataset=synthetic",
        "soft 1, hard 0.5",
        "Killed at any moment",
        "width of each of them",
    ):
        assert words in result.stdout


def test_bad_flags_are_flag_errors(tmp_path):
    run_dir = tmp_path / "run"
    result = run(
        "--dataset=synthetic",
        "--tiny",
        f"--run_dir={run_dir}",
        "--split=speaker:nobody",
    )
    assert result.returncode == 1
    assert "--split must be recordings, speakers or one of" in result.stderr
    assert "speaker:voice0" in result.stderr
    assert "Received: --split=speaker:nobody" in result.stderr
    assert not run_dir.exists()


def values(**given):
    """What absl's flag values are, of a tiny run."""
    return types.SimpleNamespace(
        **{
            "dataset": "synthetic",
            "tiny": True,
            "split": "recordings",
            "lexicon": None,
            "snrs": ["20"],
            "data_dir": None,
            "manual_dir": None,
            **dict.fromkeys(recipes.HELP),
            **given,
        }
    )


@pytest.mark.parametrize(
    "given, message",
    (
        (
            {"components": 3},
            "--components must be a power of two.*components=3",
        ),
        ({"snrs": ["10", "loud"]}, "--snrs must be numbers.*--snrs=10,loud"),
        ({"lexicon": "/nowhere"}, "--lexicon must be a text file.*/nowhere"),
    ),
)
def test_bad_values(given, message):
    with pytest.raises(ValueError, match=message):
        bad = values(**given)
        speech._load(bad, speech._settings(bad))


def test_a_lexicon_that_lacks_a_word(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_text(LEXICON)
    load = speech.synthetic_speech.load
    monkeypatch.setattr(
        speech.synthetic_speech,
        "load",
        lambda lexicon, **options: load(None, **options),
    )
    given = values(lexicon=str(path))
    with pytest.raises(ValueError, match=r"--lexicon must have every.*eight"):
        speech._load(given, speech._settings(given))


def test_members_of_a_split():
    def members(**given):
        return speech._settings(values(tiny=False, **given)).members

    assert members() == 10
    assert members(split="speakers") == members(split="speaker:a") == 5
    assert members(split="speakers", members=3) == 3


def test_settings_are_flags():
    others = {"dataset", "split", "lexicon", "snrs"}
    names = {f.name for f in dataclasses.fields(recipes.Settings)}
    assert names == set(recipes.HELP) | others

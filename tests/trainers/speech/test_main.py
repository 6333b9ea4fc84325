"""trainers.speech as its users run it."""

import dataclasses
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests import processes, tfds_words
from trainers.core.settings import describe
from trainers.speech import __main__ as speech
from trainers.speech import corpora, ensemble, recipes
from trainers.speech.experiments import EXPERIMENTS
from trainers.speech.settings import DEFAULTS, SMALL_DATA_EPOCHS, Settings

ROOT = pathlib.Path(__file__).resolve().parents[3]
LEXICON = "no N OW\nsix S IH K S\ntwo T UW\n"
# Where only the data matter.
SHORT = ("--members=1", "--member_epochs=1", "--student_epochs=1")


run = functools.partial(processes.run, "trainers.speech")


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
    command = [sys.executable, "-m", "trainers.speech", *tiny]
    result = subprocess.run(
        [*command, f"--run_dir={run_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
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
        "speech_penalties.png",
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


def holds(run_dir, marks):
    """Whether a directory that a run is writing has such a file."""
    try:
        return any(run_dir.rglob(marks))
    except FileNotFoundError:  # a folder was removed during the search
        return False


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_figures(
    tiny, tiny_run, tmp_path
):
    run_dir = tmp_path / "killed"
    arguments = (*tiny, f"--run_dir={run_dir}", "--checkpoint_every=1")
    for marks in ("checkpoints/epoch*", "distilled-*"):
        process = processes.start("trainers.speech", *arguments)
        deadline = time.monotonic() + processes.PATIENCE
        while not holds(run_dir, marks) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
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
        assert len(arm["curves"][0]) == SMALL_DATA_EPOCHS
    assert set(found["small_data"]["recovered"]) == {"0.03", "0.1", "0.3"}
    report = (run_dir / "report.md").read_text()
    titles = [f"## {e.title}" for e in EXPERIMENTS.values()]
    assert report.index(titles[0]) < report.index(titles[1])


@pytest.mark.slow
def test_every_speaker_is_left_out_in_turn(tiny, tmp_path):
    run_dir = tmp_path / "run"
    result = run(*tiny, *SHORT, f"--run_dir={run_dir}", "--split=speakers")
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


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Folder of a data set of TFDS: three words, noise, and bad clips."""
    silent, short = (
        {"audio": np.zeros(samples, np.int16), "label": "six"}
        for samples in (8000, 400)
    )
    return tfds_words.write(
        tmp_path_factory.mktemp("tfds"),
        {
            "train": [*tfds_words.spoken(range(5)), tfds_words.noise(), silent],
            "validation": [*tfds_words.spoken([5, 6]), tfds_words.noise()],
            "test": [*tfds_words.spoken([7]), short, silent, short],
        },
    )


@pytest.mark.slow
def test_a_data_set_of_tfds(tiny, commands, tmp_path):
    """Its own splits; what is left out and skipped is in the report."""
    run_dir = tmp_path / "run"
    flags = [f for f in tiny if not f.startswith("--dataset")]
    result = run(
        *flags,
        *SHORT,
        f"--dataset={tfds_words.NAME}",
        f"--data_dir={commands}",
        f"--run_dir={run_dir}",
    )
    assert result.returncode == 0, result.stderr
    assert "--split=given" in (run_dir / "flags.txt").read_text()
    found = figures(run_dir)["ensemble"]
    assert found["dataset"] == tfds_words.NAME
    assert found["sample_rate"] == 8000
    data = found["data"]["given"]
    # Three words of two voices, five times; twice; once.
    assert [data[p]["clips"] for p in corpora.PARTS] == [30, 12, 6]
    assert data["training"]["skipped"] == {"silent": 1}
    assert data["held_out"]["skipped"] == {}
    skipped = {"fewer frames than states": 2, "silent": 1}
    assert data["test"]["skipped"] == skipped
    assert found["left_out"] == {tfds_words.NOISE: 2}
    report = (run_dir / "report.md").read_text()
    assert "skipped: 2 fewer frames than states, 1 silent" in report
    said = f"lexicon lacks their words: 2 clips ({tfds_words.NOISE} 2)"
    assert said in report


@pytest.mark.slow
def test_a_data_set_without_a_usable_clip_is_a_flag_error(tiny, tmp_path):
    """No traceback, and the run directory can be used again."""
    short = [
        {"audio": np.arange(400, dtype=np.int16), "label": label}
        for label in ("no", "six")
        for _ in range(7)
    ]
    data_dir = tfds_words.write(tmp_path / "tfds", {"train": short})
    run_dir = tmp_path / "run"
    flags = [f for f in tiny if not f.startswith("--dataset")]
    result = run(
        *flags,
        f"--dataset={tfds_words.NAME}",
        f"--data_dir={data_dir}",
        f"--run_dir={run_dir}",
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "--dataset, --lexicon and --split must leave" in result.stderr
    assert f"--dataset={tfds_words.NAME}, of 8000 hertz" in result.stderr
    # 400 samples are 50 ms: windows of 25 ms start at 0, 10 and 20 ms; "no" is
    # two phones of three states.
    expected = "training clips of split=recordings: .*3 frames, fewer than .* 6"
    assert re.search(expected, " ".join(result.stderr.split()))
    assert not list(run_dir.iterdir())


@pytest.mark.slow
def test_help_teaches():
    result = run("--help")
    for words in (
        "--dataset=synthetic",
        "soft 1, hard 0.5",
        "nets that are trained in parallel",
        "Killed at any moment",
        "width of each of them",
    ):
        assert words in result.stdout


@pytest.mark.slow
def test_bad_flags_are_flag_errors(tmp_path):
    run_dir = tmp_path / "run"
    result = run(
        "--dataset=synthetic",
        "--tiny",
        f"--run_dir={run_dir}",
        "--split=speaker:nobody",
    )
    assert result.returncode == 1
    assert "--split must be speakers or one of recordings" in result.stderr
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
            "sample_rate": None,
            "lexicon": None,
            "snrs": ["20"],
            "data_dir": None,
            "manual_dir": None,
            **dict.fromkeys(describe(Settings)),
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
        (
            {"sample_rate": 16000},
            "--sample_rate must be left out with --dataset=synthetic.*=16000",
        ),
        (
            {"data_dir": "/data"},
            "--data_dir must be left out with --dataset=synthetic.*=/data",
        ),
        (
            {"manual_dir": "/data"},
            "--manual_dir must be left out with --dataset=synthetic.*=/data",
        ),
        (
            {"dataset": "spoken_digit", "sample_rate": 8000},
            "--sample_rate must be left out with --dataset=spoken_digit",
        ),
        (
            {"dataset": "spoken_digit", "voices": 3},
            "--voices must be left out with --dataset=spoken_digit.*=3",
        ),
        (
            {"dataset": "speech_commands", "recordings": 9},
            "--recordings must be left out with --dataset=speech_commands.*=9",
        ),
        (
            {"dataset": "nobodys_words", "data_dir": "/nowhere"},
            "--dataset must be.*--dataset=nobodys_words",
        ),
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


def test_a_lexicon_with_a_phone_that_nobody_can_speak(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("zap Z AA P\nhum HH AH QQ\n")
    given = values(lexicon=str(path))
    with pytest.raises(ValueError, match=r"--lexicon must.*words\.txt.*QQ"):
        speech._load(given, speech._settings(given))


def test_words_that_nobody_says_have_no_states(tiny, commands):
    flags = values(dataset=tfds_words.NAME, data_dir=commands)
    _, lexicon = speech._load(flags, speech._settings(flags))
    assert lexicon.words == ("two", "six")
    # Of T UW, S IH K S and silence.
    assert lexicon.num_states == 3 * (2 + 4 + 1)


def test_clips_that_cannot_be_aligned(tmp_path, monkeypatch):
    """A usage error that names the flags, and the directory is free again."""
    load = speech.synthetic_speech.load

    def silent(lexicon, **options):
        clips = load(lexicon, **options)
        waveforms = [0 * waveform for waveform in clips.waveforms]
        return dataclasses.replace(clips, waveforms=waveforms)

    monkeypatch.setattr(speech.synthetic_speech, "load", silent)
    path = tmp_path / "words.txt"
    path.write_text(LEXICON)
    given = values(
        lexicon=str(path),
        run_dir=str(tmp_path / "run"),
        seeds=1,
        checkpoint_every=1,
        processes=1,
    )
    with pytest.raises(
        ValueError, match=r"--dataset, --lexicon and --split must leave.*silent"
    ):
        speech._run(given)
    assert not list((tmp_path / "run").iterdir())


def test_an_edited_lexicon_makes_another_run(tmp_path, monkeypatch):
    """Trained nets give states the numbers of the former one."""
    monkeypatch.setattr(speech, "_align", lambda run: None)
    path = tmp_path / "words.txt"
    given = values(
        lexicon=str(path),
        run_dir=str(tmp_path / "run"),
        seeds=1,
        checkpoint_every=1,
        processes=1,
    )
    for text in (LEXICON, LEXICON + "# a remark\n"):
        path.write_text(text)
        speech._run(given)
    path.write_text("".join(reversed(LEXICON.splitlines(keepends=True))))
    with pytest.raises(ValueError, match=r"--lexicon=.*words\.txt"):
        speech._run(given)


def of_tfds(data_dir, **given):
    """`Settings` with their split, and clips, of a data set of TFDS."""
    flags = values(
        **{"dataset": tfds_words.NAME, "data_dir": data_dir, **given}
    )
    settings = speech._settings(flags)
    clips, _ = speech._load(flags, settings)
    return speech._with_split(settings, clips), clips


def test_settings_of_a_data_set_of_tfds(tiny, commands):
    path = tiny[-1].removeprefix("--lexicon=")
    settings, clips = of_tfds(commands, split=None, tiny=False, lexicon=path)
    defaults = DEFAULTS["spoken_digit"]
    assert settings == dataclasses.replace(
        defaults,
        dataset=tfds_words.NAME,
        split="given",
        lexicon=path,
        snrs="20",
        hearings=1,  # of which spoken_digit has more
    )
    assert defaults.hearings > 1
    assert clips.words == ("two", "no", "six")
    # Without a lexicon, words are the ten digits: "two" and "six".
    _, clips = of_tfds(commands)
    assert clips.words == ("two", "six")
    # "no", recordings 0 to 7 of two voices, and noise.
    assert clips.left_out == {"no": 16, tfds_words.NOISE: 2}


def test_the_default_split_of_clips_without_one_of_their_own():
    flags = values(split=None)
    settings = speech._settings(flags)
    clips, _ = speech._load(flags, settings)
    assert speech._with_split(settings, clips).split == "recordings"


@pytest.mark.parametrize(
    "examples, split, message",
    (
        (
            {"train": tfds_words.spoken([0]), "test": [tfds_words.noise()]},
            None,
            "--split must.*--split=given:.*leaves 4 and 0",
        ),
        (
            {"train": [tfds_words.noise()], "test": tfds_words.spoken([0])},
            None,
            "--split must.*--split=given:.*leaves 0 and 4",
        ),
        (
            {"train": tfds_words.spoken([0])},
            "given",
            "--split must be speakers or one of recordings, speaker:all, "
            ".*--split=given",
        ),
        (
            {"train": tfds_words.spoken([0])},
            "speakers",
            "--split must.*--split=speakers:.*leaves 0 and 4",
        ),
    ),
)
def test_empty_splits(examples, split, message, tmp_path):
    """Two digits of two voices; TFDS tells no speakers."""
    with pytest.raises(ValueError, match=message):
        of_tfds(tfds_words.write(tmp_path, examples), split=split)


@pytest.mark.parametrize(
    "others, message",
    (
        (
            {"audio": tfds.features.Audio(dtype=np.int16)},
            "--sample_rate must be given.*--dataset=tiny_words",
        ),
        (
            {"label": tfds.features.ClassLabel(names=["two", "no", "up"])},
            "--lexicon must have at least two words of --dataset=tiny_words",
        ),
    ),
)
def test_data_sets_that_do_not_fit(others, message, tmp_path):
    examples = [{"audio": np.zeros(8, np.int16), "label": "two"}]
    with pytest.raises(ValueError, match=message):
        of_tfds(tfds_words.write(tmp_path, {"train": examples}, **others))


def test_members_of_a_split():
    def members(**given):
        return speech._settings(values(tiny=False, **given)).members

    assert members() == 10
    assert members(split="speakers") == members(split="speaker:a") == 5
    assert members(split="speakers", members=3) == 3


def test_settings_are_flags():
    others = {"dataset", "split", "lexicon", "snrs"}
    names = {f.name for f in dataclasses.fields(Settings)}
    assert names == set(describe(Settings)) | others

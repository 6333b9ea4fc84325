"""trainers.speech.run: what is trained where, and taught what."""

import dataclasses
import pickle
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import reference, speech_corpora
from trainers.core.errors import FlagsError
from trainers.speech import corpora, nets, recipes, run

SETTINGS = speech_corpora.settings(members=2, hearings=1)


@pytest.fixture
def trained(monkeypatch):
    """`(arm, seed, directory, options)` of what would have been trained."""
    calls = []

    def train(arm, corpus, seed, directory, **options):
        calls.append((arm, seed, directory, options))
        return speech_corpora.untrained(arm, corpus, seed, directory)

    monkeypatch.setattr(nets, "train", train)
    return calls


def make_fold(directory):
    return run.Fold(SETTINGS, speech_corpora.corpus(), directory, 3)


def of_the_net(arm, seed, x):
    """Logits of the net that `trained` gives."""
    corpus = speech_corpora.corpus()
    return np.array(speech_corpora.untrained(arm, corpus, seed, None).net(x))


def batch_of(lesson, *, seed=0, count=16):
    """The first batch of what an arm learns from."""
    batches, _ = lesson
    found = batches(batch_size=count, seed=seed, first_step=0, last_step=1)
    return next(found.as_numpy_iterator())


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A fold's directory with soft targets, and a batch that has them."""
    directory = tmp_path_factory.mktemp("fold")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets, "train", speech_corpora.untrained)
        lesson = make_fold(directory).lesson(recipes.distilled(SETTINGS), 0)
    return directory, lesson


@pytest.mark.slow
def test_soft_targets_of_the_ensemble_are_stored(stored):
    """The mean of the members' softmaxes at T, as logits at T."""
    directory, (_, teacher) = stored
    assert teacher is None
    x, y = batch_of(stored[1])
    member, temperature = recipes.member(SETTINGS), SETTINGS.temperature
    shares = [
        reference.softmax(of_the_net(member, i, x), temperature)
        for i in range(2)
    ]
    expected = temperature * np.log(np.mean(shares, 0))
    np.testing.assert_allclose(
        y["teacher_logits"],
        expected - expected.max(-1, keepdims=True),
        atol=5e-3,
    )
    [store] = {p.parent.name for p in directory.rglob("manifest.json")}
    assert store == "soft_targets-T2"


def test_each_temperature_has_a_store(tmp_path, trained, monkeypatch):
    written = []

    def write(self, path, teacher, temperature):
        written.append((path.name, temperature, len(teacher.members)))

    monkeypatch.setattr(run.views.Views, "write", write)
    monkeypatch.setattr(
        run.kdtf, "SoftTargets", lambda path: types.SimpleNamespace(verify=list)
    )
    fold = make_fold(tmp_path)
    for temperature in (2.0, 5.0):
        arm = dataclasses.replace(
            recipes.distilled(SETTINGS), temperature=temperature
        )
        fold.lesson(arm, 0)
    assert written == [("soft_targets-T2", 2, 2), ("soft_targets-T5", 5, 2)]
    # Members were trained once.
    assert [(a.name, seed) for a, seed, *_ in trained] == [
        ("member", 0),
        ("member", 1),
    ]


@pytest.mark.parametrize("name", ("manifest.json", "*.tfrecord"))
def test_damaged_soft_targets_are_named(tmp_path, trained, stored, name):
    fold = make_fold(tmp_path / "fold")
    shutil.copytree(stored[0], fold.directory)
    store = fold.directory / "ensemble" / "soft_targets-T2"
    path = next(store.glob(name))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        FlagsError, match=rf"delete (it|{store}) .*Received: {store}"
    ):
        fold.lesson(recipes.distilled(SETTINGS), 0)


def test_few_clips_are_taught_by_the_net_that_saw_all(tmp_path, trained):
    fold = make_fold(tmp_path)
    lesson = fold.lesson(recipes.few_clips(SETTINGS, 0.1, soft=True), 3)
    x, states = batch_of(lesson, seed=3)
    assert states.dtype == np.int32
    [(arm, seed, *_)] = trained
    assert seed == 3
    assert arm == recipes.few_clips(SETTINGS, 1.0, soft=False)
    np.testing.assert_array_equal(lesson[1](x), of_the_net(arm, 3, x))


def test_an_ensemble_may_teach_few_clips(tmp_path, trained):
    fold = make_fold(tmp_path)
    arm = dataclasses.replace(
        recipes.few_clips(SETTINGS, 0.1, soft=True), taught_by="ensemble"
    )
    assert fold.lesson(arm, 0)[1] is fold.ensemble
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize("make", (recipes.member, recipes.control))
def test_members_and_control_learn_from_clips_as_recorded(tmp_path, make):
    fold = make_fold(tmp_path)
    lesson = fold.lesson(make(SETTINGS), 0)
    assert lesson[1] is None
    frames = fold.corpus.training
    windows = frames.windows(tf.range(len(frames))).numpy()
    known = {
        (w.tobytes(), s) for w, s in zip(windows, frames.states, strict=True)
    }
    x, states = batch_of(lesson)
    assert {(w.tobytes(), s) for w, s in zip(x, states, strict=True)} <= known


def test_a_fold_leaves_its_nets_behind(tmp_path, trained):
    fold = make_fold(tmp_path)
    assert len(fold.ensemble.members) == 2 and "ensemble" in vars(fold)
    copied = pickle.loads(pickle.dumps(fold))
    assert not {"members", "ensemble"} & set(vars(copied))
    assert copied.settings == fold.settings
    assert (copied.directory, copied.checkpoint_every) == (tmp_path, 3)


def test_an_arm_is_trained_in_its_directory(tmp_path, trained):
    fold = make_fold(tmp_path)
    arm = recipes.few_clips(SETTINGS, 0.3, soft=False)
    fold.train(arm, 4)
    [(_, seed, directory, options)] = trained
    assert seed == 4 and options["checkpoint_every"] == 3
    assert directory == tmp_path / "seed4" / arm.directory_name()
    assert not fold.is_finished(arm, 4)
    (directory / "result").mkdir(parents=True)
    assert fold.is_finished(arm, 4) and not fold.is_finished(arm, 3)


def make_run(directory, **settings):
    return run.Run(
        dataclasses.replace(SETTINGS, **settings),
        speech_corpora.clips(),
        speech_corpora.lexicon(),
        directory,
        seeds=1,
    )


@pytest.mark.parametrize(
    "split, expected",
    (
        ("recordings", {"recordings": "recordings"}),
        ("speaker:voice1", {"speaker:voice1": "speaker-voice1"}),
        (
            "speakers",
            {
                "speaker:voice0": "speaker-voice0",
                "speaker:voice1": "speaker-voice1",
            },
        ),
    ),
)
def test_a_fold_for_every_speaker(tmp_path, monkeypatch, split, expected):
    def make(clips, log_mels, split, lexicon, *, components):
        assert len(log_mels) == len(clips.waveforms) and components == 8
        return split

    monkeypatch.setattr(corpora, "make", make)
    given = make_run(tmp_path, split=split, components=8)
    found = {fold.corpus: fold.directory for fold in given.folds}
    assert found == {n: tmp_path / path for n, path in expected.items()}


def test_signal_to_noise_ratios(tmp_path):
    assert make_run(tmp_path, snrs="20,-5.5").snrs == [20.0, -5.5]
    assert make_run(tmp_path, snrs="").snrs == []


def test_one_process_trains_nothing_before_it_is_wanted(tmp_path, trained):
    make_run(tmp_path).train_at_once([recipes.member(SETTINGS)])
    assert not trained and not list(tmp_path.iterdir())

"""trainers.mnist.runs: what the experiments of a run share."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest

from tests import reference
from tests.trainers.mnist.test_nets import data
from trainers.core import workers
from trainers.core.errors import FlagsError
from trainers.mnist import nets, recipes, runs, table
from trainers.mnist.settings import DEFAULTS, TINY

pytestmark = pytest.mark.usefixtures("trains_eagerly")
SETTINGS = dataclasses.replace(
    DEFAULTS["digits"],
    **TINY,
    teacher_batch_size=20,
    batch_size=20,
    temperature=3.0,
)


@pytest.fixture
def trained(monkeypatch):
    """The arms that were really trained, in order."""
    names = []
    original = nets._train

    def train(arm, *arguments):
        names.append(arm.name)
        return original(arm, *arguments)

    monkeypatch.setattr(nets, "_train", train)
    return names


def run_in(directory, **options):
    return runs.Run(SETTINGS, data(), directory, seeds=1, **options)


def relative(logits):
    return logits - logits.max(-1, keepdims=True)


@pytest.mark.slow
def test_an_arm_is_trained_once(tmp_path, trained):
    arm = recipes.distilled(SETTINGS)
    first = run_in(tmp_path).student(arm, 0)
    shutil.rmtree(tmp_path / "seed0" / "soft_targets")
    again = run_in(tmp_path).student(arm, 0)  # needs its soft targets no more
    assert trained == ["teacher", "distilled"]
    np.testing.assert_array_equal(first.eval_logits, again.eval_logits)


@pytest.mark.slow
def test_members_as_long_as_teachers_are_teachers(tmp_path, trained):
    run = run_in(tmp_path)
    members = run.members(recipes.ensemble(SETTINGS, "geometric"))
    assert trained == ["teacher"] * SETTINGS.members
    np.testing.assert_array_equal(
        run.teacher(1).eval_logits, members[1].eval_logits
    )
    assert trained == ["teacher"] * SETTINGS.members


@pytest.mark.slow
def test_several_processes_train_the_same_nets(tmp_path, trained):
    arm = recipes.distilled(SETTINGS)
    taught_by_both = dataclasses.replace(
        arm, ensemble=recipes.ensemble(SETTINGS, "geometric")
    )
    hotter = dataclasses.replace(arm, temperature=2 * arm.temperature)
    arms = [arm, hotter, taught_by_both]
    cases = [np.arange(30), np.arange(10, 40)]
    found = {}
    for processes in (2, 1):
        run = runs.Run(
            SETTINGS,
            data(),
            tmp_path / str(processes),
            seeds=2,
            processes=processes,
        )
        with workers.ended():
            found[processes] = [
                *itertools.chain(*run.students(arms, [cases] * len(arms))),
                *run.members(taught_by_both.ensemble),
            ]
        if processes == 2:
            assert trained == []
    assert len(found[1]) == len(found[2]) == 6 + SETTINGS.members
    for ours, theirs in zip(found[2], found[1], strict=True):
        np.testing.assert_allclose(
            ours.eval_logits, theirs.eval_logits, rtol=1e-3, atol=1e-3
        )


@pytest.mark.slow
def test_several_processes_write_each_store_once(tmp_path, monkeypatch):
    asked = []

    def run_here(function, context, jobs, processes):
        asked.append((function.__name__, len(jobs)))
        for job in jobs:
            function(context, *job)

    monkeypatch.setattr(workers, "run", run_here)
    arm = recipes.distilled(SETTINGS)
    hotter = dataclasses.replace(arm, temperature=2 * arm.temperature)
    run = runs.Run(SETTINGS, data(), tmp_path, seeds=2, processes=2)
    for _ in range(2):  # the second time all is there
        run.students([recipes.student(SETTINGS), arm, hotter])
        asked = [each for each in asked if each[1]]
        # The teacher's word is that of all temperatures.
        assert asked == [
            ("_train_teacher", 2),
            ("_store_targets", 2),
            ("_train_student", 6),
        ]


@pytest.mark.slow
@pytest.mark.parametrize("combine", ("arithmetic", "geometric"))
def test_soft_targets_of_an_ensemble(tmp_path, combine):
    run = run_in(tmp_path)
    ensemble = recipes.ensemble(SETTINGS, combine)
    arm = dataclasses.replace(recipes.distilled(SETTINGS), ensemble=ensemble)
    stored = run.soft_targets(arm, 0)[0]
    images = run.data.inputs(run.data.train_images)
    logits = np.stack(
        [nets.predict(m.net, images) for m in run.members(ensemble)]
    )
    if combine == "geometric":
        expected = logits.mean(0)
    else:
        # The mean of softmax(v / T), as logits at T.
        shares = np.exp(logits.astype(np.float64) / SETTINGS.temperature)
        shares /= shares.sum(-1, keepdims=True)
        expected = SETTINGS.temperature * np.log(shares.mean(0))
    np.testing.assert_allclose(stored, relative(expected), atol=2e-3)


@pytest.mark.slow
def test_what_teaches_an_arm_on_the_evaluation_cases(tmp_path):
    run = run_in(tmp_path)
    arm = recipes.distilled(SETTINGS)
    np.testing.assert_array_equal(
        run.teacher_logits(arm), [run.teacher(0).eval_logits]
    )
    ensemble = recipes.ensemble(SETTINGS, "arithmetic")
    taught = dataclasses.replace(arm, ensemble=ensemble)
    [combined] = run.teacher_logits(taught)
    shares = [
        reference.softmax(member.eval_logits)
        for member in run.members(ensemble)
    ]
    np.testing.assert_allclose(
        reference.softmax(combined), np.mean(shares, 0), rtol=1e-5
    )


@pytest.mark.slow
def test_teachers_of_another_run(tmp_path, trained):
    arm = recipes.distilled(SETTINGS)
    first = run_in(tmp_path / "first").student(arm, 0)
    published = tmp_path / "published"
    shutil.copytree(
        tmp_path / "first", published, ignore=shutil.ignore_patterns("*.h5")
    )
    before = sorted(published.rglob("*"))
    del trained[:]
    run = run_in(tmp_path / "second", teachers_from=published)
    np.testing.assert_array_equal(
        run.student(arm, 0).eval_logits, first.eval_logits
    )
    assert trained == ["distilled"]
    # Without weights it says no more, and there is no teacher of seed 1.
    with pytest.raises(ValueError, match="weights of its teachers"):
        run.soft_targets(recipes.moved(arm, SETTINGS, epochs=4), 0)
    with pytest.raises(ValueError, match="every teacher that is wanted"):
        run.teacher(1)
    assert sorted(published.rglob("*")) == before


@pytest.mark.slow
def test_a_net_without_its_weights_teaches_nobody(tmp_path):
    arm = recipes.distilled(SETTINGS)
    first = run_in(tmp_path).student(arm, 0)
    for weights in tmp_path.rglob("*.h5"):
        weights.unlink()
    run = run_in(tmp_path)
    # Its logits are there, and the store of what it teaches.
    np.testing.assert_array_equal(
        run.student(arm, 0).eval_logits, first.eval_logits
    )
    assert run.soft_targets(arm, 0).shape == (1, 40, 3)
    with pytest.raises(FlagsError, match=r"delete .*teacher.*result to train"):
        run.soft_targets(recipes.moved(arm, SETTINGS, epochs=4), 0)
    with pytest.raises(FlagsError, match=r"delete .*distilled.*result to"):
        table.measure(run)
    assert not (tmp_path / "export").exists()


def test_damaged_soft_targets_are_named(tmp_path):
    run = run_in(tmp_path)
    arm = recipes.distilled(SETTINGS)
    whole = run.soft_targets(arm, 0)
    [store] = tmp_path.rglob("soft_targets")
    [shard] = store.glob("*.tfrecord")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(
        FlagsError, match=rf"delete (it|{store}) .*Received: {store}"
    ):
        run.soft_targets(arm, 0)
    shutil.rmtree(store)
    np.testing.assert_array_equal(run.soft_targets(arm, 0), whole)


@pytest.mark.slow
def test_what_another_runs_teacher_says_anew_is_stored_here(tmp_path):
    first = run_in(tmp_path / "first")
    first.teacher(0)
    before = sorted((tmp_path / "first").rglob("*"))
    arm = recipes.moved(recipes.distilled(SETTINGS), SETTINGS, epochs=4)
    run = run_in(tmp_path / "second", teachers_from=tmp_path / "first")
    assert run.soft_targets(arm, 0).shape == (2, 40, 3)
    assert sorted((tmp_path / "first").rglob("*")) == before


def test_teachers_of_another_rate_have_other_soft_targets():
    names = set()
    for rate in (0.001, 0.002):
        settings = dataclasses.replace(
            SETTINGS, convolutional_learning_rate=rate
        )
        arm = recipes.warped_distilled(settings)
        names.add(runs._store_name(arm, 0, settings))
    assert len(names) == 2


def test_a_transfer_set_of_some_cases(tmp_path, monkeypatch):
    seen = {}

    def train(arm, transfer, seed, directory, *, soft_targets, **_):
        seen.update(transfer=transfer, soft_targets=soft_targets)

    run = run_in(tmp_path)
    arm = recipes.distilled(SETTINGS)
    whole = run.soft_targets(arm, 0)
    monkeypatch.setattr(nets, "train", train)
    cases = np.array([3, 5, 8])
    run.student(dataclasses.replace(arm, transfer="some"), 0, cases=cases)
    np.testing.assert_array_equal(seen["soft_targets"], whole[:, cases])
    for name in ("train_images", "train_labels"):
        np.testing.assert_array_equal(
            getattr(seen["transfer"], name), getattr(run.data, name)[cases]
        )

"""trainers.specialists.groups: sets, specialists and corrections."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests import specialist_runs as runs
from trainers.core.errors import FlagsError
from trainers.specialists import groups, recipes


@pytest.fixture
def calls(monkeypatch):
    return runs.without_training(monkeypatch)


@pytest.fixture
def run(tmp_path, calls):
    return runs.make_run(tmp_path)


@pytest.fixture
def group(run):
    found, _ = groups.of_confused(run, 0)
    return found


def test_covering():
    members = [
        types.SimpleNamespace(classes=own) for own in ([0, 1, 2], [2, 4])
    ]
    generalist = types.SimpleNamespace(output_shape=(None, 6))
    found = groups.Group(generalist, members, {})
    assert found.covering.tolist() == [1, 1, 2, 0, 1, 0]


def test_specialists_are_of_the_sets_and_each_in_its_folder(run, calls):
    group, covered = groups.of_confused(run, 0)
    sets, share = groups.confused_sets(run, 0, group.generalist)
    assert share == covered and 0 < covered < 1
    of_specialists = calls[1:]  # the first call trains the generalist
    assert len(group.members) == len(of_specialists) == 3
    for i, (member, own) in enumerate(zip(group.members, sets, strict=True)):
        arm, directory, _ = of_specialists[i]
        assert member.classes == list(arm.classes) == own.tolist()
        assert directory.parent == run.directory / "seed0/specialists-3x4"
        assert directory.name == f"{i:03d}-{arm.directory_name()}"


def test_every_specialist_draws_cases_of_its_own(run, calls):
    for seed in (0, 1):
        groups.of_random(run, seed)
    seeds = [
        batches.keywords["seed"] for arm, _, batches in calls if arm.classes
    ]
    assert len(set(seeds)) == len(seeds) == 6


def test_other_numbers_and_sizes_are_other_groups(run, calls):
    group, _ = groups.of_confused(run, 0, count=2, size=5)
    assert [len(m.classes) for m in group.members] == [5, 5]
    assert calls[-1][1].parent.name == "specialists-2x5"
    names = {path.name for path in (run.directory / "seed0").glob("*.json")}
    assert names == {"sets-2x5.json"}


def test_sets_are_found_once(run, monkeypatch):
    generalist = run.generalist(0)
    sets, covered = groups.confused_sets(run, 0, generalist)
    monkeypatch.setattr(groups.specialists, "confusable_classes", None)
    again, same = groups.confused_sets(run, 0, generalist)
    np.testing.assert_array_equal(sets, again)
    assert covered == same
    path = run.directory / "seed0/sets-3x4.json"
    path.write_text(path.read_text().replace("covered", "hidden"))
    with pytest.raises(FlagsError, match=rf"delete {path} "):
        groups.confused_sets(run, 0, generalist)


def test_predictions_that_make_no_sets_name_the_flag(tmp_path, calls):
    run = runs.make_run(tmp_path, predictions=1)
    with pytest.raises(FlagsError, match="--predictions, --specialists and"):
        groups.of_confused(run, 0)


def test_random_sets(run):
    sets = [
        [member.classes for member in groups.of_random(run, seed).members]
        for seed in (0, 0, 1)
    ]
    assert sets[0] == sets[1] != sets[2]
    for own in sets[0]:
        assert own == sorted(set(own)) and len(own) == 4


def test_corrections(run, group):
    """The four shifts: by formula, and by a search over held-out cases."""
    images, labels = run.held_out
    called = runs.logits_of(group.generalist, images).argmax(-1)
    for i, member in enumerate(group.members):
        share = np.isin(run.data.train_labels, member.classes).mean()
        drawn = run.settings.own_share
        shifts = {name: of[i] for name, of in group.shifts.items()}
        np.testing.assert_allclose(
            [shifts["exact"], shifts["paper"], shifts["none"]],
            [
                np.log(drawn * (1 - share) / ((1 - drawn) * share)),
                np.log(drawn / share),
                0,
            ],
        )
        rows = np.isin(called, member.classes)
        own = np.isin(labels[rows], member.classes)
        if not 0 < own.sum() < len(own):
            assert shifts["fitted"] == 0
            continue
        logits = runs.logits_of(member.net, images[rows])

        def loss(shift, logits=logits, own=own):
            """Of own classes or not, all that depends on the shift."""
            dustbin = runs.softmax(
                logits + np.append(np.zeros(logits.shape[1] - 1), shift)
            )[:, -1]
            return -np.log(np.where(own, 1 - dustbin, dustbin)).mean()

        nearby = [loss(shifts["fitted"] + d) for d in (-0.01, 0, 0.01)]
        assert np.argmin(nearby) == 1


def test_an_ensemble_has_the_correction_it_is_asked_for(group):
    for correction in groups.CORRECTIONS:
        ensemble = group.ensemble(top=2, correction=correction)
        assert ensemble.top == 2
        assert [
            member.dustbin_correction for member in ensemble.specialists
        ] == group.shifts[correction]


def test_logits_and_called_classes(run, group):
    images, _ = run.test
    group.correct("exact")
    member, shift = group.members[0], group.shifts["exact"][0]
    expected = runs.logits_of(member.net, images)
    expected[:, -1] += shift
    found = groups.logits(run, member, images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(
        groups.called_classes(run, group.generalist, images),
        runs.logits_of(group.generalist, images).argmax(-1),
    )
    assert groups.logits(run, member, images[:0]).shape == (0, 5)


def batches_of(run, arm, first_step, targets=None, x=None):
    data = run.data
    pixels = data.train_images.reshape(240, -1)
    given = pixels if x is None else (pixels, x)
    return groups._batches(
        first_step,
        run=run,
        data=(given, data.train_labels),
        arm=arm,
        seed=5,
        targets=targets,
    )


def test_batches_of_a_specialist(run):
    """Three quarters own cases; the same from any step on; noisy pixels."""
    arm = recipes.specialist(run, [0, 3, 7], 0.1)
    whole = list(batches_of(run, arm, 0).take(5).as_numpy_iterator())
    part = list(batches_of(run, arm, 3).take(2).as_numpy_iterator())
    for (x, y), (same, labels) in zip(whole[3:], part, strict=True):
        np.testing.assert_array_equal(x, same)
        np.testing.assert_array_equal(y, labels)
    for x, y in whole:
        assert x.shape == (16, 64) and x.dtype == np.float32
        assert (y == 3).sum() == 4 and set(y) <= {0, 1, 2, 3}
    # Uniform noise of deviation 0.1 is at most 0.1 sqrt(3).
    pixels = run.data.train_images.reshape(240, -1) / 255
    x, _ = whole[0]
    off = np.abs(x[:, None] - pixels[None]).max(-1).min(-1)
    assert (off > 0).all() and (off < 0.1 * np.sqrt(3) + 1e-6).all()


def test_batches_with_targets(run):
    arm = recipes.few_specialist(run, [0, 3, 7], full_softmax=True, by="")
    number = np.arange(240, dtype=np.float32)

    def targets(number, y, own):
        return {"number": number, "y": y, "own": tf.size(own)}

    [(_, y)] = batches_of(run, arm, 0, targets, number).take(1)
    np.testing.assert_array_equal(
        run.data.train_labels[y["number"].numpy().astype(int)], y["y"]
    )
    assert y["own"] == 3

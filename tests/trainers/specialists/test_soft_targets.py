"""trainers.specialists.soft_targets."""

import numpy as np
import pytest
import tensorflow as tf

from tests import specialist_runs as runs
from trainers.specialists import groups, soft_targets


def test_labels_of_own_classes_and_soft_targets_of_others():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]])
    found = soft_targets._soft_on_others(
        tf.constant(np.log(p), tf.float16),
        tf.constant([2, 1, 0], tf.int64),
        tf.constant([0, 2], tf.int64),
    )
    assert found.dtype == tf.float32
    expected = [[0, 0, 1], p[1], [1, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.fixture
def calls(monkeypatch):
    return runs.without_training(monkeypatch)


@pytest.fixture
def run(tmp_path, calls):
    return runs.make_run(tmp_path)


def test_specialists_learn_from_few_cases_that_the_generalist_has_not_seen(
    run, calls
):
    few = {image.tobytes() for image in run.data.train_images[:60]}
    for name in soft_targets.ARMS:
        soft_targets._group(run, 0, name)
    arms = [arm for arm, *_ in calls]
    assert [arm.cases for arm in arms if not arm.classes] == ["many"] * 3
    folders = {path.parent.name: batches for _, path, batches in calls}
    assert set(folders) == {
        "seed0",
        "few-dustbin",
        "few-full_softmax",
        "few-full_softmax-soft_targets",
    }
    generalist = run.generalist(0, "many")
    p = runs.softmax(runs.logits_of(generalist, run.data.train_images[:60]))
    for folder, batches in folders.items():
        if folder == "seed0":
            continue
        arm = next(
            a for a, path, _ in calls[::-1] if path.parent.name == folder
        )
        x, y = next(iter(batches(0)))
        # The noise is at most 0.1 sqrt(3); two images differ by more.
        images = run.data.train_images.reshape(240, -1) / 255
        rows = np.abs(x[:, None] - images[None]).max(-1).argmin(-1)
        assert {run.data.train_images[r].tobytes() for r in rows} <= few
        labels = run.data.train_labels[rows]
        if folder == "few-dustbin":
            places = {c: i for i, c in enumerate(arm.classes)}
            assert list(y) == [places.get(c, 4) for c in labels]
        elif folder == "few-full_softmax":
            np.testing.assert_array_equal(y, labels)
        else:
            own = np.isin(labels, arm.classes)
            assert own.sum() == 8
            expected = np.where(own[:, None], np.eye(12)[labels], p[rows])
            np.testing.assert_allclose(y, expected, atol=2e-3)


def test_accuracy_among_own_classes(run):
    group = soft_targets._group(run, 0, "dustbin")
    found = soft_targets._own_accuracy(run, group)
    data = run.data
    for figure, images, labels in zip(
        found,
        (data.train_images[:60], data.test_images),
        (data.train_labels[:60], data.test_labels),
        strict=True,
    ):
        right = []
        for member in group.members:
            rows = np.isin(labels, member.classes)
            logits = runs.logits_of(member.net, images[rows])[:, :-1]
            chosen = np.array(member.classes)[logits.argmax(-1)]
            right += list(chosen == labels[rows])
        assert figure == pytest.approx(np.mean(right))


def test_all_arms_share_their_sets(run):
    sets = [
        [m.classes for m in soft_targets._group(run, 0, name).members]
        for name in soft_targets.ARMS
    ]
    assert sets[0] == sets[1] == sets[2]
    generalist = run.generalist(0, "many")
    of_many, _ = groups.confused_sets(run, 0, generalist, cases="many")
    assert sets[0] == [s.tolist() for s in of_many]


def test_measure_and_report(run):
    found = soft_targets.measure(run)
    assert (found["cases"], found["cases_a_class"]) == (60, 5)
    assert list(found["arms"]) == list(soft_targets.ARMS)
    right = np.mean(
        runs.logits_of(run.generalist(0, "many"), run.test[0]).argmax(-1)
        == run.test[1]
    )
    assert found["generalist"]["accuracy"]["mean"] == pytest.approx(right)
    rows = soft_targets.table(found).rows
    assert [row[0] for row in rows][1:] == list(soft_targets.ARMS)
    assert rows[0][3] == f"{right:.2%}"
    first, *compared, gaps = soft_targets.findings(found)
    assert first.startswith("Specialists learn from 60 cases, 5 a class")
    assert len(compared) == 2 and "against dustbin:" in compared[0]
    arm = found["arms"]["dustbin"]
    gap = arm["own_train"]["mean"] - arm["own_test"]["mean"]
    assert f"dustbin {gap:.1%}" in gaps
    [plot] = soft_targets.details(found, None)
    assert plot.png

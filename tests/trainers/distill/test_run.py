"""trainers.distill.run: what nets learn from, and which one is chosen."""

import dataclasses
import pathlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests.distill_cases import arrays, data_of
from trainers.distill import augmentation, checks, nets, run, teachers
from trainers.distill.cases import Split
from trainers.distill.settings import DEFAULTS
from trainers.distill.sources import epochs

pytestmark = pytest.mark.usefixtures("trains_eagerly")
QUICK = dataclasses.replace(DEFAULTS, dataset="made", epochs=2, batch_size=16)


def teacher_file(folder, outputs=3, activation=None):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(16, "relu", name="hidden"),
            keras.layers.Dense(outputs, activation),
        ]
    )
    path = folder / "teacher.keras"
    model.save(path)
    return model, teachers.Source((str(path),), digests=("abc",))


def run_of(folder, *, data=None, settings=None, source=None, **others):
    data = data or data_of("table")
    if source is None and "stored" not in others:
        _, source = teacher_file(folder)
    return run.Run(
        dataclasses.replace(QUICK, **(settings or {})),
        data,
        folder / "run",
        seeds=1,
        student=run.Student("mlp:4"),
        teacher_source=source,
        labelled=bool((data.train.labels >= 0).any()),
        **others,
    )


def shown(opened, name):
    """What an arm learns from: a list of views, each of x and y."""
    views = opened._joined(opened.arm(name))
    return [view.tensors for view in views]


def test_the_distilled_student_gets_labels_and_the_teachers_logits(tmp_path):
    model, source = teacher_file(tmp_path)
    opened = run_of(tmp_path, source=source)
    [(x, y)] = shown(opened, "distilled")
    right_x, labels = arrays(opened.data.train)
    np.testing.assert_array_equal(x, right_x)
    np.testing.assert_array_equal(y["labels"], labels)
    z = np.asarray(model(x))
    np.testing.assert_allclose(
        y["teacher_logits"], z - z.max(-1, keepdims=True), atol=0.01
    )
    # The plain student gets the same cases, and no word of the teacher.
    [(x, y)] = shown(opened, "plain")
    np.testing.assert_array_equal(x, right_x)
    np.testing.assert_array_equal(y, labels)


@pytest.mark.slow
def test_both_students_see_the_same_views(tmp_path):
    opened = run_of(tmp_path, settings={"views": 2}, augment=("noise:0.5",))
    distilled, plain = (shown(opened, n) for n in ("distilled", "plain"))
    x, _ = arrays(opened.data.train)
    assert len(plain) == 2
    for (one, _), (other, _) in zip(distilled, plain, strict=True):
        np.testing.assert_array_equal(one, other)
        spread = (one - x).numpy().std(0) / x.std(0)
        np.testing.assert_allclose(spread, 0.5, rtol=0.3)
    assert np.abs(plain[0][0] - plain[1][0]).max() > 0.1


@pytest.mark.slow
def test_without_labels_the_teachers_word_alone(tmp_path):
    data = data_of("table")
    data = dataclasses.replace(data, train=without_labels(data.train))
    opened = run_of(tmp_path, data=data)
    assert opened.names == ("distilled",)
    arm = opened.arm("distilled")
    assert arm.hard_weight == 0 and arm.soft_weight == 0.9
    [(_, y)] = shown(opened, "distilled")
    assert (y["labels"].numpy() == -1).all()
    assert y["teacher_logits"].shape == (data.train.cases, 3)
    [result] = opened.results("distilled")
    assert np.isfinite(result.eval_logits).all()


@pytest.mark.slow
@pytest.mark.parametrize("views", (0, 1))
def test_the_plain_student_learns_from_labelled_cases_alone(
    tmp_path, views, monkeypatch
):
    """As many updates of full batches; the distilled one sees all cases."""
    data = data_of("table")
    x, labels = arrays(data.train)
    labels = np.where(np.arange(len(labels)) % 3 == 0, labels, -1)
    labels = labels.astype(np.int32)
    train = Split(tf.data.Dataset.from_tensor_slices((x, labels)), labels)
    data = dataclasses.replace(data, train=train)
    opened = run_of(tmp_path, data=data, settings={"views": views})
    known = labels >= 0
    for seen, y in shown(opened, "plain"):
        np.testing.assert_array_equal(seen, x[known])
        np.testing.assert_array_equal(y, labels[known])
    for seen, y in shown(opened, "distilled"):
        np.testing.assert_array_equal(seen, x)
        found = y["labels"] if isinstance(y, dict) else y
        np.testing.assert_array_equal(found, labels)
    taken, batches_of = [], epochs.batches

    def batches(*args, **kwargs):
        taken.append((kwargs["cases"], kwargs["last_step"]))
        return batches_of(*args, **kwargs)

    monkeypatch.setattr(nets.epochs, "batches", batches)
    steps = QUICK.epochs * (len(x) // QUICK.batch_size)
    for name, cases in (("plain", known.sum()), ("distilled", len(x))):
        taken.clear()
        opened.results(name)
        assert taken[-1] == (cases, steps)


def without_labels(split):
    x, _ = arrays(split)
    labels = np.full(len(x), -1, np.int32)
    return Split(tf.data.Dataset.from_tensor_slices((x, labels)), labels)


@pytest.mark.slow
def test_without_any_label_students_are_compared_with_the_teacher(tmp_path):
    data = data_of("table")
    splits = {
        name: without_labels(getattr(data, name))
        for name in ("train", "held_out", "test")
    }
    data = dataclasses.replace(data, **splits, class_names=())
    model, source = teacher_file(tmp_path)
    data = teachers.with_its_classes(data, source)
    assert data.class_names == ("0", "1", "2")
    opened = run_of(tmp_path, data=data, source=source, temperatures=(1.0, 4.0))
    checks.check(opened, larger=False)
    x, _ = arrays(data.held_out)
    choices = np.asarray(model(x)).argmax(-1)
    for candidate in opened.candidates:
        [result] = opened.results_of(opened.distilled(*candidate))
        right = (np.asarray(result.net(x)).argmax(-1) == choices).mean()
        assert opened.held_out(candidate) == [pytest.approx(right)]
    # Who cannot be asked cannot be compared with.
    stored = tmp_path / "stored"
    kdtf.SoftTargets.write(stored, model, arrays(data.train)[0], verbose=0)
    alone = run_of(tmp_path, data=data, stored=stored, temperatures=(1.0, 4.0))
    with pytest.raises(ValueError, match=r"^--temperatures needs held-out"):
        checks.check(alone, larger=False)


def test_yes_or_no_has_two_columns_where_nets_are_compared(tmp_path):
    data = data_of("table", classes=("no", "yes"))
    model, source = teacher_file(tmp_path, 1, "sigmoid")
    opened = run_of(tmp_path, data=data, source=source)
    assert opened.head == "sigmoid" and opened.outputs == 1
    [(_, y)] = shown(opened, "distilled")
    np.testing.assert_array_equal(
        y["labels"], data.train.labels[:, None].astype(np.float32)
    )
    x, _ = arrays(data.test)
    p = np.asarray(model(x))[:, 0].astype(np.float64)
    logits = opened.teacher_logits()
    np.testing.assert_array_equal(logits[:, 0], 0)
    np.testing.assert_allclose(logits[:, 1], np.log(p / (1 - p)), atol=1e-4)
    [result] = opened.results("distilled")
    assert result.eval_logits.shape == (30, 2)


def test_soft_targets_that_are_there_take_the_teachers_place(tmp_path):
    data = data_of("table")
    model, _ = teacher_file(tmp_path)
    stored = tmp_path / "stored"
    x, labels = arrays(data.train)
    kdtf.SoftTargets.write(stored, model, (x, labels), verbose=0)
    opened = run_of(tmp_path, data=data, stored=stored)
    checks.check(opened, larger=False)
    assert opened.teacher is None and opened.teacher_logits() is None
    [result] = opened.results("distilled")
    assert result.eval_logits.shape == (30, 3)
    assert not (opened.directory / "soft_targets").exists()
    fewer = data_of("table", cases=(90, 24, 30))
    with pytest.raises(ValueError, match=r"--soft_targets must be those of"):
        checks.check(run_of(tmp_path, data=fewer, stored=stored), larger=False)


def test_soft_targets_of_other_cases_are_refused_at_once(tmp_path):
    """As many, but in another order; nothing is trained, or to be deleted."""
    data, (model, _) = data_of("table"), teacher_file(tmp_path)
    x, labels = arrays(data.train)
    stored = tmp_path / "stored"
    kdtf.SoftTargets.write(stored, model, (x[::-1], labels), verbose=0)
    opened = run_of(tmp_path, data=data, stored=stored)
    with pytest.raises(ValueError, match=r"^--soft_targets must be th") as e:
        checks.check(opened, larger=False)
    assert str(stored) in str(e.value) and "delete" not in str(e.value)


def test_soft_targets_of_larger_cases_name_the_flags_of_their_size(tmp_path):
    """A teacher's file told the size of images, and is no longer there."""
    data = data_of("images")
    x, _ = arrays(data.train)
    small = np.ascontiguousarray(x[:, ::2, ::2])
    model = keras.Sequential(
        [
            keras.Input(small.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    stored = tmp_path / "stored"
    kdtf.SoftTargets.write(stored, model, small, verbose=0)
    opened = run_of(tmp_path, data=data, stored=stored)
    with pytest.raises(ValueError, match=r"^--soft_targets .*--image_size"):
        checks.check(opened, larger=False)


def test_a_teacher_beside_soft_targets_of_another_head(tmp_path):
    data = data_of("table", classes=("no", "yes"))
    model, source = teacher_file(tmp_path, 2)
    single, _ = teacher_file(tmp_path, 1)
    model.save(source.specs[0])
    stored = tmp_path / "stored"
    x, _ = arrays(data.train)
    kdtf.SoftTargets.write(stored, single, x, head="sigmoid", verbose=0)
    opened = run_of(tmp_path, data=data, source=source, stored=stored)
    with pytest.raises(ValueError, match=r"^--teacher must have the head"):
        checks.check(opened, larger=False)


def test_mixed_cases_have_no_weights(tmp_path):
    data = data_of("table")
    weighted = data.train.dataset.map(lambda x, y: (x, y, 1.0))
    data = dataclasses.replace(data, train=Split(weighted, data.train.labels))
    opened = run_of(
        tmp_path, data=data, settings={"views": 0}, augment=("mixup",)
    )
    with pytest.raises(ValueError, match=r"^--augment must be without mixup"):
        checks.check(opened, larger=False)


def test_sample_weights_reach_the_loss(tmp_path):
    """Of weight 0 all cases: the student stays as it began."""
    data = data_of("table")
    weighted = data.train.dataset.map(lambda x, y: (x, y, 0.0))
    data = dataclasses.replace(data, train=Split(weighted, data.train.labels))
    opened = run_of(tmp_path, data=data)
    [result] = opened.results("distilled")
    for one, two in zip(
        result.net.trainable_weights,
        opened.begun("plain").trainable_weights,
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_stored_soft_targets_tell_temperature_and_head(tmp_path):
    data = data_of("table", classes=("no", "yes"))
    model, _ = teacher_file(tmp_path, 1)
    arrays_of = arrays(data.train)[0]
    stored = tmp_path / "sigmoid"
    kdtf.SoftTargets.write(stored, model, arrays_of, head="sigmoid", verbose=0)
    opened = run_of(tmp_path, data=data, stored=stored)
    checks.check(opened, larger=False)
    assert opened.head == "sigmoid"

    data, (model, _) = data_of("table"), teacher_file(tmp_path)
    stored = tmp_path / "top"
    arrays_of = arrays(data.train)[0]
    kdtf.SoftTargets.write(
        stored, model, arrays_of, top_k=2, temperature=2.0, verbose=0
    )
    opened = run_of(tmp_path, data=data, stored=stored, temperatures=(2.0,))
    checks.check(opened, larger=False)
    [result] = opened.results("distilled")
    assert np.isfinite(result.eval_logits).all()
    other = dataclasses.replace(opened, temperatures=(4.0,))
    with pytest.raises(ValueError, match=r"^--temperatures must be that of"):
        checks.check(other, larger=False)


@pytest.mark.slow
def test_views_that_are_stored_are_taken_as_they_are(tmp_path):
    """However many the flags say; that much the store knows."""
    data, (model, _) = data_of("table"), teacher_file(tmp_path)
    augment = augmentation.of_data(("noise",), data)
    stored = tmp_path / "views"
    kdtf.SoftTargets.write(
        stored,
        model,
        data.train.dataset.batch(32),
        views=3,
        augment=augment,
        verbose=0,
    )
    opened = run_of(tmp_path, data=data, stored=stored, augment=("noise",))
    assert len(shown(opened, "distilled")) == 3


def test_a_teacher_by_name_is_trained_first(tmp_path):
    source = teachers.Source(("mlp:32",))
    settings = {"teacher_epochs": 8, "teacher_learning_rate": 0.03}
    opened = run_of(tmp_path, source=source, settings=settings)
    checks.check(opened, larger=False)
    assert not opened.directory.exists()  # nothing was trained yet
    choices = opened.teacher_logits().argmax(-1)
    assert (choices == opened.labels).mean() > 0.9


@pytest.mark.slow
def test_a_teacher_that_is_asked_about_every_batch(tmp_path, monkeypatch):
    """It sees what the student sees: augmented anew in each epoch."""
    mixed = []

    def seen(x, y, seed, *, classes, alpha):
        mixed.append((classes, alpha))
        is_changed = tf.debugging.assert_equal(x, 7 * tf.ones_like(x))
        with tf.control_dependencies([is_changed]):
            return tf.identity(x), tf.one_hot(y, classes)

    def sevens(names, data):
        assert names == ("noise", "mixup:0.3")
        return lambda x, seed: 7 * tf.ones_like(x)

    monkeypatch.setattr(augmentation, "mixed", seen)
    monkeypatch.setattr(augmentation, "of_data", sevens)
    opened = run_of(
        tmp_path,
        settings={"views": 0},
        augment=("noise", "mixup:0.3"),
        hints=("hidden_0:hidden",),
    )
    checks.check(opened, larger=True)
    [result] = opened.results("distilled")
    assert np.isfinite(result.curve[-1]["loss"])
    assert set(mixed) == {(3, 0.3)}
    assert not (opened.directory / "soft_targets").exists()


def test_the_best_candidate_on_held_out_cases_is_taken(tmp_path, monkeypatch):
    opened = run_of(tmp_path, temperatures=(1.0, 4.0), soft_weights=(0.5, 0.9))
    found = {(1.0, 0.5): 0.7, (1.0, 0.9): 0.8, (4.0, 0.5): 0.9, (4.0, 0.9): 0.6}
    monkeypatch.setattr(
        run.Run, "held_out", lambda self, candidate: [found[candidate]]
    )
    arm = opened.arm("distilled")
    assert (arm.temperature, arm.soft_weight) == (4.0, 0.5)


def test_held_out_accuracy_is_that_of_the_epoch_that_is_taken(tmp_path):
    opened = run_of(tmp_path, early_stopping=True, settings={"epochs": 3})
    [result] = opened.results("distilled")
    right = max(point["held_out_accuracy"] for point in result.curve)
    assert opened.held_out((4.0, 0.9)) == [right]
    logits = nets.predict(result.net, opened.data.held_out)
    labels = opened.data.held_out.labels
    assert (logits.argmax(-1) == labels).mean() == pytest.approx(right)


def test_the_best_epoch_counts_and_not_the_last(tmp_path, monkeypatch):
    opened = run_of(tmp_path, early_stopping=True)
    curve = [{"held_out_accuracy": share} for share in (0.9, 0.6)]
    found = [
        types.SimpleNamespace(best=curve[0], curve=curve),
        types.SimpleNamespace(best=None, curve=curve),
    ]
    monkeypatch.setattr(run.Run, "results_of", lambda self, arm: found)
    assert opened.held_out((4.0, 0.9)) == [0.9, 0.6]


def test_an_ensembles_arithmetic_mean_is_stored_at_one_temperature(tmp_path):
    (tmp_path / "other").mkdir()
    paths = [
        teacher_file(folder)[1].specs[0]
        for folder in (tmp_path, tmp_path / "other")
    ]
    source = teachers.Source(tuple(paths), digests=("a", "b"))
    several = run_of(tmp_path, source=source, temperatures=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"--temperatures must be a single"):
        checks.check(several, larger=False)
    one = run_of(tmp_path, source=source, temperatures=(2.0,))
    [(_, y)] = shown(one, "distilled")
    assert "teacher_temperature=2.0" in y


@pytest.mark.parametrize("larger", (False, True))
def test_a_student_larger_than_its_teacher_is_asked_for(tmp_path, larger):
    opened = dataclasses.replace(
        run_of(tmp_path), student=run.Student("mlp:64")
    )
    if larger:
        checks.check(opened, larger=True)
        return
    with pytest.raises(ValueError, match=r"--student must be no larger"):
        checks.check(opened, larger=False)


def test_what_tells_an_arm_changes_with_what_it_learns_from(tmp_path):
    opened = run_of(tmp_path)
    names = {opened.arm(name).directory_name() for name in opened.names}
    others = [
        dataclasses.replace(opened, temperatures=(2.0,)),
        dataclasses.replace(opened, augment=("noise",)),
        dataclasses.replace(
            opened,
            teacher_source=dataclasses.replace(
                opened.teacher_source, digests=("def",)
            ),
        ),
    ]
    names |= {other.arm("distilled").directory_name() for other in others}
    assert len(names) == 5
    assert isinstance(opened.directory, pathlib.Path)

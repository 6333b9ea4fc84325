"""What is seen in arrays, and in batches under Distiller(check_inputs=True)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from kdtf._math import heads
from kdtf._training import input_checks
from tests import nets


def fit(y, v, *, run_eagerly):
    """Trains on three batches of four rows under `check_inputs`."""
    distiller = kdtf.Distiller(
        nets.linear(), temperature=2.0, check_inputs=True
    )
    distiller.compile(
        keras.optimizers.SGD(0.1), run_eagerly=run_eagerly, jit_compile=True
    )
    assert distiller.jit_compile is False
    y = {"labels": y, "teacher_logits": v}
    dataset = tf.data.Dataset.from_tensor_slices((nets.inputs(), y))
    return distiller.fit(dataset.batch(4), epochs=2, verbose=0)


@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("label", (4, 99))
def test_labels_out_of_range(run_eagerly, label):
    y = nets.labels()
    y[6] = label
    expected = rf"`labels`.*from 0 to 3, or negative.*{label} in batch 1, row 2"
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=expected
    ):
        fit(y, np.zeros((12, 4), np.float32), run_eagerly=run_eagerly)


@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("value", (np.nan, np.inf))
def test_teacher_logits_that_are_not_finite(run_eagerly, value):
    v = np.zeros((12, 4), np.float32)
    v[11, 1] = value
    expected = r"`teacher_logits` must be finite.*in batch 2, row 3"
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=expected
    ):
        fit(nets.labels(), v, run_eagerly=run_eagerly)


def test_dense_labels_that_are_no_distribution():
    y = np.eye(4, dtype=np.float32)[nets.labels()]
    y[5] *= 2
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=r"`labels` must be distributions.*in batch 1, row 1",
    ):
        fit(y, np.zeros((12, 4), np.float32), run_eagerly=False)


@pytest.mark.slow
def test_as_many_time_steps_as_classes_are_no_distributions():
    """Labels `[batch, time]` look like `[batch, classes]`, by shape alone."""
    student = keras.Sequential([keras.Input((4, 5)), keras.layers.Dense(4)])
    distiller = kdtf.Distiller(student, temperature=2.0, check_inputs=True)
    distiller.compile("sgd")
    x = nets.inputs(12).reshape(3, 4, 5)
    y = {
        "labels": nets.labels(12).reshape(3, 4),
        "teacher_logits": np.zeros((3, 4, 4), np.float32),
    }
    history = distiller.fit(x, y, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    y["labels"][1, 2] = 4
    with pytest.raises(ValueError, match=r"Received: 4 in row \(1, 2\)"):
        distiller.fit(x, y, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=r"Received: 4 in batch 0, row \(1, 2\)",
    ):
        distiller.fit(dataset, verbose=0)


@pytest.mark.parametrize("unlabelled", (-1, -2, -100))
def test_good_inputs_pass(unlabelled):
    y = nets.labels(unlabelled=(0, 7))
    y[y < 0] = unlabelled
    history = fit(y, np.zeros((12, 4), np.float32), run_eagerly=False)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.slow
def test_without_checks_a_label_out_of_range_gives_nan():
    """It must show, not train silently on another class."""
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.1))
    dataset = tf.data.Dataset.from_tensor_slices(
        (nets.inputs(), np.full(12, 9))
    )
    logs = distiller.evaluate(dataset.batch(4), return_dict=True, verbose=0)
    assert np.isnan(logs["loss"])
    stops = keras.callbacks.TerminateOnNaN()
    with pytest.warns(UserWarning, match="check_inputs=True names the batch"):
        history = distiller.fit(
            dataset.batch(4), epochs=5, callbacks=[stops], verbose=0
        )
    assert len(history.history["loss"]) == 1


# --- arrays ------------------------------------------------------------------


def distiller_of(student, **arguments):
    distiller = kdtf.Distiller(student, temperature=2.0, **arguments)
    distiller.compile("sgd")
    return distiller


def unbuilt():
    return keras.Sequential([keras.layers.Dense(nets.CLASSES)])


WAYS = {
    "fit": lambda d, x, y: d.fit(x, y, verbose=0),
    "validation": lambda d, x, y: d.fit(
        x,
        {**y, "labels": nets.labels(len(x))},
        validation_data=(x, y),
        verbose=0,
    ),
    "evaluate": lambda d, x, y: d.evaluate(x, y, verbose=0),
    "train_on_batch": lambda d, x, y: d.train_on_batch(x, y),
    "test_on_batch": lambda d, x, y: d.test_on_batch(x, y),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("student", (nets.linear, unbuilt))
@pytest.mark.parametrize("label", (4, 255, 2.5, np.nan))
def test_labels_in_arrays_are_checked_once_before_anything(way, student, label):
    distiller = distiller_of(student())
    y = nets.labels().astype(type(label))
    y[6] = label
    given = {"labels": y, "teacher_logits": np.zeros((12, 4), np.float32)}
    with pytest.raises(
        ValueError,
        match=rf"`labels` must be whole.*from 0 to 3.*{label} in row 6",
    ):
        WAYS[way](distiller, nets.inputs(), given)


@pytest.mark.slow
@pytest.mark.parametrize("labels", (nets.labels, lambda: np.eye(4)[::-1]))
def test_good_arrays_pass_in_any_form(labels):
    y = np.resize(labels(), (12, *labels().shape[1:]))
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd", run_eagerly=True)  # no trace for every form
    forms = [y, tf.constant(y), y.astype(np.float64), y.astype(np.uint8)]
    if y.ndim == 1:
        forms += [y[:, None]]
    losses = [
        distiller.evaluate(nets.inputs(), form, verbose=0, return_dict=True)
        for form in forms
    ]
    assert np.ptp([logs["loss"] for logs in losses]) < 1e-6


@pytest.mark.slow
def test_labels_are_also_checked_at_the_second_fit():
    """The program is there already, and nothing is traced."""
    distiller = kdtf.Distiller(unbuilt(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd")
    x, y = nets.inputs(), nets.labels()
    distiller.fit(x, y, verbose=0)
    y[3] = 4
    with pytest.raises(ValueError, match=r"`labels`.*4 in row 3"):
        distiller.fit(x, y, verbose=0)


class NoShape(keras.Model):
    """A subclass, for which Keras records no output shape."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(nets.CLASSES)

    def call(self, x):
        return self.dense(x)


@pytest.mark.slow
def test_students_that_do_not_tell_their_classes():
    distiller = kdtf.Distiller(NoShape(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd")
    x, y = nets.inputs(), nets.labels()
    distiller.fit(x, y, verbose=0)
    [output] = distiller._student_outputs.all
    assert not output._unchecked  # no batch is kept
    bad = np.where(np.arange(12) == 3, 4, y)
    with pytest.raises(ValueError, match=r"`labels`.*4 in row 3"):
        distiller.fit(x, bad, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("student", (unbuilt, NoShape))
@pytest.mark.parametrize("jit_compile", (False, True))
def test_after_a_refusal_the_right_labels_train(student, jit_compile):
    """The refusal cuts off a trace that makes variables."""
    x, y = nets.inputs(), nets.labels()
    bad = np.where(np.arange(12) == 3, 4, y)
    distiller = kdtf.Distiller(student(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd", jit_compile=jit_compile)
    for train in (distiller.train_on_batch, distiller.test_on_batch):
        with pytest.raises(ValueError, match=r"`labels`.*4 in row 3"):
            train(x, bad)
    assert len(distiller.train_on_batch(x, y)) == 4
    before = nets.values(distiller.student)
    distiller.fit(x, y, verbose=0)
    assert not np.array_equal(before[0], nets.values(distiller.student)[0])


@pytest.mark.parametrize(
    ("labels", "head", "warned"),
    (
        ([-1, 1], "sigmoid", True),
        ([-1, 0, 1], "sigmoid", False),
        ([0, 1], "sigmoid", False),
        ([-1, 1], "softmax", False),  # of four classes
    ),
)
def test_labels_of_minus_one_and_one(recwarn, labels, head, warned):
    y = np.resize(labels, 12)
    if head == "sigmoid":
        y = np.repeat(y[:, None], nets.CLASSES, axis=1)
    distiller = kdtf.Distiller(
        nets.linear(), nets.linear(7), temperature=2.0, head=head
    )
    distiller.compile("sgd", run_eagerly=True)
    distiller.fit(nets.inputs(), y, verbose=0)
    found = [w for w in recwarn if "-1 and 1" in str(w.message)]
    assert bool(found) is warned


@pytest.mark.slow
def test_validation_data_with_targets_and_weights_of_frames():
    frames = keras.Sequential([keras.Input((4, 5)), keras.layers.Dense(4)])
    x = nets.inputs(12).reshape(3, 4, 5)
    y = {
        "labels": nets.labels(12).reshape(3, 4),
        "teacher_logits": np.float32(
            np.random.default_rng(0).normal(size=(3, 4, 4))
        ),
    }
    weights = np.arange(12.0).reshape(3, 4)
    distiller = distiller_of(frames)
    distiller.optimizer.learning_rate.assign(0.0)
    history = distiller.fit(
        x, y, validation_data=(x, y, weights), verbose=0
    ).history
    expected = distiller.evaluate(
        x, y, sample_weight=weights, verbose=0, return_dict=True
    )
    assert history["val_loss"][0] == pytest.approx(expected["loss"], rel=1e-6)


def test_dense_labels_in_arrays():
    y = np.eye(4, dtype=np.float32)[nets.labels()]
    y[5] *= 2
    distiller = kdtf.Distiller(nets.linear(), nets.linear(7), temperature=2.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"`labels` must be distr.*in row 5"):
        distiller.fit(nets.inputs(), y, verbose=0)


@pytest.mark.slow
def test_teacher_logits_in_arrays():
    x, v = nets.inputs(), np.zeros((12, 4), np.float32)
    distiller = distiller_of(nets.linear())
    v[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"`teacher_logits`.*nan.*in row 2"):
        distiller.fit(x, {"teacher_logits": v}, verbose=0)
    v[:] = 0.25
    with pytest.raises(ValueError, match=r"`teacher_logits` must give logits"):
        distiller.fit(x, {"teacher_logits": v}, verbose=0)
    v[2, 1] = -np.inf  # a class that the teacher excludes
    distiller.fit(x, {"teacher_logits": v}, verbose=0)


def test_an_empty_batch_has_no_probabilities():
    checks = input_checks.InputChecker(heads.of("softmax"))
    checks(None, tf.zeros((0, 4)), tf.zeros((0, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("bad", (2.0, np.nan))
def test_labels_of_a_sigmoid_head(bad):
    y = (np.arange(48).reshape(12, 4) % 3 - 1).astype(np.float32)
    distiller = kdtf.Distiller(
        nets.linear(), nets.linear(7), temperature=2.0, head="sigmoid"
    )
    distiller.compile("sgd")
    distiller.fit(nets.inputs(), y, verbose=0)
    y[7, 2] = bad
    with pytest.raises(ValueError, match=rf"for every label.*{bad} in row \(7"):
        distiller.fit(nets.inputs(), y, verbose=0)


# --- probabilities where logits belong ---------------------------------------


class Subclassed(keras.Model):
    """Does not tell that it ends in a softmax or sigmoid."""

    def __init__(self, activation):
        super().__init__()
        self.dense = keras.layers.Dense(nets.CLASSES, activation)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("run_eagerly", (False, True))
@pytest.mark.parametrize("head", ("softmax", "sigmoid"))
@pytest.mark.parametrize("who", ("student", "teacher_logits"))
def test_models_that_give_probabilities(run_eagerly, head, who):
    x = np.random.default_rng(0).normal(size=(40, nets.FEATURES))
    hidden = Subclassed(head)
    hidden(x)
    student, teacher = nets.linear(), nets.linear(7)
    if who == "student":
        student = hidden
    else:
        teacher = hidden
    distiller = kdtf.Distiller(
        student, teacher, temperature=2.0, head=head, check_inputs=True
    )
    distiller.compile("sgd", run_eagerly=run_eagerly)
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError),
        match=rf"`{who}` must give logits, not probabilities.*kdtf\.logits_of",
    ):
        distiller.fit(x, verbose=0)

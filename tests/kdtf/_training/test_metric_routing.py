"""Metrics given to `compile` are fed what they take, and labelled rows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference


def evaluate(metrics, y, weights=None, **compile_arguments):
    student, teacher = nets.linear(0), nets.linear(7)
    distiller = kdtf.Distiller(student, teacher, temperature=3.0)
    compile_arguments = {"jit_compile": False, **compile_arguments}
    distiller.compile("sgd", metrics=metrics, **compile_arguments)
    x = nets.inputs()
    logs = distiller.evaluate(
        x, y, 5, sample_weight=weights, return_dict=True, verbose=0
    )
    z = np.asarray(student(x), np.float64)
    return logs, z, np.asarray(teacher(x), np.float64)


@pytest.mark.slow
def test_accuracy_skips_unlabelled_rows():
    y = nets.labels(unlabelled=(0, 4, 9))
    logs, z, _ = evaluate(["accuracy"], y)
    right = (z.argmax(-1) == y)[y >= 0]
    assert logs["accuracy"] == pytest.approx(right.mean())


def test_dense_labels_skip_unlabelled_rows_too():
    y = nets.labels(unlabelled=(3,))
    dense = np.where(y[:, None] < 0, -1.0, np.eye(4)[y])
    logs, z, _ = evaluate([keras.metrics.CategoricalAccuracy(name="a")], dense)
    assert logs["a"] == pytest.approx((z.argmax(-1) == y)[y >= 0].mean())


@keras.saving.register_keras_serializable("tests")
class MeanOfTable(keras.metrics.Mean):
    """Looks labels up in a table, and fails on negative ones as many do."""

    def update_state(self, labels, logits, sample_weight=None):
        tf.debugging.assert_non_negative(labels)
        table = tf.constant([10.0, 20.0, 30.0, 40.0])
        super().update_state(tf.gather(table, labels), sample_weight)


def test_a_metric_that_fails_on_negative_labels_sees_none():
    y = nets.labels(unlabelled=(0, 4, 9))
    logs, _, _ = evaluate(
        [MeanOfTable("table")], y, run_eagerly=True, jit_compile=False
    )
    expected = (10.0 * (1 + y[y >= 0])).mean()
    assert logs["table"] == pytest.approx(expected)


def test_fidelity_is_fed_the_teachers_logits():
    y = nets.labels()
    logs, z, v = evaluate([kdtf.metrics.FidelityKL()], y)
    expected = reference.soft_loss(z, v, 1.0).mean()
    assert logs["fidelity_kl"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_only_weighted_metrics_are_weighted():
    y, weights = nets.labels(), np.arange(12.0)
    logs, z, v = evaluate(
        [kdtf.metrics.NegativeLogLikelihood(name="plain")],
        y,
        weights,
        weighted_metrics=[
            kdtf.metrics.NegativeLogLikelihood(name="weighted"),
            kdtf.metrics.FidelityKL(name="kl"),
        ],
    )
    hard, soft = reference.hard_loss(z, y), reference.soft_loss(z, v, 1.0)
    assert logs["plain"] == pytest.approx(hard.mean(), rel=1e-5)
    expected = np.average(hard, weights=weights)
    assert logs["weighted"] == pytest.approx(expected, rel=1e-5)
    expected = np.average(soft, weights=weights)
    assert logs["kl"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_metrics_without_data_are_not_reported():
    logs, _, _ = evaluate(["accuracy", kdtf.metrics.FidelityKL()], None)
    assert set(logs) == {"loss", "soft_loss", "agreement", "fidelity_kl"}


def share_above_zero(labels, logits):
    """One number a batch, as people write metrics."""
    del labels
    return tf.reduce_mean(tf.cast(logits > 0, tf.float32))


def spread(labels, logits):
    """One number an entry."""
    return tf.cast(labels, tf.float32) + tf.math.reduce_std(logits, axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("argument", ("metrics", "weighted_metrics"))
@pytest.mark.parametrize("weights", (None, np.arange(12.0)))
def test_functions_of_one_result_a_batch(argument, weights):
    """Weights of entries mean nothing to them; unlabelled rows are left out."""
    y = nets.labels(unlabelled=(0, 4, 9))
    given = {argument: [share_above_zero, spread]}
    metrics = given.pop("metrics", None)
    logs, z, _ = evaluate(metrics, y, weights, **given)
    labelled = y >= 0
    batches = [
        (z[i : i + 5] > 0)[labelled[i : i + 5]].mean() for i in (0, 5, 10)
    ]
    assert logs["share_above_zero"] == pytest.approx(np.mean(batches))
    each = (y + z.std(-1))[labelled]
    by_row = None
    if argument == "weighted_metrics" and weights is not None:
        by_row = weights[labelled]
    expected = np.average(each, weights=by_row)
    assert logs["spread"] == pytest.approx(expected, rel=1e-5)


@keras.saving.register_keras_serializable("tests")
class Distance(keras.losses.Loss):
    """One number an entry."""

    def call(self, labels, logits):
        labels = tf.cast(labels[..., None], logits.dtype)
        return tf.reduce_mean(tf.abs(labels - logits), axis=-1)


@keras.saving.register_keras_serializable("tests")
class Threefold(keras.losses.SparseCategoricalCrossentropy):
    """What it is made of calls a function of Keras; it adds to that."""

    def call(self, labels, logits):
        return 3 * super().call(labels, logits)


def test_a_loss_of_keras_with_a_call_of_its_own():
    y = nets.labels(unlabelled=(0, 4, 9))
    logs, z, _ = evaluate([Threefold(from_logits=True, name="threefold")], y)
    known = y >= 0
    expected = 3 * reference.hard_loss(z, y)[known].mean()
    assert logs["threefold"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ("sparse", "dense"))
def test_losses_are_means_over_entries(form):
    """Not over batches: of 12 rows the last batch has 2."""
    y, weights = nets.labels(unlabelled=(0, 4, 9)), np.arange(12.0)
    given = y if form == "sparse" else dense(y)
    losses = [
        keras.losses.CategoricalCrossentropy(from_logits=True, name="nll"),
        keras.losses.Huber(delta=0.2, name="huber"),
    ]
    if form == "sparse":
        losses.append(Distance(name="distance"))
    logs, z, _ = evaluate(losses, given)
    weighted, _, _ = evaluate(None, given, weights, weighted_metrics=losses)
    gap = np.abs(np.eye(nets.CLASSES)[y] - z)
    huber = np.where(gap <= 0.2, gap**2 / 2, 0.2 * gap - 0.02).mean(-1)
    expected = {"nll": reference.hard_loss(z, y), "huber": huber}
    if form == "sparse":
        expected["distance"] = np.abs(y[:, None] - z).mean(-1)
    known = y >= 0
    for name, each in expected.items():
        assert logs[name] == pytest.approx(each[known].mean(), rel=1e-5)
        by_weight = np.average(each[known], weights=weights[known])
        assert weighted[name] == pytest.approx(by_weight, rel=1e-5)


@pytest.mark.slow
def test_a_loss_of_whole_batches():
    y = dense(nets.labels(unlabelled=(0, 4, 9)))
    logs, z, _ = evaluate([keras.losses.Dice()], y)
    batches = []
    for i in (0, 5, 10):
        known = (y[i : i + 5] >= 0).all(-1)
        labels, logits = y[i : i + 5][known], z[i : i + 5][known]
        share = 2 * (labels * logits).sum() / (labels.sum() + logits.sum())
        batches.append(1 - share)
    assert logs["dice"] == pytest.approx(np.mean(batches), rel=1e-4)


@pytest.mark.slow
def test_a_loss_as_a_metric_is_saved(tmp_path):
    distiller = kdtf.Distiller(nets.linear(0), None, temperature=3.0)
    losses = [keras.losses.Huber(delta=0.2), Distance()]
    distiller.compile("sgd", metrics=losses)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    y = {"labels": nets.labels(), "teacher_logits": nets.inputs()[:, :4]}
    logs = [
        each.evaluate(nets.inputs(), y, verbose=0, return_dict=True)
        for each in (distiller, loaded)
    ]
    assert logs[0] == pytest.approx(logs[1]) and "distance" in logs[0]


@pytest.mark.slow
def test_classes_of_metrics():
    y = nets.labels()
    given = [keras.metrics.SparseCategoricalAccuracy, kdtf.metrics.FidelityKL]
    logs, z, v = evaluate(given, y)
    right = (z.argmax(-1) == y).mean()
    assert logs["sparse_categorical_accuracy"] == pytest.approx(right)
    expected = reference.soft_loss(z, v, 1.0).mean()
    assert logs["fidelity_kl"] == pytest.approx(expected, rel=1e-5)


def masked(count, seed):
    """Of 3 logits or more a step; word 0 is padding."""
    initializer = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Embedding(9, 5, initializer, mask_zero=True),
            keras.layers.Dense(count, kernel_initializer=initializer),
        ]
    )


def padded(seed=0):
    """Words `[8, 6]`, of which some are padding."""
    words = np.random.default_rng(seed).integers(1, 9, (8, 6))
    words[np.arange(6) >= np.arange(1, 9)[:, None]] = 0
    return words


@pytest.mark.slow
@pytest.mark.parametrize("rows_at_a_time", (None, 4))
def test_metrics_of_classes_leave_padding_out(rows_at_a_time):
    student, words = masked(3, 0), padded()
    distiller = kdtf.Distiller(
        student, masked(3, 1), temperature=2.0, rows_at_a_time=rows_at_a_time
    )
    iou = keras.metrics.MeanIoU(3, sparse_y_pred=False, name="iou")
    metrics = ["accuracy"] if rows_at_a_time else ["accuracy", iou]
    distiller.compile("sgd", metrics=metrics)
    y = np.random.default_rng(3).integers(0, 3, words.shape)
    logs = distiller.evaluate(words, y, verbose=0, return_dict=True)
    found, y = np.argmax(student(words), -1)[words > 0], y[words > 0]
    assert logs["accuracy"] == pytest.approx((found == y).mean())
    if not rows_at_a_time:
        shares = [
            ((found == c) & (y == c)).sum() / ((found == c) | (y == c)).sum()
            for c in range(3)
        ]
        assert logs["iou"] == pytest.approx(np.mean(shares))


@pytest.mark.slow
@pytest.mark.parametrize("labels", (1, 4))
def test_metrics_of_labels_leave_padding_out(labels):
    student, words = masked(labels, 0), padded()
    distiller = kdtf.Distiller(
        student, masked(labels, 1), temperature=2.0, head="sigmoid"
    )
    recall = keras.metrics.Recall(name="recall")
    distiller.compile("sgd", metrics=["accuracy", recall])
    y = np.random.default_rng(3).integers(0, 2, (*words.shape, labels))
    logs = distiller.evaluate(words, y, verbose=0, return_dict=True)
    yes, y = (np.asarray(student(words)) > 0)[words > 0], y[words > 0]
    assert logs["accuracy"] == pytest.approx((yes == y).mean())
    assert logs["recall"] == pytest.approx(yes[y == 1].mean())


class Unweighted(keras.metrics.Metric):
    """Counts what it sees, whatever it weighs."""

    def __init__(self):
        super().__init__(name="unweighted")
        self.rows = self.add_variable((), "zeros")
        self.sum = self.add_variable((), "zeros")

    def update_state(self, labels, logits):
        self.rows.assign_add(tf.cast(tf.shape(logits)[0], tf.float32))
        self.sum.assign_add(tf.cast(tf.reduce_sum(labels), tf.float32))

    def result(self):
        return self.sum / self.rows


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", (False, True))
def test_a_metric_without_weights_does_not_see_unlabelled_rows(jit_compile):
    y = nets.labels(unlabelled=(0, 4, 9))
    logs, _, _ = evaluate([Unweighted()], y, jit_compile=jit_compile)
    assert logs["unweighted"] == pytest.approx(y[y >= 0].mean())


def dense(y):
    return np.where(y[:, None] < 0, -1.0, np.eye(nets.CLASSES)[y])


@pytest.mark.slow
@pytest.mark.parametrize("how", ({"run_eagerly": True}, {"jit_compile": True}))
@pytest.mark.parametrize("first", (np.array, dense, lambda y: None))
def test_accuracy_of_both_forms_of_labels_whichever_came_first(first, how):
    x, y, weights = nets.inputs(), nets.labels(unlabelled=(3,)), np.arange(12.0)
    student = nets.linear(0)
    distiller = kdtf.Distiller(student, nets.linear(7), temperature=3.0)
    distiller.compile("sgd", weighted_metrics=["accuracy"], **how)
    right = np.argmax(student(x), -1) == y
    expected = np.average(right[y >= 0], weights=weights[y >= 0])
    # As many rows a batch as classes: either axis may be taken for the other.
    batch = nets.CLASSES
    distiller.evaluate(x, first(y), batch, verbose=0)
    for form in (np.array, dense):
        logs = distiller.evaluate(
            x,
            form(y),
            batch,
            sample_weight=weights,
            verbose=0,
            return_dict=True,
        )
        assert logs["accuracy"] == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("form", (np.array, dense))
def test_metrics_of_keras_take_both_forms_of_labels(form):
    y = nets.labels(unlabelled=(3,))
    logs, z, _ = evaluate(
        [
            keras.metrics.CategoricalAccuracy(name="first"),
            keras.metrics.SparseTopKCategoricalAccuracy(2, name="two"),
            keras.metrics.CategoricalCrossentropy(from_logits=True, name="nll"),
            keras.metrics.F1Score("micro"),
            keras.metrics.sparse_categorical_accuracy,
        ],
        form(y),
    )
    z, y = z[y >= 0], y[y >= 0]
    right = (z.argmax(-1) == y).mean()
    two = (np.argsort(-z, -1)[:, :2] == y[:, None]).any(-1).mean()
    expected = {
        "first": right,
        "two": two,
        "nll": reference.hard_loss(z, y).mean(),
        "f1_score": right,  # of one class a row, averaged over all
        "sparse_categorical_accuracy": right,
    }
    for name, value in expected.items():
        assert logs[name] == pytest.approx(value, rel=1e-5)


def test_a_cross_entropy_of_classes_has_none_of_distributions():
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match=r"`metrics` must take .*distrib.*Rec"):
        evaluate([metric], dense(nets.labels()))


@pytest.mark.slow
def test_metrics_of_others_get_labels_as_they_are():
    def mean_label(labels, logits):
        del logits
        return tf.reduce_mean(tf.cast(labels, tf.float32), axis=-1)

    class Own(keras.metrics.CategoricalAccuracy):
        def update_state(self, labels, logits, sample_weight=None):
            labels = tf.one_hot(labels, nets.CLASSES)
            super().update_state(labels, logits, sample_weight)

    y = nets.labels()
    logs, z, _ = evaluate([Own(name="own")], y)
    assert logs["own"] == pytest.approx((z.argmax(-1) == y).mean())
    logs, _, _ = evaluate([mean_label], dense(y))
    assert logs["mean_label"] == pytest.approx(1 / nets.CLASSES)

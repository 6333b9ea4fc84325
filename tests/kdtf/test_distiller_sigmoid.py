"""Distiller(head="sigmoid"): yes or no, and labels each for itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

import kdtf
from tests import nets, reference

CASES = 40


def net(labels, seed):
    initializer = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
    return keras.Sequential(
        [
            keras.Input((nets.FEATURES,)),
            keras.layers.Dense(labels, kernel_initializer=initializer),
        ]
    )


def truth(labels, unknown=0.2):
    """0, 1 and, where not known, -1: `[CASES, labels]`."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, (CASES, labels)).astype(np.float32)
    y[rng.uniform(size=y.shape) < unknown] = -1
    y[4] = -1
    return y


def distiller_of(labels, teacher="net", **arguments):
    arguments = {"temperature": 3.0, "head": "sigmoid", **arguments}
    teacher = net(labels, 7) if teacher == "net" else teacher
    return kdtf.Distiller(net(labels, 0), teacher, **arguments)


@pytest.mark.parametrize("labels", (1, 5))
@pytest.mark.parametrize("mode", ("eager", "graph", "xla", "steps"))
def test_one_step_is_that_of_the_definition(labels, mode):
    """(0.9 T^2 KL + 0.1 CE) over labels, entries, weights: by hand."""
    distiller = distiller_of(labels)
    distiller.compile(
        keras.optimizers.SGD(0.5),
        run_eagerly=mode == "eager",
        jit_compile=mode in ("xla", "steps"),
        steps_per_execution=3 if mode == "steps" else 1,
    )
    x, y = nets.inputs(CASES), truth(labels)
    weight = np.random.default_rng(4).uniform(0.5, 2.0, CASES)
    teacher = net(labels, 7)
    kernel, bias = (np.float64(w) for w in nets.values(distiller.student))
    z, v = x @ kernel + bias, np.asarray(teacher(x), np.float64)
    soft = 9.0 * reference.binary_soft_gradient(z, v, 3.0)
    hard = reference.binary_hard_gradient(z, y)
    by_logits = (0.9 * soft + 0.1 * hard) * weight[:, None] / CASES / labels
    given = y[:, 0] if labels == 1 else y
    history = distiller.fit(
        x, given, CASES, sample_weight=weight, verbose=0
    ).history
    expected = [kernel - 0.5 * x.T @ by_logits, bias - 0.5 * by_logits.sum(0)]
    for a, b in zip(nets.values(distiller.student), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    soft = reference.binary_soft_loss(z, v, 3.0).mean(-1)
    each = reference.binary_hard_loss(z, y)
    total = 0.9 * 9.0 * soft + 0.1 * each.mean(-1)
    known = (y >= 0) * weight[:, None]
    agree = ((z > 0) == (v > 0)).mean(-1)
    for name, value in (
        ("loss", (weight * total).sum() / CASES),
        ("soft_loss", np.average(soft, weights=weight)),
        ("hard_loss", (each * known).sum() / known.sum()),
        ("agreement", np.average(agree, weights=weight)),
    ):
        assert history[name][0] == pytest.approx(float(value), rel=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("labels", (1, 5))
def test_metrics(labels):
    """Those of Keras get probabilities, and entries that are known."""
    y = truth(labels, unknown=0.1)
    x = nets.inputs(CASES)
    distiller = distiller_of(labels)
    distiller.compile(
        "sgd",
        metrics=[
            "accuracy",
            "Accuracy",
            keras.metrics.AUC(num_thresholds=2000, name="auc"),
            kdtf.metrics.NegativeLogLikelihood(head="sigmoid"),
            kdtf.metrics.BrierScore(head="sigmoid"),
            kdtf.metrics.ExpectedCalibrationError(head="sigmoid"),
            kdtf.metrics.FidelityKL(head="sigmoid"),
        ],
    )
    logs = distiller.evaluate(x, y, 16, verbose=0, return_dict=True)
    z = np.asarray(distiller.student(x), np.float64)
    q, known = reference.sigmoid(z), y >= 0
    whole = known.all(-1)
    right = (q > 0.5) == y
    for name in ("accuracy", "Accuracy"):
        assert float(logs[name]) == pytest.approx(right[whole].mean())
    auc = sklearn_metrics.roc_auc_score(y[whole].ravel(), q[whole].ravel())
    assert float(logs["auc"]) == pytest.approx(auc, abs=5e-3)
    nll = sklearn_metrics.log_loss(y[known], q[known])
    assert float(logs["nll"]) == pytest.approx(nll, rel=1e-5)
    brier = sklearn_metrics.brier_score_loss(y[known], q[known])
    assert float(logs["brier"]) == pytest.approx(brier, rel=1e-5)
    sure = np.maximum(q, 1 - q)[known]
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = right[known] - sure
    ece = sum(abs(gaps[bins == b].sum()) for b in range(15)) / known.sum()
    assert float(logs["ece"]) == pytest.approx(ece, rel=1e-4)
    v = np.asarray(net(labels, 7)(x), np.float64)
    kl = reference.binary_soft_loss(z, v, 1.0).mean()
    assert float(logs["fidelity_kl"]) == pytest.approx(kl, rel=1e-5)
    by_mass = kdtf.metrics.equal_mass_calibration_error(
        y, z, num_bins=5, head="sigmoid"
    )
    parts = np.array_split(gaps[np.argsort(sure, kind="stable")], 5)
    expected = sum(abs(part.sum()) for part in parts) / known.sum()
    assert by_mass == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("labels", (1, 5))
def test_binary_iou_counts_labels_one_by_one(labels):
    y, x = truth(labels, unknown=0.1), nets.inputs(CASES)
    weights = np.random.default_rng(5).uniform(0.5, 2.0, CASES)
    distiller = distiller_of(labels)
    distiller.compile(
        "sgd",
        metrics=[keras.metrics.BinaryIoU(name="plain")],
        weighted_metrics=[
            # By default it counts in integers, weights included.
            keras.metrics.BinaryIoU([1], 0.3, name="weighted", dtype="float32")
        ],
    )
    logs = distiller.evaluate(
        x, y, 16, sample_weight=weights, verbose=0, return_dict=True
    )
    q = reference.sigmoid(np.asarray(distiller.student(x), np.float64))

    def iou(chosen, label, weights):
        counts = (y >= 0).all(-1, keepdims=True) * weights[:, None]
        both = (y == label) & (chosen == label)
        either = (y == label) | (chosen == label)
        return (both * counts).sum() / (either * counts).sum()

    ones = np.ones(CASES)
    plain = np.mean([iou(q >= 0.5, label, ones) for label in (0, 1)])
    assert float(logs["plain"]) == pytest.approx(plain, rel=1e-5)
    weighted = iou(q >= 0.3, 1, weights)
    assert float(logs["weighted"]) == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize(
    ("metric", "head", "pattern"),
    (
        (keras.metrics.AUC(from_logits=True), "sigmoid", "get probabilities"),
        (
            keras.metrics.BinaryCrossentropy(from_logits=True),
            "sigmoid",
            "get probabilities",
        ),
        (
            keras.metrics.BinaryAccuracy(threshold=0.0),
            "sigmoid",
            "get probabilities",
        ),
        (
            keras.metrics.SparseCategoricalCrossentropy(),
            "softmax",
            "get the student's logits",
        ),
        ("categorical_crossentropy", "softmax", "get the student's logits"),
        ("SparseCategoricalCrossentropy", "softmax", "the student's logits"),
        ("ce", "softmax", "get the student's logits"),
        *(
            (metric, "softmax", "get the student's logits")
            for metric in (
                "precision",
                keras.metrics.Recall(class_id=1),
                keras.metrics.TruePositives(),
                keras.metrics.SensitivityAtSpecificity(0.5),
                keras.metrics.KLDivergence(),
                keras.metrics.F1Score(threshold=0.5),
                keras.metrics.FBetaScore(threshold=0.5),
                keras.metrics.BinaryIoU(),
                keras.metrics.binary_accuracy,
                keras.metrics.BinaryAccuracy,
                keras.losses.kl_divergence,
                keras.losses.poisson,
                keras.losses.KLDivergence(),
                keras.losses.SparseCategoricalCrossentropy(),
                keras.losses.SparseCategoricalCrossentropy,
            )
        ),
        (
            keras.losses.sparse_categorical_crossentropy,
            "softmax",
            "get the student's logits",
        ),
        (
            keras.losses.BinaryCrossentropy(from_logits=True),
            "sigmoid",
            "get probabilities",
        ),
        (keras.metrics.Accuracy(), "softmax", 'give "accuracy"'),
        (keras.metrics.Accuracy, "sigmoid", 'give "accuracy"'),
        (keras.metrics.MeanIoU(3), "softmax", "MeanIoU with sparse_y_pred=F"),
        (keras.metrics.MeanIoU(2), "sigmoid", "give keras.metrics.BinaryIoU"),
        (
            keras.metrics.IoU(2, [1], sparse_y_pred=False),
            "sigmoid",
            "give keras.metrics.BinaryIoU",
        ),
        ("sparse_categorical_accuracy", "sigmoid", "one of labels"),
        (
            keras.metrics.SparseTopKCategoricalAccuracy(2),
            "sigmoid",
            "one of labels",
        ),
        (kdtf.metrics.Agreement(), "sigmoid", 'build Agreement with head="sig'),
        (kdtf.metrics.Agreement, "sigmoid", 'build Agreement with head="sig'),
        (
            kdtf.metrics.ExpectedCalibrationError(head="sigmoid"),
            "softmax",
            'with head="softmax"',
        ),
    ),
)
@pytest.mark.parametrize("argument", ("metrics", "weighted_metrics"))
def test_metrics_that_would_misread(metric, head, pattern, argument):
    distiller = distiller_of(3, head=head)
    with pytest.raises(ValueError, match=rf"`metrics`.*{pattern}"):
        distiller.compile("sgd", **{argument: ["accuracy", metric]})


@pytest.mark.parametrize(
    "metric",
    ("categorical_accuracy", keras.metrics.TopKCategoricalAccuracy(1)),
)
def test_one_label_is_always_the_largest(metric):
    for labels in (3, 1):
        distiller = distiller_of(labels)
        distiller.compile("sgd", metrics=[metric], jit_compile=False)
        data = nets.inputs(CASES), np.ones((CASES, labels))
        if labels == 3:  # one of which may be the largest
            distiller.evaluate(*data, verbose=0)
            continue
        with pytest.raises(ValueError, match=r"`metrics` must be of yes or no"):
            distiller.evaluate(*data, verbose=0)


@pytest.mark.slow
def test_metrics_that_look_at_ranks_alone():
    distiller = distiller_of(3, head="softmax")
    distiller.compile(
        "sgd",
        metrics=[
            "accuracy",
            keras.metrics.Precision(top_k=1),
            keras.metrics.TopKCategoricalAccuracy(2),
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True),
            keras.metrics.F1Score(),
        ],
    )
    y = np.eye(3)[np.arange(CASES) % 3]
    x = nets.inputs(CASES)
    distiller = distiller_of(3, head="softmax")
    distiller.compile(
        "sgd",
        metrics=[keras.metrics.Precision(top_k=1, name="first"), "accuracy"],
    )
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    right = np.argmax(distiller.student(x), -1) == np.arange(CASES) % 3
    # The one class that is chosen: precision is accuracy.
    assert float(logs["first"]) == pytest.approx(right.mean(), rel=1e-6)


def test_given_logits_and_time_frames():
    frames = keras.Sequential(
        [keras.Input((4, nets.FEATURES)), keras.layers.Dense(3)]
    )
    x = nets.inputs(CASES).reshape(10, 4, nets.FEATURES)
    y = truth(3).reshape(10, 4, 3)
    v = np.random.default_rng(5).normal(size=y.shape).astype(np.float32) * 3
    distiller = kdtf.Distiller(frames, temperature=2.0, head="sigmoid")
    distiller.compile("sgd")
    weight = (np.arange(40).reshape(10, 4) % 3 > 0).astype(np.float32)
    given = {"labels": y, "teacher_logits": v}
    logs = distiller.evaluate(
        x, given, 10, sample_weight=weight, verbose=0, return_dict=True
    )
    z = np.asarray(frames(x), np.float64)
    soft = reference.binary_soft_loss(z, v, 2.0).mean(-1)
    expected = np.average(soft, weights=weight)
    assert float(logs["soft_loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_an_ensemble_is_the_mean_of_tempered_probabilities():
    members = [net(2, seed) for seed in (1, 2)]
    x = nets.inputs(CASES)
    p = np.mean(
        [reference.sigmoid(np.asarray(m(x)), 3.0) for m in members], axis=0
    )
    u = kdtf.Ensemble(members, head="sigmoid").tempered_logits(x, 3.0)
    np.testing.assert_allclose(reference.sigmoid(u.numpy(), 3.0), p, rtol=1e-5)
    logits = kdtf.Ensemble(members, combine="geometric", head="sigmoid")(x)
    mean = np.mean([np.asarray(m(x)) for m in members], axis=0)
    np.testing.assert_allclose(logits, mean, rtol=1e-5, atol=1e-6)
    again = kdtf.Ensemble.from_config(
        kdtf.Ensemble(members, head="sigmoid").get_config()
    )
    assert again.head == "sigmoid"
    distiller = distiller_of(2, kdtf.Ensemble(members, head="sigmoid"))
    distiller.compile("sgd")
    logs = distiller.evaluate(x, verbose=0, return_dict=True)
    z = np.asarray(distiller.student(x), np.float64)
    expected = reference.binary_soft_loss(z, u.numpy(), 3.0).mean()
    assert float(logs["soft_loss"]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.slow
def test_the_head_is_saved(tmp_path):
    distiller = distiller_of(1)
    distiller.compile("sgd")
    distiller.fit(nets.inputs(CASES), truth(1), verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.head == "sigmoid"
    loaded.set_teacher(net(1, 7))
    loaded.fit(nets.inputs(CASES), truth(1), verbose=0)


@pytest.mark.slow
def test_a_student_of_one_label_learns():
    """The case that ended in NaN, or in a loss of 0 and agreement of 1."""
    x = np.random.default_rng(6).normal(size=(256, nets.FEATURES))
    y = (x[:, 0] > 0).astype(np.int32)
    distiller = distiller_of(1, teacher=None, soft_weight=0.0, hard_weight=1.0)
    distiller.compile(keras.optimizers.Adam(0.05), metrics=["accuracy"])
    history = distiller.fit(x, y, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.3 < history["loss"][0]
    assert history["accuracy"][-1] > 0.95
    assert "agreement" not in history


def test_mixed_precision():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        distiller = distiller_of(3)
    finally:
        keras.config.set_dtype_policy(previous)
    distiller.compile("sgd")
    logs = distiller.evaluate(
        nets.inputs(CASES), truth(3), verbose=0, return_dict=True
    )
    full = distiller_of(3)
    full.compile("sgd")
    expected = full.evaluate(
        nets.inputs(CASES), truth(3), verbose=0, return_dict=True
    )
    assert tf.as_dtype(distiller.student.compute_dtype) == tf.bfloat16
    assert float(logs["loss"]) == pytest.approx(expected["loss"], rel=0.05)

"""kdtf.metrics against scikit-learn, scipy and float64 derivations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats
from sklearn import metrics as sklearn_metrics

from kdtf import metrics

CASES, CLASSES = 200, 5


def logits(seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(CASES, CLASSES)) * scale).astype(np.float32)


def labels(unlabelled=0):
    values = np.random.default_rng(9).integers(0, CLASSES, CASES)
    values[:unlabelled] = -1
    return values


def weights():
    return np.random.default_rng(8).uniform(0, 2, CASES)


def result(metric, first, second, sample_weight=None):
    """The metric over batches of 64."""
    for start in range(0, CASES, 64):
        batch = slice(start, start + 64)
        weight = None if sample_weight is None else sample_weight[batch]
        metric.update_state(first[batch], second[batch], weight)
    return float(metric.result())


def test_agreement():
    v, z = logits(0), logits(1)
    expected = sklearn_metrics.accuracy_score(
        v.argmax(1), z.argmax(1), sample_weight=weights()
    )
    actual = result(metrics.Agreement(), v, z, weights())
    assert actual == pytest.approx(expected, rel=1e-5)


def test_fidelity_kl():
    v, z = logits(0), logits(1)
    p, q = (special.softmax(a.astype(np.float64), axis=1) for a in (v, z))
    expected = stats.entropy(p, q, axis=1)  # scipy: KL(p || q) in nats
    actual = result(metrics.FidelityKL(), v, z)
    assert actual == pytest.approx(expected.mean(), rel=1e-5)
    actual = result(metrics.FidelityKL(), v, z, weights())
    expected = np.average(expected, weights=weights())
    assert actual == pytest.approx(expected, rel=1e-5)


def test_nll():
    z, y = logits(1), labels(unlabelled=50)
    expected = sklearn_metrics.log_loss(
        y[50:],
        special.softmax(z[50:].astype(np.float64), axis=1),
        sample_weight=weights()[50:],
        labels=range(CLASSES),
    )
    actual = result(metrics.NegativeLogLikelihood(), y, z, weights())
    assert actual == pytest.approx(expected, rel=1e-5)


def test_nll_of_a_net_that_is_sure_and_wrong():
    metric = metrics.NegativeLogLikelihood()
    metric.update_state([0], [[-1e4, 1e4]])
    assert float(metric.result()) == pytest.approx(2e4)


def test_brier():
    z, y = logits(1), labels(unlabelled=50)
    expected = sklearn_metrics.brier_score_loss(
        y[50:],
        special.softmax(z[50:].astype(np.float64), axis=1),
        sample_weight=weights()[50:],
        labels=list(range(CLASSES)),
        scale_by_half=False,
    )
    actual = result(metrics.BrierScore(), y, z, weights())
    assert actual == pytest.approx(expected, rel=1e-5)


def expected_calibration_error(z, y, weight, num_bins):
    """Straight from the definition, bin by bin."""
    q = special.softmax(z.astype(np.float64), axis=1)
    confidence, correct = q.max(1), q.argmax(1) == y
    error = 0.0
    for b in range(num_bins):
        inside = (confidence >= b / num_bins) & (
            confidence < (b + 1) / num_bins
        )
        if b == num_bins - 1:
            inside |= confidence == 1.0
        if weight[inside].sum():
            share = weight[inside].sum() / weight.sum()
            accuracy = np.average(correct[inside], weights=weight[inside])
            mean = np.average(confidence[inside], weights=weight[inside])
            error += share * abs(accuracy - mean)
    return error


@pytest.mark.parametrize("num_bins", (1, 4, 15))
@pytest.mark.parametrize("scale", (0.5, 3.0, 100.0))
def test_expected_calibration_error(num_bins, scale):
    z, y = logits(1, scale), labels(unlabelled=50)
    metric = metrics.ExpectedCalibrationError(num_bins)
    actual = result(metric, y, z, weights())
    expected = expected_calibration_error(
        z[50:], y[50:], weights()[50:], num_bins
    )
    assert actual == pytest.approx(expected, rel=1e-4)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_equal_mass_calibration_error():
    z, y = logits(1), labels()
    q = special.softmax(z.astype(np.float64), axis=1)
    order = np.argsort(q.max(1))
    error = 0.0
    for rows in order.reshape(10, 20):  # 10 bins of 20 cases
        right = (q[rows].argmax(1) == y[rows]).mean()
        error += abs(right - q[rows].max(1).mean()) / 10
    actual = metrics.equal_mass_calibration_error(y, z, num_bins=10)
    assert actual == pytest.approx(error, rel=1e-6)


def test_equal_mass_skips_unlabelled_and_takes_frames():
    z, y = logits(1), labels(unlabelled=50)
    expected = metrics.equal_mass_calibration_error(y[50:], z[50:])
    assert metrics.equal_mass_calibration_error(y, z) == expected
    frames = metrics.equal_mass_calibration_error(
        y.reshape(20, 10), z.reshape(20, 10, CLASSES)
    )
    assert frames == expected
    assert metrics.equal_mass_calibration_error([-1], [[0.0, 1.0]]) == 0.0


@pytest.mark.parametrize(
    "metric",
    (
        metrics.Agreement,
        metrics.FidelityKL,
        metrics.NegativeLogLikelihood,
        metrics.BrierScore,
        metrics.ExpectedCalibrationError,
    ),
)
def test_frames_columns_dtypes_and_configs(metric):
    z, y = logits(1), labels(unlabelled=3)
    teacher = metric in (metrics.Agreement, metrics.FidelityKL)
    first = logits(0) if teacher else y
    expected = result(metric(), first, z)
    frames = metric()
    frames.update_state(
        first.reshape(20, 10, *first.shape[1:]), z.reshape(20, 10, CLASSES)
    )
    assert float(frames.result()) == pytest.approx(expected, rel=1e-5)
    if not teacher:
        assert result(metric(), y[:, None], z) == expected
    again = metric.from_config(metric(name="other").get_config())
    assert again.name == "other" and result(again, first, z) == expected
    half = result(metric(), first, tf.cast(z, tf.bfloat16).numpy())
    assert half == pytest.approx(expected, abs=0.03)
    assert not result(metric(), first, z, np.zeros(CASES))


@pytest.mark.parametrize("num_bins", (0, -3, 2.5))
def test_bins_must_be_a_positive_int(num_bins):
    expected = r"`num_bins` must be a positive int.*Received: num_bins="
    with pytest.raises(ValueError, match=expected):
        metrics.ExpectedCalibrationError(num_bins)
    with pytest.raises(ValueError, match=expected):
        metrics.equal_mass_calibration_error([0], [[1.0]], num_bins=num_bins)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"`labels` must be classes of shape"):
        metrics.equal_mass_calibration_error([0, 1], [[1.0, 0.0]])


def test_metrics_survive_saving(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[metrics.NegativeLogLikelihood(), metrics.BrierScore()],
    )
    x, y = np.ones((4, 2)), np.zeros(4)
    expected = model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(expected)
    # For one plain class the loss is the NLL.
    assert expected[1] == pytest.approx(expected[0])

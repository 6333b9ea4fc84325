"""Random calls end in what float64 numpy says, or in a sentence of kdtf's."""

import numpy as np
import pytest
import tensorflow as tf

import kdtf
from tests import nets, reference

CALLS = 400
DTYPES = ["float32", "float64", "float16", "int32", "int64", "uint8", "bool"]


def value_or_refusal(call):
    """What a call returns, or None if kdtf refuses it by name."""
    try:
        return call()
    except (ValueError, TypeError) as error:
        message = str(error)
        assert "Received: " in message and message.startswith("`"), message
        assert not isinstance(error, tf.errors.OpError)
        return None


def random_shape(rng):
    """Mostly `[rows, classes]`, and what people bring by mistake."""
    shapes = [(4, 3), (4, 3), (4, 3), (2, 2, 3), (4, 1), (3,), (4,), (3, 4), ()]
    return shapes[rng.integers(len(shapes))]


def random_logits(rng, shape):
    scale = rng.choice([0.1, 3.0, 1e4])
    dtype = rng.choice(["float32", "float64", "float16"])
    return (rng.normal(size=shape) * scale).astype(dtype)


def random_labels(rng, shape):
    """Classes, distributions and nonsense, in any dtype and shape."""
    if rng.uniform() < 0.5 and len(shape):
        shape = shape[:-1] + ((1,) if rng.uniform() < 0.2 else ())
    if rng.uniform() < 0.15:
        shape = random_shape(rng)
    kind = rng.choice(["classes", "wild", "distribution", "words"], p=WEIGHTS)
    if kind == "words":
        return np.full(shape, "cat")
    if kind == "distribution" and len(shape):
        values = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    elif kind == "wild":
        values = rng.choice([-100, -1, 0, 1, 2, 3, 255, 1.5, np.nan], shape)
    else:
        values = rng.integers(-1, 3, shape)
    with np.errstate(invalid="ignore"):
        return np.asarray(values).astype(rng.choice(DTYPES))


WEIGHTS = (0.5, 0.2, 0.25, 0.05)


def random_number(rng):
    return rng.choice([1.0, 2.5, 0.5, 100.0, 0.0, -1.0, np.nan, np.inf])


def expected_hard(z, y, head):
    """The cross-entropy in float64; NaN where a label can be none."""
    z, y = np.float64(z), np.float64(y)
    if head == "sigmoid":
        if y.shape != z.shape:
            y = y[..., None]
        y = np.where(y > 1, np.nan, y)
        return reference.binary_hard_loss(z, y).mean(-1)
    if y.ndim == z.ndim and y.shape[-1] == 1:
        y = y[..., 0]
    if y.ndim == z.ndim:
        unlabelled = y.sum(-1) <= 0
        loss = -(y * reference.log_softmax(z)).sum(-1)
        return np.where(unlabelled, 0.0, loss)
    bad = ~(y < z.shape[-1]) | (y % 1 != 0)
    classes = np.where(bad | (y < 0), 0, y).astype(int)
    picked = np.take_along_axis(
        reference.log_softmax(z), classes[..., None], -1
    )[..., 0]
    return np.where(bad, np.nan, np.where(y < 0, 0.0, -picked))


def close(actual, expected):
    """Equal to 1e-5 of the largest, NaN where NaN is expected."""
    scale = np.max(np.nan_to_num(np.abs(expected)), initial=1e-3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_losses(seed):
    rng = np.random.default_rng(seed)
    values = 0
    for _ in range(CALLS):
        head = rng.choice(["softmax", "sigmoid"])
        z = random_logits(rng, random_shape(rng))
        v = random_logits(
            rng, z.shape if rng.uniform() < 0.9 else random_shape(rng)
        )
        y = random_labels(rng, z.shape)
        hard = value_or_refusal(
            lambda z=z, y=y, h=head: kdtf.losses.hard_loss(z, y, head=h)
        )
        if hard is not None:
            close(hard, expected_hard(z, y, head))
            values += 1
        t = random_number(rng) if rng.uniform() < 0.3 else 2.0
        soft = value_or_refusal(
            lambda z=z, v=v, t=t, h=head: kdtf.losses.soft_loss(
                z, v, temperature=t, head=h
            )
        )
        if soft is not None:
            of = reference.soft_loss
            if head == "sigmoid":
                of = reference.binary_soft_loss
            expected = of(np.float64(z), np.float64(v), t)
            close(soft, expected.mean(-1) if head == "sigmoid" else expected)
            values += 1
    assert values > CALLS / 2  # most calls are good ones


@pytest.mark.parametrize("seed", range(2))
def test_metrics(seed):
    rng = np.random.default_rng(100 + seed)
    metrics = (
        kdtf.metrics.NegativeLogLikelihood,
        kdtf.metrics.BrierScore,
        kdtf.metrics.ExpectedCalibrationError,
    )
    values = 0
    for _ in range(CALLS // 2):
        head = str(rng.choice(["softmax", "sigmoid"]))
        z = random_logits(rng, random_shape(rng))
        y = random_labels(rng, z.shape)
        weights = rng.uniform(0.5, 2.0, rng.choice([4, 4, 4, 2, 3]))
        for kind in metrics:
            metric = kind(head=head)
            updated = value_or_refusal(
                lambda m=metric, z=z, y=y, w=weights: (
                    m.update_state(y, z, w),
                    float(m.result()),
                )
            )
            if updated is None or kind is not metrics[0]:
                continue
            each = expected_hard(z, y, head)
            labelled = np.float64(y) >= 0
            if head == "softmax" and y.ndim == z.ndim and y.shape[-1] != 1:
                labelled = ~(np.float64(y).sum(-1) <= 0)
            if np.isfinite(each).all() and head == "softmax":
                shape = (-1,) + (1,) * (each.ndim - 1)
                w = weights.reshape(shape) * labelled.reshape(each.shape)
                expected = (w * each).sum() / w.sum() if w.sum() else 0.0
                assert updated[1] == pytest.approx(expected, rel=1e-4)
                values += 1
    assert values > CALLS / 50


@pytest.mark.parametrize("seed", range(2))
def test_hyperparameters_and_top_logits(seed):
    rng = np.random.default_rng(200 + seed)
    z = rng.normal(size=(4, 5)).astype("float32")
    for _ in range(CALLS // 4):
        numbers = {
            "temperature": random_number(rng),
            "soft_weight": random_number(rng),
            "hard_weight": random_number(rng),
        }
        loss = value_or_refusal(
            lambda n=numbers: kdtf.losses.distillation_loss(z, -z, [0] * 4, **n)
        )
        good = numbers["temperature"] > 0 and (
            numbers["soft_weight"] + numbers["hard_weight"] > 0
            and min(numbers["soft_weight"], numbers["hard_weight"]) >= 0
        )
        good = good and np.isfinite(list(numbers.values())).all()
        assert (loss is not None) == good
        if good:
            close(
                loss,
                reference.distillation_loss(z, -z, np.zeros(4, int), **numbers),
            )
        k = rng.choice([-1, 0, 1, 4, 5, 6])
        top = value_or_refusal(
            lambda n=numbers, k=k: kdtf.TopLogits.of(z, k, n["temperature"])
        )
        t = numbers["temperature"]
        assert (top is not None) == (1 <= k < 5 and np.isfinite(t) and t > 0)


@pytest.mark.slow
@pytest.mark.parametrize("bad", (-1, 5, 300))
def test_top_classes_that_are_none_show_as_nan(bad):
    z = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    top = kdtf.TopLogits.of(z, 2, 1.0)
    classes = top.classes.numpy()
    classes[1, 0] = bad
    top = top._replace(classes=classes)
    for compiled in (False, True):
        loss = tf.function(
            lambda z: kdtf.losses.soft_loss(z, top, temperature=1.0),
            jit_compile=compiled,
        )(z)
        assert np.isnan(loss[1]) and np.isfinite(loss.numpy()[[0, 2]]).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_fit(seed):
    """Arrays of all kinds train, or are refused, by kdtf or by Keras."""
    rng = np.random.default_rng(300 + seed)
    losses = 0
    for _ in range(15):
        head = str(rng.choice(["softmax", "sigmoid"]))
        student, teacher = nets.linear(0), nets.linear(7)
        distiller = kdtf.Distiller(student, teacher, temperature=2.0, head=head)
        distiller.compile(
            "sgd",
            metrics=["accuracy"],
            run_eagerly=bool(rng.uniform() < 0.5),
        )
        y = random_labels(rng, (12, nets.CLASSES))
        if rng.uniform() < 0.3:
            y = {"labels": y}
        weights = None
        if rng.uniform() < 0.3:
            weights = rng.uniform(size=[(12,), (12, 4), (12, 1), (5,)][seed])
        try:
            history = distiller.fit(
                nets.inputs(), y, 5, sample_weight=weights, verbose=0
            )
        except (ValueError, TypeError) as error:
            assert not isinstance(error, tf.errors.OpError)
            assert "Received: " in str(error) or "cardinality" in str(error)
        else:
            assert np.isfinite(history.history["loss"]).all()
            losses += 1
    assert losses > 1

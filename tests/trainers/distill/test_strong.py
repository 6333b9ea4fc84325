"""trainers.distill.strong: RandAugment's changes."""

import math

import numpy as np
import pytest
import tensorflow as tf

from trainers.distill import strong


def image(channels=3, height=6, width=5):
    rng = np.random.default_rng(0)
    return tf.constant(
        rng.integers(256, size=(height, width, channels)), tf.float32
    )


def change(name, x, amount):
    return getattr(strong, f"_{name}")(x, tf.constant(amount, tf.float32))


@pytest.mark.parametrize("channels", (1, 3))
def test_within_range_and_shape(channels):
    x = image(channels)
    for function in strong._CHANGES:
        for amount in (-1.0, -0.4, 0.7, 1.0):
            y = function(x, tf.constant(amount))
            assert y.shape == x.shape and y.dtype == tf.float32
            assert tf.reduce_min(y) >= 0 and tf.reduce_max(y) <= 255.001


@pytest.mark.parametrize("k", range(len(strong._CHANGES)))
def test_nothing_at_no_amount(k):
    """But of what stretches contrast, which has no amount."""
    x = image()
    y = strong._CHANGES[k](x, tf.constant(0.0))
    if strong._CHANGES[k] is not strong._autocontrast:
        np.testing.assert_allclose(y, x, atol=1e-3)


def test_a_quarter_turn():
    """(x, y) of the view is (-y, x) of the image: row x, column 4 - y."""
    x = image(height=5)
    matrix = strong.rotation(tf.constant(math.pi / 2))
    y = strong.transformed(x, matrix, tf.zeros(2))
    np.testing.assert_allclose(
        y, x.numpy()[:, ::-1].transpose(1, 0, 2), atol=1e-2
    )


def test_shifts_and_edges():
    x = image()
    y = strong.transformed(x, tf.eye(2), tf.constant([2.0, -1.0]))
    rows = np.clip(np.arange(6) - 1, 0, 5)
    columns = np.clip(np.arange(5) + 2, 0, 4)
    np.testing.assert_allclose(y, x.numpy()[rows][:, columns], atol=1e-3)


def test_colours():
    x = image()
    grey = x.numpy() @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(
        change("saturation", x, 0.5),
        np.clip(grey[..., None] + 1.45 * (x - grey[..., None]), 0, 255),
        atol=1e-3,
    )
    np.testing.assert_allclose(
        change("brightness", x, -0.5), 0.55 * x.numpy(), atol=1e-3
    )
    np.testing.assert_allclose(
        change("contrast", x, 1.0),
        np.clip(grey.mean() + 1.9 * (x.numpy() - grey.mean()), 0, 255),
        atol=1e-2,
    )
    bright = x.numpy() > 255 * 0.6
    np.testing.assert_array_equal(
        change("solarize", x, 0.4), np.where(bright, 255 - x, x)
    )
    levels = np.unique(change("posterize", x, 1.0))
    assert set(levels % 16) == {0}
    y = change("autocontrast", tf.constant([[[50.0], [100.0]]]), 1.0)
    assert np.ravel(y).tolist() == [0, 255]
    flat = tf.fill([2, 2, 1], 9.0)
    np.testing.assert_array_equal(change("autocontrast", flat, 1.0), flat)


def test_a_blurred_image_at_least_sharpness():
    x = np.zeros((5, 5, 1), np.float32)
    x[2, 2] = 90
    y = change("sharpness", tf.constant(x), -1.0).numpy()[..., 0]
    # A tenth of the image, and nine tenths of the mean of nine pixels.
    assert y[2, 2] == pytest.approx(0.1 * 90 + 0.9 * 10)
    assert y[1, 1] == pytest.approx(0.9 * 10) and y[0, 0] == 0


@pytest.mark.slow
def test_randaugment_is_a_function_of_the_seed():
    x = image(height=8, width=8)

    @tf.function
    def shown(seed):
        return strong.randaugment(x, seed, 2, 0.5)

    views = [shown(tf.constant([0, k])).numpy() for k in range(12)]
    again = [shown(tf.constant([0, k])).numpy() for k in range(12)]
    np.testing.assert_array_equal(views, again)
    assert len({view.tobytes() for view in views}) > 8
    eager = strong.randaugment(x, tf.constant([0, 3]), 2, 0.5)
    np.testing.assert_allclose(eager, views[3], atol=1e-2)

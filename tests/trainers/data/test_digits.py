"""trainers.data.digits: real digits, in balanced halves."""

import numpy as np

from trainers.data import digits


def test_digits_are_real_and_split_the_same_every_time():
    data, again = digits.load(), digits.load()
    np.testing.assert_array_equal(data.train_images, again.train_images)
    assert data.train_images.shape == (898, 8, 8)
    assert data.eval_images.shape == (899, 8, 8)
    assert data.train_images.max() == data.white == 16
    counts = [np.bincount(y) for y in (data.train_labels, data.eval_labels)]
    assert np.abs(counts[0] - counts[1]).max() <= 1
    assert data.inputs(data.train_images).max() == 1.0


def test_labels_belong_to_their_images():
    """The nearest training image nearly always has the label of a test image.

    With labels out of step it would have it in one of ten cases.
    """
    data = digits.load()
    train, test = (
        images.reshape(len(images), -1).astype(float)
        for images in (data.train_images, data.eval_images)
    )
    # |a - b|^2 without |b|^2, which is the same for all training images.
    distances = (train**2).sum(1) - 2 * test @ train.T
    nearest = data.train_labels[distances.argmin(1)]
    assert np.mean(nearest == data.eval_labels) > 0.95

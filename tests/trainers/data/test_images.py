"""trainers.data.images: the split for choosing settings, and nets' inputs."""

import numpy as np
import pytest

from trainers.data import ImageData


def small():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1)
    labels = np.arange(20, dtype=np.int32)
    return ImageData(images[:15], labels[:15], images[15:], labels[15:], 20, 20)


def test_held_out_cases_are_training_cases_and_the_test_set_is_gone():
    data = small().hold_out(5)
    assert data.eval_name == "held-out" and len(data.eval_labels) == 5
    kept, held_out = set(data.train_labels), set(data.eval_labels)
    assert kept | held_out == set(range(15)) and not kept & held_out
    np.testing.assert_array_equal(data.train_images[:, 0, 0], data.train_labels)
    np.testing.assert_array_equal(data.eval_images[:, 0, 0], data.eval_labels)
    again = small().hold_out(5)
    np.testing.assert_array_equal(again.eval_labels, data.eval_labels)


@pytest.mark.parametrize("count", (0, -1, 15, 99))
def test_held_out_counts_out_of_range_are_refused(count):
    with pytest.raises(ValueError, match="`held_out` must be from 1 to 14"):
        small().hold_out(count)


def test_inputs_are_rows_of_pixels_from_0_to_1():
    images = np.array([[[0, 5], [10, 20]], [[20, 0], [0, 0]]], np.uint8)
    inputs = small().inputs(images)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(
        inputs, np.array([[0, 0.25, 0.5, 1], [1, 0, 0, 0]], np.float32)
    )

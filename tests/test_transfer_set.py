"""trainers.transfer_set: the teacher's answers to what the student sees."""

import numpy as np
import pytest
import tensorflow as tf

from tests.test_arms import ARM, data
from trainers import arms, transfer_set


def teacher():
    return arms.build_net(ARM, 16, 3, seed=0)


@pytest.mark.parametrize("views", (0, 3))
def test_soft_targets_are_the_teachers_answers(tmp_path, views):
    images = data().inputs(data().train_images)
    net = teacher()
    stored = transfer_set.soft_targets(
        net, data(), tmp_path / "store", views=views, jitter=1
    )
    assert stored.shape == (max(views, 1), len(images), 3)
    augment = transfer_set.jittered((4, 4), 1)
    for view, logits in enumerate(stored):
        shown = images
        if views:
            shown = np.array(
                [
                    augment(tf.constant(image), tf.constant([case, view]))
                    for case, image in enumerate(images)
                ]
            )
        expected = arms.predict(net, shown)
        expected -= expected.max(-1, keepdims=True)
        np.testing.assert_allclose(logits, expected, atol=2e-3)


def test_they_are_computed_once(tmp_path):
    first, again = (
        transfer_set.soft_targets(
            teacher(), data(), tmp_path, views=0, jitter=1
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ValueError, match="teacher"):
        transfer_set.soft_targets(
            arms.build_net(ARM, 16, 3, seed=1),
            data(),
            tmp_path,
            views=0,
            jitter=1,
        )

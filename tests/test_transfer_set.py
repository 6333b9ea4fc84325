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
    options = {"views": views, "jitter": 1}
    transfer_set.write(net, data(), tmp_path / "store", **options)
    stored = transfer_set.read(data(), tmp_path / "store", **options)
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


def test_those_of_another_teacher_are_not_taken_for_them(tmp_path):
    options = {"views": 0, "jitter": 1}
    transfer_set.write(teacher(), data(), tmp_path, **options)
    other = arms.build_net(ARM, 16, 3, seed=1)
    with pytest.raises(ValueError, match="teacher"):
        transfer_set.write(other, data(), tmp_path, **options)

"""trainers.characters.views: against pixels taken one by one."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.characters import views

SIZE, CASES = 6, 8
IMAGES = np.random.default_rng(0).integers(
    0, 256, (CASES, 2 * SIZE, 2 * SIZE), np.uint8
)
LABELS = np.arange(CASES, dtype=np.int32)


def batches(augmentation, first_step=0, last_step=8, seed=3):
    """List of (x, labels) of an epoch of four steps, and of the next."""
    dataset = views.of_cases(
        IMAGES,
        LABELS,
        white=255,
        augmentation=augmentation,
        batch_size=2,
        seed=seed,
        first_step=first_step,
        last_step=last_step,
    )
    return list(dataset.as_numpy_iterator())


def test_a_plain_view_is_the_mean_of_blocks():
    blocks = IMAGES.reshape(CASES, SIZE, 2, SIZE, 2).mean((2, 4))
    found = views.plain(IMAGES, 255)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, np.round(blocks)[..., None] / 255, rtol=1e-6
    )


def test_without_augmentation_an_epoch_has_the_plain_view_of_each_case():
    plain = views.plain(IMAGES, 255)
    found = batches(augmentation=0.0)
    for epoch in (found[:4], found[4:]):
        labels = np.concatenate([y for _, y in epoch])
        np.testing.assert_array_equal(np.sort(labels), LABELS)
        for x, y in epoch:
            np.testing.assert_allclose(x, plain[y], atol=1e-6)
    first, second = (
        [y.tolist() for _, y in epoch] for epoch in (found[:4], found[4:])
    )
    assert first != second


def bilinear(image, y, x):
    """The value of an image between its pixels; 0 outside of it."""
    found = 0.0
    for i in (int(np.floor(y)), int(np.floor(y)) + 1):
        for j in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= i < len(image) and 0 <= j < len(image):
                found += image[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return found


def test_a_view_is_turned_scaled_slanted_and_moved():
    """What is at (x, y) of a view is at 2 s R (x + shear y, y) of an image,
    both from the centre, and R turns by an angle."""
    drawn = np.array([0.7, -0.4, 0.9, 0.3, -0.8])
    averages = views.averaged(IMAGES[:1])[0, ..., 0].astype(float)
    angle, scale = 0.3 * drawn[0], 1 + 0.2 * drawn[1]
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    slant = [[1, 0.3 * drawn[2]], [0, 1]]
    matrix = 2 * scale * np.array(turn) @ slant
    centre, shift = (SIZE - 1) / 2, 2 * 2.5 * drawn[3:]
    expected = np.zeros((SIZE, SIZE))
    for i in range(SIZE):
        for j in range(SIZE):
            x, y = matrix @ (j - centre, i - centre) + 2 * centre + shift
            expected[i, j] = bilinear(averages, y, x)
    found = views.cut(
        tf.constant(averages[None, ..., None], tf.float32),
        tf.constant(drawn[:, None], tf.float32),
        SIZE,
    )
    assert (expected == 0).any() and (expected > 0).mean() > 0.5
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-3)


def test_views_depend_on_seed_and_step_alone():
    whole, resumed = batches(0.7), batches(0.7, first_step=5)
    for (x, y), (again, labels) in zip(whole[5:], resumed, strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, labels)
    other = batches(0.7, seed=4)
    assert any(
        (x != z).any() for (x, _), (z, _) in zip(whole, other, strict=True)
    )
    # A case has other views in the next epoch.
    first, second = (
        {k: v for x, y in epoch for k, v in zip(y.tolist(), x, strict=True)}
        for epoch in (whole[:4], whole[4:])
    )
    assert all((first[k] != second[k]).any() for k in range(CASES))


@pytest.mark.parametrize("augmentation", (0.0, 0.5, 1.0))
def test_a_view_goes_as_far_as_augmentation_says(monkeypatch, augmentation):
    drawn = []
    cut = views.cut

    def spy(averages, numbers, size):
        drawn.append(numbers)
        return cut(averages, numbers, size)

    monkeypatch.setattr(views, "cut", spy)
    monkeypatch.setattr(views.tf.data.Dataset, "map", eagerly)
    batches(augmentation, last_step=40)
    most = np.abs(np.stack(drawn)).max((0, 2))
    np.testing.assert_allclose(most, 5 * [augmentation], atol=0.1)


def eagerly(dataset, function):
    """`Dataset.map` without a graph."""
    parts = [function(each) for each in dataset]
    return tf.data.Dataset.from_tensor_slices(
        tuple(np.stack(column) for column in zip(*parts, strict=True))
    )

"""trainers.specialists.batches: a pure function of seed and step."""

import numpy as np
import tensorflow as tf

from trainers.specialists import batches

CASES = 12
# Every image is one grey as bright as its row number.
IMAGES = np.ones((CASES, 2, 3), np.uint8) * np.arange(CASES)[:, None, None]
IMAGES = IMAGES.astype(np.uint8)


def take(count, *, first_step=0, seed=0, noise=0.0, batch_size=4):
    dataset = batches.of_cases(
        IMAGES,
        {"labels": np.arange(CASES), "twice": 2.0 * np.arange(CASES)},
        white=10,
        noise=noise,
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
    )
    return list(dataset.take(count).as_numpy_iterator())


def test_every_case_once_a_pass_in_another_order_each_time():
    passes = [
        np.concatenate([y["labels"] for _, y in take(3, first_step=3 * i)])
        for i in range(5)
    ]
    assert all(sorted(each) == list(range(CASES)) for each in passes)
    assert len({tuple(each) for each in passes}) == 5
    other = np.concatenate([y["labels"] for _, y in take(3, seed=1)])
    assert tuple(other) != tuple(passes[0])


def test_cases_that_fill_no_batch_sit_out():
    seen = [y["labels"] for _, y in take(2, batch_size=5)]
    assert len(set(np.concatenate(seen))) == 10


def test_inputs_stand_beside_their_targets():
    for x, y in take(3):
        assert x.shape == (4, 6) and x.dtype == np.float32
        expected = np.repeat(y["labels"][:, None], 6, 1) / 10
        np.testing.assert_allclose(x, expected, rtol=1e-6)
        np.testing.assert_array_equal(y["twice"], 2 * y["labels"])


def test_a_step_is_the_same_wherever_one_begins():
    whole = take(7, noise=0.1)
    for (x, y), (other, labels) in zip(
        whole[4:], take(3, first_step=4, noise=0.1), strict=True
    ):
        np.testing.assert_array_equal(x, other)
        np.testing.assert_array_equal(y["labels"], labels["labels"])


def test_noise():
    """Uniform of the given deviation, another one at each step and seed."""
    pixels = tf.fill([400, 50], tf.constant(51, tf.uint8))

    def draw(seed, step):
        step = tf.constant(step, tf.int64)
        return batches.noisy(pixels, 255, 0.3, seed, step).numpy() - 0.2

    noise = draw(0, 5)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 0.3) < 0.005
    # Uniform from -a to a has the deviation a / sqrt(3).
    assert 0.99 < np.abs(noise).max() / (0.3 * np.sqrt(3)) <= 1 + 1e-6
    np.testing.assert_array_equal(noise, draw(0, 5))
    for other in (draw(0, 6), draw(1, 5)):
        assert abs(np.corrcoef(noise.flat, other.flat)[0, 1]) < 0.05


def test_flat_shares_memory():
    assert np.shares_memory(batches.flat(IMAGES), IMAGES)
    assert batches.flat(IMAGES).shape == (CASES, 6)

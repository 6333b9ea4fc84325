"""trainers.mnist.moves: where the pixels of a moved image come from."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from trainers.mnist import moves
from trainers.mnist.moves import Moves

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 7, 10)).astype(np.uint8)


def moved(drawn):
    return moves.move(tf.constant(IMAGES), drawn).numpy()


def read(images, places):
    """SciPy's linear interpolation, of images with black around them."""
    around = 20
    return np.stack(
        [
            ndimage.map_coordinates(
                np.pad(np.float64(image), around), place + around, order=1
            )
            for image, place in zip(images, places, strict=True)
        ]
    )


def grid():
    return np.stack(np.mgrid[:7, :10])


@pytest.mark.parametrize("shift", (0.4, 2.0, 15.0))
def test_a_shift_moves_the_whole_image(shift):
    drawn = Moves(shift).draw(9, (1, 2))
    offsets = np.float64(drawn["shift"])
    assert np.abs(offsets).max() <= shift
    expected = read(IMAGES, grid() + offsets[:, :, None, None])
    np.testing.assert_allclose(moved(drawn), expected, atol=2e-3)


def test_a_warp_moves_every_pixel_smoothly():
    drawn = Moves(1.0, 0.7).draw(9, (1, 2))
    knots = np.float64(drawn["warp"])

    def bumps(size):
        at = np.arange(size)[:, None]
        gap = (size - 1) / 4
        found = np.exp(
            -((at - gap * np.arange(5)) ** 2) / (2 * (0.6 * gap) ** 2)
        )
        return found / np.sqrt((found**2).sum(1, keepdims=True))

    field = np.stack(
        [
            [bumps(7) @ knots[case, axis] @ bumps(10).T for axis in range(2)]
            for case in range(9)
        ]
    )
    places = grid() + np.float64(drawn["shift"])[:, :, None, None] + field
    np.testing.assert_allclose(moved(drawn), read(IMAGES, places), atol=2e-3)
    # Neighbours move alike: by much less than they move.
    assert np.abs(np.diff(field)).mean() < 0.5 * np.abs(field).mean()


def test_draws_spread_as_the_moves_say():
    drawn = Moves(2.0, 0.5).draw(4000, (0, 0))
    shift = np.asarray(drawn["shift"])
    assert abs(shift.mean()) < 0.05
    assert shift.std() == pytest.approx(2.0 / np.sqrt(3), rel=0.03)
    bumps = moves._bumps(28)
    field = np.einsum("ik,cakl,jl->caij", bumps, drawn["warp"], bumps)
    np.testing.assert_allclose(field.std((0, 1)), 0.5, rtol=0.1)


def test_draws_are_a_function_of_the_seed():
    seeds = [(0, 0), (0, 1), (1, 0)]
    first, *others = [Moves(1.0, 1.0).draw(3, seed) for seed in seeds]
    again = Moves(1.0, 1.0).draw(3, tf.constant(seeds[0], tf.int64))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        for other in others:
            assert not np.array_equal(values, other[name])


def test_what_moves_at_all():
    assert not Moves() and Moves(0.5) and Moves(warp=0.5)
    drawn = Moves().draw(9, (0, 0))
    np.testing.assert_array_equal(moved(drawn), IMAGES)

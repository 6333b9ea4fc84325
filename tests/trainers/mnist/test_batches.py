"""trainers.mnist.batches: order and jitter are a function of seed and step."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.mnist import batches
from trainers.mnist.moves import Moves

CASES, SIZE = 10, 5
# Every image is one bright pixel in the middle, as bright as its row number.
IMAGES = np.zeros((CASES, SIZE, SIZE), np.uint8)
IMAGES[:, 2, 2] = np.arange(1, CASES + 1)
LABELS = np.arange(1, CASES + 1, dtype=np.int32)


def take(first_step, last_step, *, soft_targets=None, **options):
    dataset = batches.training_batches(
        IMAGES,
        LABELS,
        soft_targets,
        white=10,
        batch_size=3,
        first_step=first_step,
        last_step=last_step,
        **{"seed": 0, **options},
    )
    return list(dataset.as_numpy_iterator())


def flat(batch):
    """Inputs and labels, whatever else a batch holds."""
    x, y = batch
    return x, y["labels"] if isinstance(y, dict) else y


def test_an_epoch_holds_every_case_once_but_those_left_over():
    assert batches.steps_per_epoch(CASES, 3) == 3
    epochs = [
        np.concatenate([y for _, y in take(3 * epoch, 3 * epoch + 3)])
        for epoch in range(40)
    ]
    for epoch in epochs:
        assert len(set(epoch)) == 9
    assert len({tuple(epoch) for epoch in epochs}) == 40
    # The case that sits out is another one each time.
    assert {55 - epoch.sum() for epoch in epochs} == set(LABELS)


def test_inputs_belong_to_their_targets_and_lie_in_0_to_1():
    for x, y in take(0, 3):
        assert x.shape == (3, SIZE * SIZE) and x.dtype == np.float32
        np.testing.assert_allclose(x.max(1), y / 10, rtol=1e-6)


def test_soft_targets_stand_beside_their_labels():
    logits = LABELS[:, None] * np.ones((1, 4), np.float32)
    [(_, y)] = take(0, 1, soft_targets=logits[None])
    np.testing.assert_array_equal(y["teacher_logits"][:, 0], y["labels"])


def test_an_epoch_shows_a_view_with_its_soft_targets():
    moves, views = Moves(1.0), 4
    # A soft target that says of which view and case it is.
    of_view, of_case = np.meshgrid(range(views), range(CASES), indexing="ij")
    soft_targets = np.stack([of_view, of_case], -1).astype(np.float32)
    shown = [
        np.concatenate(
            list(
                batches.view(
                    IMAGES,
                    tf.constant(v, tf.int64),
                    moves,
                    white=10,
                    batch_size=4,
                )
            )
        )
        for v in range(views)
    ]
    assert not np.allclose(shown[0], shown[1])
    for step, (x, y) in enumerate(
        take(0, 18, soft_targets=soft_targets, moves=moves)
    ):
        for image, label, logits in zip(
            x, y["labels"], y["teacher_logits"].astype(int), strict=True
        ):
            number, case = logits
            assert number == step // 3 % views
            assert case == label - 1
            np.testing.assert_allclose(image, shown[number][case], rtol=1e-6)


@pytest.mark.parametrize("moves", (Moves(), Moves(2.0), Moves(1.0, 0.5)))
@pytest.mark.parametrize("soft", (False, True))
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(moves, soft):
    given = {"moves": moves}
    if soft:
        given["soft_targets"] = np.zeros((2, CASES, 3), np.float32)
    whole, part = ([*map(flat, take(n, 9, **given))] for n in (0, 5))
    for (x, y), (x_again, y_again) in zip(whole[5:], part, strict=True):
        np.testing.assert_array_equal(x, x_again)
        np.testing.assert_array_equal(y, y_again)
    other = map(flat, take(0, 9, seed=1, **given))
    assert any(
        (y != z).any() for (_, y), (_, z) in zip(whole, other, strict=True)
    )


def test_every_epoch_moves_a_case_elsewhere():
    places = {}
    for x, y in take(0, 120, moves=Moves(1.0)):
        for image, label in zip(x.reshape(-1, SIZE, SIZE), y, strict=True):
            np.testing.assert_allclose(image.sum(), label / 10, rtol=1e-5)
            centre = [
                (image * axis).sum() / image.sum() - 2
                for axis in np.mgrid[:SIZE, :SIZE]
            ]
            places.setdefault(label, []).append(centre)
    for seen in places.values():
        assert np.abs(seen).max() <= 1 + 1e-5
        assert len(np.unique(np.round(seen, 5), axis=0)) == len(seen)


def test_pixels_move_out_of_the_picture():
    seen = {float(x.max(1).min()) for x, _ in take(0, 100, moves=Moves(4.0))}
    assert 0.0 in seen


def test_fewer_cases_than_a_batch():
    dataset = batches.training_batches(
        IMAGES[:2],
        LABELS[:2],
        white=10,
        batch_size=3,
        seed=0,
        first_step=0,
        last_step=2,
    )
    assert [len(y) for _, y in dataset] == [2, 2]

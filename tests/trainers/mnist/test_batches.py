"""trainers.mnist.batches: order and jitter are a function of seed and step."""

import numpy as np
import pytest

from trainers.mnist import batches

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
        **{"seed": 0, "jitter": 0, **options},
    )
    return list(dataset.as_numpy_iterator())


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


def test_a_case_goes_through_all_places_with_their_soft_targets():
    jitter, epochs = 1, 9
    # A soft target that says of which place and case it is.
    of_place, of_case = np.meshgrid(range(9), range(CASES), indexing="ij")
    soft_targets = np.stack([of_place, of_case], -1).astype(np.float32)
    shown = {}
    for x, y in take(0, 3 * epochs, soft_targets=soft_targets, jitter=jitter):
        for image, label, logits in zip(
            x.reshape(-1, SIZE, SIZE),
            y["labels"],
            y["teacher_logits"].astype(int),
            strict=True,
        ):
            place, case = logits
            assert case == label - 1
            top, left = batches.places(jitter)[place]
            # The padded pixel (3, 3), seen from there.
            assert image[3 - top, 3 - left] == pytest.approx(label / 10)
            shown.setdefault(case, []).append(place)
    for case, seen in shown.items():
        assert len(set(seen)) == len(seen), case
    assert max(len(seen) for seen in shown.values()) == epochs


@pytest.mark.parametrize("jitter", (0, 2))
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(jitter):
    whole, part = take(0, 9, jitter=jitter), take(5, 9, jitter=jitter)
    for (x, y), (x_again, y_again) in zip(whole[5:], part, strict=True):
        np.testing.assert_array_equal(x, x_again)
        np.testing.assert_array_equal(y, y_again)
    other = take(0, 9, jitter=jitter, seed=1)
    assert any(
        (y != z).any() for (_, y), (_, z) in zip(whole, other, strict=True)
    )


def test_jitter_moves_by_every_offset_and_no_further():
    places = set()
    for x, y in take(0, 200, jitter=1):
        for image, label in zip(x.reshape(-1, SIZE, SIZE), y, strict=True):
            [(row, column)] = np.argwhere(image)
            np.testing.assert_allclose(image[row, column], label / 10)
            places.add((int(row) - 2, int(column) - 2))
    steps = (-1, 0, 1)
    assert places == {(row, column) for row in steps for column in steps}


def test_pixels_move_out_of_the_picture():
    seen = {float(x.max(1).min()) for x, _ in take(0, 100, jitter=3)}
    assert 0.0 in seen


def test_fewer_cases_than_a_batch():
    dataset = batches.training_batches(
        IMAGES[:2],
        LABELS[:2],
        white=10,
        batch_size=3,
        seed=0,
        jitter=0,
        first_step=0,
        last_step=2,
    )
    assert [len(y) for _, y in dataset] == [2, 2]
